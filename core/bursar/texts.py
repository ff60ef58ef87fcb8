"""Texts that callers give: cleaned of what no database keeps and no page should show, or refused."""

import re
from typing import Final

from bursar.errors import BadInput

__all__ = ["is_keepable", "read_text"]

# Control characters but tab and line end, and halves of characters, which no UTF-8 has.
_UNKEEPABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def is_keepable(text: str) -> bool:
    """Tell whether *text* can be kept by every database, and so can have been kept."""
    return not _UNKEEPABLE.search(text)


def read_text(text: object, what: str, *, most: int, needed: str = "") -> str:
    """Return *text* without blanks at its ends, cut to *most* characters; raise `BadInput` for what cannot be kept.

    Where *needed* says why it has to be there, an empty text is refused with it.
    """
    if not isinstance(text, str):
        raise BadInput(f"{what} is text, not {type(text).__name__}")
    if not is_keepable(text):
        raise BadInput(f"{what} has a control character or half a character in it; take it out")
    if needed and not text.strip():
        raise BadInput(needed)
    return text.strip()[:most]
