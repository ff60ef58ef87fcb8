import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import jsonschema
import pytest

from bursar.web.openapi import document

Play = Callable[[Coroutine[Any, Any, Any]], Any]
DESCRIBED = document("http://127.0.0.1:8000")
WITH_BODY = [
    (path, operations["post"]["requestBody"]["content"]["application/json"]["schema"])
    for path, operations in DESCRIBED["paths"].items()
    if "requestBody" in operations.get("post", {})
]


def test_the_description_names_every_route_of_the_api_and_no_other(house: Any, play: Play) -> None:
    async def story() -> set[tuple[str, str]]:
        async with house() as home:
            return {
                (re.sub(r":int", "", route.path), method.lower())
                for route in home.app.pages.routes
                for method in route.methods - {"HEAD"}
                if route.path.startswith("/api")
            }

    described = {(path, method) for path, methods in DESCRIBED["paths"].items() for method in methods}
    assert play(story()) == described


@pytest.mark.parametrize(("path", "schema"), WITH_BODY)
def test_what_a_request_may_hold_is_described_field_by_field(
    house: Any, play: Play, path: str, schema: dict[str, Any]
) -> None:
    async def story() -> None:
        async with house() as home:
            order = await home.bursar.open_order(reference="1", amount="10.00", currency="USD")
            where = path.replace("{key}", order.key).replace("{number}", "1")
            unknown = await home.api("POST", where, json={"colour": "red"})
            known = unknown.json()["error"]["message"].partition("there are ")[2].split(", ")
            assert known == sorted(schema["properties"])
            if schema["required"]:
                # One after another is asked for, until nothing that is required is missing.
                given: dict[str, str] = {}
                for _ in schema["required"]:
                    message = (await home.api("POST", where, json=given)).json()["error"]["message"]
                    named = re.fullmatch(r"the field '(\w+)' is missing", message)
                    assert named, message
                    given[named[1]] = "x"
                assert set(given) == set(schema["required"])
                message = (await home.api("POST", where, json=given)).text
                assert "is missing" not in message

    play(story())


def test_every_schema_is_one_and_every_reference_leads_somewhere() -> None:
    def walk(part: Any) -> Iterator[dict[str, Any]]:
        if isinstance(part, dict):
            yield part
            for inner in part.values():
                yield from walk(inner)
        if isinstance(part, list):
            for inner in part:
                yield from walk(inner)

    schemas = DESCRIBED["components"]["schemas"]
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    references = {part["$ref"] for part in walk(DESCRIBED) if "$ref" in part}
    assert references == {f"#/components/schemas/{name}" for name in schemas}
    names = [
        operation["operationId"] for methods in DESCRIBED["paths"].values() for operation in methods.values()
    ]
    assert len(names) == len(set(names))
    for path, methods in DESCRIBED["paths"].items():
        for operation in methods.values():
            named = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path))
