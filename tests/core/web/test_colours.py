"""The page's colours can be read by people with weak sight: WCAG 2.2, level AA."""

import re
from importlib.resources import files

import pytest

SHEET = files("bursar.web").joinpath("static", "checkout.css").read_text(encoding="utf-8")
LIGHT, DARK = re.findall(r":root \{(.*?)\}", SHEET, re.DOTALL)
PAIRS = [
    *((text, ground) for text in ("ink", "soft", "accent") for ground in ("sheet",)),
    *(
        (text, ground)
        for text in ("ink", "soft")
        for ground in ("plain-ground", "good-ground", "warn-ground", "bad-ground")
    ),
    ("on-accent", "accent"),
    ("plain", "plain-ground"),
    ("good", "good-ground"),
    ("warn", "warn-ground"),
    ("bad", "bad-ground"),
]


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("text", "ground"), PAIRS)
@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_stands_out_from_its_ground(scheme: str, text: str, ground: str) -> None:
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", scheme))
    dim, bright = sorted((luminance(colours[text]), luminance(colours[ground])))
    assert (bright + 0.05) / (dim + 0.05) >= 4.5
