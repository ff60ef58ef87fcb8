"""Write secrets into files that nobody else can read, and never onto the terminal."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from bursar.errors import ConfigError

__all__ = ["write_secret"]

_ONLY_OURS: Final = 0o600


def write_secret(path: Path, text: str) -> None:
    """Write *text* to *path* with mode 600, whole or not at all; what was there is replaced. Raises `ConfigError`."""
    draft = path.with_name(f"{path.name}.new")
    try:
        with suppress(FileNotFoundError):
            draft.unlink()
        # Made with its mode at once: nobody can open it in between.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _ONLY_OURS)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise ConfigError(f"the secret cannot be written to {path}: {error.strerror}") from None
