"""Picture series (secondary capture): query and hits side by side, one picture for each plane.

All cases of a picture lie alike, so that its PatientOrientation holds for each of them; the letters
are burned in as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from braincase.images.planes import EDGES
from braincase.pacs.dicom_objects import Source, describe, new_object
from braincase.purpose import PURPOSE
from braincase.report.case_picture import CasePicture

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
#: Side of a picture: whole on a monitor of 1280 x 1024.
SIDE = 1024
HEAD, FOOT, LINE = 26, 28, 17
#: Lines above a case: its heading, and at most two of what is said of it.
LINES = 3
#: What parts the words about a case; with the ellipsis all that the font has beside ASCII here.
DOT, ELLIPSIS = " · ", "…"
COLUMNS = 3
#: Plane, and where its rows and columns run to: L left, P back, F feet.
ORIENTATIONS = (("sagittal", "P", "F"), ("coronal", "L", "F"), ("axial", "L", "P"))
#: The plane that is shown first.
ORDER = (2, 1, 0)


def draw_pictures(cases: Sequence[CasePicture], warning: str) -> list[NDArray[np.uint8]]:
    """Draw the axial, coronal and sagittal picture, each of shape (1024, 1024), uint8.

    Parameters
    ----------
    cases
        The query and its hits; the first eight hits are shown.
    warning
        What must be read first; may be empty.
    """
    return [_draw(cases[: COLUMNS * COLUMNS], plane, warning) for plane in ORDER]


def picture_objects(
    cases: Sequence[CasePicture], warning: str, source: Source, series: int,
    parts: Sequence[object], made: datetime,
) -> list[Any]:  # fmt: skip
    """Return the pictures as secondary captures of one series.

    Parameters
    ----------
    cases, warning
        As in `draw_pictures`.
    source
        Whose study they belong to.
    series
        The series number.
    parts
        What makes this result what it is; see `Source.uid`.
    made
        When the result was made.
    """
    objects = []
    series_uid = source.uid("pictures", *parts)
    for number, pixels in enumerate(draw_pictures(cases, warning), 1):
        name, row, column = ORIENTATIONS[ORDER[number - 1]]
        uid = source.uid("picture", name, *parts)
        content = new_object(SECONDARY_CAPTURE, uid, series_uid, number, "OT")
        describe(content, source, series, "Similar cases (research)", made)
        content.ConversionType = "WSD"
        content.ImageType = ["DERIVED", "SECONDARY"]
        content.DerivationDescription = source.words(f"{name} planes of query and hits. {PURPOSE}")
        content.BurnedInAnnotation = "NO"  # of the patient: there is none
        content.RecognizableVisualFeatures = "NO"
        content.BodyPartExamined = "BRAIN"
        content.PatientOrientation = [row, column]
        content.SamplesPerPixel, content.PhotometricInterpretation = 1, "MONOCHROME2"
        content.Rows, content.Columns = pixels.shape
        content.BitsAllocated = content.BitsStored = 8
        content.HighBit, content.PixelRepresentation = 7, 0
        content.WindowCenter, content.WindowWidth = 128, 256
        content.PixelData = pixels.tobytes()
        objects.append(content)
    return objects


def _draw(cases: Sequence[CasePicture], plane: int, warning: str) -> NDArray[np.uint8]:
    picture = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(picture)
    usual, small = ImageFont.load_default(15), ImageFont.load_default(13)
    name = ORIENTATIONS[plane][0]
    title = f"{warning or 'Similar cases'}   {name}"
    pen.text((8, 5), _cut(pen, title, usual, SIDE - 16), 255, usual)
    pen.text((8, SIDE - FOOT + 6), f"{PURPOSE} R: the subject's right.", 255, usual)
    wide, high = SIDE // COLUMNS, (SIDE - HEAD - FOOT) // COLUMNS
    for place, case in enumerate(cases):
        left, top = wide * (place % COLUMNS), HEAD + high * (place // COLUMNS)
        pen.text((left + 6, top), _cut(pen, case.heading, usual, wide - 10), 230, usual)
        said = DOT.join(filter(None, (case.details, case.note)))
        for row, line in enumerate(_lines(pen, said, small, wide - 10), 1):
            pen.text((left + 6, top + LINE * row), line, 230, small)
        shown = np.clip(case.planes[plane] * (255.0 / case.white), 0, 255).astype(np.uint8)
        box = (wide - 8, high - LINES * LINE - 8)
        scale = min(box[0] / shown.shape[1], box[1] / shown.shape[0])
        size = (round(shown.shape[1] * scale), round(shown.shape[0] * scale))
        image = Image.fromarray(np.ascontiguousarray(shown)).resize(size, Image.Resampling.BICUBIC)
        corner = (left + (wide - size[0]) // 2, top + LINES * LINE + 4)
        picture.paste(image, corner)
        middle = corner[1] + size[1] // 2 - 8
        first, last = EDGES[plane]
        pen.text((left + 6, middle), first, 255, usual)
        pen.text((left + wide - 18, middle), last, 255, usual)
    return np.asarray(picture)


def _lines(pen: ImageDraw.ImageDraw, text: str, font: Any, most: int) -> list[str]:
    """Break what is said of a case between two of its parts if it is wider than so many pixels."""
    parts = text.split(DOT)
    ways = [(DOT.join(parts[:place]), DOT.join(parts[place:])) for place in range(1, len(parts))]
    if pen.textlength(text, font) <= most or not ways:
        return [_cut(pen, text, font, most)]
    best = min(ways, key=lambda lines: max(pen.textlength(line, font) for line in lines))
    return [_cut(pen, line, font, most) for line in best]


def _cut(pen: ImageDraw.ImageDraw, text: str, font: Any, most: int) -> str:
    """Return a text in letters that the font has, with an ellipsis for what is too long."""
    has = f"{DOT}{ELLIPSIS}"
    text = "".join(sign if sign.isascii() or sign in has else "?" for sign in text)
    if pen.textlength(text, font) <= most:
        return text
    while text and pen.textlength(text + ELLIPSIS, font) > most:
        text = text[:-1]
    return text.rstrip(DOT) + ELLIPSIS
