"""Hold the arrows: adapters -> core <- providers, and inside core each layer imports only those before it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bursar import errors
from bursar.lifecycle import REMEDIES, Reason

ROOT = Path(__file__).parents[1]
CORE = ROOT / "core" / "bursar"
LAYERS = {
    "words": "errors money facts habits policy refunds orders secrets texts remembering reviews",
    "rules": "standing lifecycle remedies agenda changes refundchanges policies signatures",
    "ports": "flows providers adapters rates hookspecs plugins work",
    "store": "store",
    "service": "values configreader config desk effects ordering paying refunding refundsending receiving errands courier "
    "doctor views service",
    "testing": "testing",
    "faces": "web cli",
}
ORDER = list(LAYERS)
LAYER = {module: layer for layer, modules in LAYERS.items() for module in modules.split()}
PURE = ("words", "rules")
DOES_IO = {
    "asyncio", "datetime", "http", "httpx", "os", "pathlib", "random", "requests", "shutil", "socket", "sqlalchemy", "sqlite3",
    "ssl", "subprocess", "tempfile", "threading", "time", "urllib", "uuid", "uuid6",
}  # fmt: skip


def files(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert found
    return found


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (module, name) for every import in *path*, those for type checking only left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            skipped |= {inner for child in node.body for inner in ast.walk(child)}
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by full name"
            yield from ((node.module or "", alias.name) for alias in node.names)


def module_of(path: Path) -> str:
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def core_targets(path: Path) -> Iterator[str]:
    for module, name in imports(path):
        parts = module.split(".")
        if parts[0] == "bursar" and len(parts) > 1:
            yield parts[1]
        elif parts == ["bursar"] and (CORE / f"{name}.py").exists() | (CORE / name).is_dir():
            yield name


@pytest.mark.parametrize("path", files("core/bursar"), ids=lambda path: str(path.relative_to(CORE)))
def test_a_module_of_core_imports_only_what_lies_before_it(path: Path) -> None:
    module = module_of(path)
    if module == "__init__":
        return
    assert module in LAYER, f"{module} is in no layer: put it into one here and in docs/architecture.md"
    mine = ORDER.index(LAYER[module])
    for target in core_targets(path):
        assert ORDER.index(LAYER[target]) <= mine, (
            f"{path.name} of {LAYER[module]} imports {target} of {LAYER[target]}"
        )


@pytest.mark.parametrize(
    "path", [p for p in files("core/bursar") if LAYER.get(module_of(p)) in PURE], ids=lambda path: path.name
)
def test_words_and_rules_do_no_io_and_read_no_clock(path: Path) -> None:
    for module, _ in imports(path):
        assert module.split(".")[0] not in DOES_IO, f"{path.name} imports {module}"


@pytest.mark.parametrize("path", files("core/bursar"), ids=lambda path: str(path.relative_to(CORE)))
def test_core_knows_no_plugin(path: Path) -> None:
    for module, _ in imports(path):
        assert not module.startswith("bursar_"), f"{path} imports {module}"


@pytest.mark.parametrize("path", files("providers", "adapters"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_plugin_uses_public_names_only_and_no_other_plugin(path: Path) -> None:
    own = path.relative_to(ROOT).parts[1]
    for module, name in imports(path):
        if module.split(".")[0].startswith("bursar_"):
            assert module.split(".")[0] == own, f"{path} imports {module}"
        elif module.split(".")[0] == "bursar":
            assert not any(part.startswith("_") for part in (*module.split("."), name)), (
                f"{path}: {module}.{name}"
            )


def test_every_module_stands_in_the_floor_plan() -> None:
    plan = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

    for module in LAYER:
        assert re.search(rf"`{module}/?`", plan), f"docs/architecture.md does not name {module}"


def test_the_tree_in_the_docstring_of_errors_is_the_tree_of_classes() -> None:
    drawn = re.findall(r"^( *)([A-Z]\w+) {2,}|^( *)(BursarError)$", errors.__doc__ or "", re.MULTILINE)
    parents: list[tuple[int, str]] = []
    found: dict[str, str] = {}
    for indent, name, root_indent, root in drawn:
        depth, name = len(indent or root_indent), name or root
        parents = [(d, n) for d, n in parents if d < depth]
        found[name] = parents[-1][1] if parents else "Exception"
        parents.append((depth, name))

    assert found == {name: getattr(errors, name).__base__.__name__ for name in errors.__all__}


def test_every_reason_for_a_person_to_look_says_what_can_be_done() -> None:
    assert set(REMEDIES) == set(Reason)
    assert all(REMEDIES.values())


def test_no_module_is_more_than_one_idea_long() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {lines}"
        for path in files("core", "providers", "adapters")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 350 and path.name != "stories.py"
    ]
    assert not long
