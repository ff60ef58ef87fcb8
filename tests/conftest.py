import gc
import os

import pytest
import stamina
import structlog
from hypothesis import settings

# In CI a failure must be found again by whoever looks; elsewhere chance goes on looking.
settings.register_profile("ci", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("here", deadline=None, max_examples=50)
settings.load_profile("ci" if os.environ.get("CI") else "here")

# Nothing sleeps in tests: what is tried again is tried at once.
stamina.set_testing(True, attempts=3, cap=True)

structlog.configure(logger_factory=structlog.ReturnLoggerFactory())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Clear what earlier tests left, before Hypothesis parses the source of a state machine.

    CPython 3.11 raises SystemError (its issue 106905) where garbage that is collected while `ast` works uses `ast`
    itself, and a traceback that is written does: an asyncio task whose error nobody fetched, for one.
    """
    if item.name == "runTest":
        gc.collect()
