import os

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
