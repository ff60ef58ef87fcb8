import subprocess
import sys

import pytest

HEAVY = ("sqlalchemy", "alembic", "starlette", "uvicorn", "jinja2", "cryptography", "httpx", "structlog")
OURS = ("bursar.web", "bursar.store", "bursar.service", "bursar_btcpay", "bursar_coinpay", "bursar_http")

SCRIPT = """
import sys
sys.argv = ["bursar", *{arguments!r}]
from bursar.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
loaded = [name for name in {forbidden!r} if name in sys.modules]
print("LOADED", loaded)
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["providers"], ["order", "--help"], ["refund", "--help"], ["demo", "--help"]],
    ids=" ".join,
)
def test_nothing_heavy_is_loaded_for_what_needs_none_of_it(arguments: list[str]) -> None:
    script = SCRIPT.format(arguments=arguments, forbidden=[*HEAVY, *OURS])

    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "LOADED []"


def test_the_module_runs_as_the_console_script_does() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "bursar.cli", "--version"], capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0
    assert ran.stdout.startswith("bursar ")
