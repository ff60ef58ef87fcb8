import subprocess
import sys

HEAVY = ("sqlalchemy", "alembic", "starlette", "uvicorn", "jinja2", "cryptography", "httpx", "structlog")
OURS = ("bursar.web", "bursar.store", "bursar.service", "bursar_btcpay", "bursar_coinpay", "bursar_http")
COMMANDS = (
    "--help",
    "--version",
    "providers",
    "order --help",
    "refund --help",
    "serve --help",
    "demo --help",
)

SCRIPT = """
import sys
from bursar.cli import main
for command in {commands!r}:
    sys.argv = ["bursar", *command.split()]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (command, ended.code)
    loaded = [name for name in {forbidden!r} if name in sys.modules]
    assert not loaded, (command, loaded)
print("NOTHING HEAVY LOADED")
"""


def test_nothing_heavy_is_loaded_for_what_needs_none_of_it() -> None:
    script = SCRIPT.format(commands=COMMANDS, forbidden=[*HEAVY, *OURS])

    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "NOTHING HEAVY LOADED"


def test_the_module_runs_as_the_console_script_does() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "bursar.cli", "--version"], capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0
    assert ran.stdout.startswith("bursar ")
