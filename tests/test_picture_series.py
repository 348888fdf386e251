"""The pictures that go to the archive: all that is said of a case can be read, or is seen cut."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pydicom")

from PIL import Image, ImageDraw, ImageFont

from braincase.pacs.picture_series import DOT, ELLIPSIS, _cut, _lines, draw_pictures
from braincase.report.case_picture import NO_PLANES, CasePicture

NEAR = "closer than 96.4 % of pairs of people here"
WIDTH = 331


@pytest.fixture
def pen() -> ImageDraw.ImageDraw:
    return ImageDraw.Draw(Image.new("L", (8, 8)))


def test_nearness_diagnosis_age_and_sex_are_all_drawn() -> None:
    def drawn(details: str) -> np.ndarray:
        return draw_pictures([CasePicture("1. sub-a", details, NO_PLANES, "thumbnail")], "")[0]

    usual = DOT.join((NEAR, "LMCI", "82.4 y", "F"))
    for part, other in (" F", " M"), ("82.4", "82.5"), ("LMCI", "EMCI"), ("96.4", "96.5"):
        assert (drawn(usual) != drawn(usual.replace(part, other))).any()


def test_lines_break_between_parts_and_what_is_too_long_ends_in_an_ellipsis(
    pen: ImageDraw.ImageDraw,
) -> None:
    font = ImageFont.load_default(13)
    assert _lines(pen, DOT.join((NEAR, "LMCI", "82.4 y", "F")), font, WIDTH) == (
        [NEAR, "LMCI · 82.4 y · F"]
    )
    assert _lines(pen, "AD · F", font, WIDTH) == ["AD · F"]
    assert _lines(pen, "", font, WIDTH) == [""]
    long = _lines(pen, DOT.join((NEAR, "a disease " * 9, "82.4 y", "F")), font, WIDTH)
    assert len(long) == 2
    assert long[1].startswith("a disease a disease")
    assert long[1].endswith(ELLIPSIS)
    assert all(pen.textlength(line, font) <= WIDTH for line in long)
    assert _cut(pen, "sub-山é", font, WIDTH) == "sub-??"
