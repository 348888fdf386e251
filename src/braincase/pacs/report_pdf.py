"""Encapsulated PDF of a result: the answer's text and its pictures, for viewers without SR."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from numpy.typing import NDArray

from braincase.pacs.dicom_objects import Source, describe, new_object
from braincase.purpose import PURPOSE

ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
A4 = (8.27, 11.69)
LINES, LETTERS = 62, 105


def pdf_object(
    lines: Sequence[str], pictures: Sequence[NDArray[np.uint8]], source: Source, series: int,
    parts: Sequence[object], made: datetime,
) -> Any:  # fmt: skip
    """Return text and pictures as a PDF inside a DICOM object.

    Parameters
    ----------
    lines
        The text.
    pictures
        Each of shape (1024, 1024), uint8.
    source, series, parts, made
        As in `braincase.pacs.picture_series.picture_objects`.
    """
    content = new_object(
        ENCAPSULATED_PDF, source.uid("pdf", *parts), source.uid("pdf series", *parts), 1, "DOC"
    )
    describe(content, source, series, "Similar cases (research)", made)
    content.AcquisitionDateTime = ""
    content.BurnedInAnnotation = "NO"
    content.ConversionType = "WSD"
    content.DocumentTitle = "Similar cases (research)"
    content.ConceptNameCodeSequence = []
    content.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document = _pdf(lines, pictures)
    content.EncapsulatedDocumentLength = len(document)
    content.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
    return content


def _pdf(lines: Sequence[str], pictures: Sequence[NDArray[np.uint8]]) -> bytes:
    wrapped = [
        part for line in (PURPOSE, "", *lines) for part in textwrap.wrap(line, LETTERS) or [""]
    ]
    buffer = io.BytesIO()
    with PdfPages(buffer, metadata={"CreationDate": None, "Creator": "Braincase"}) as pages:
        for first in range(0, len(wrapped), LINES):
            figure = Figure(figsize=A4)
            text = "\n".join(wrapped[first : first + LINES]).replace("$", r"\$")
            figure.text(0.07, 0.96, text, va="top", fontsize=8)
            pages.savefig(figure)
        for picture in pictures:
            figure = Figure(figsize=A4)
            axes = figure.add_axes((0.04, 0.2, 0.92, 0.65), xticks=[], yticks=[])
            axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
            pages.savefig(figure, dpi=150)
    return buffer.getvalue()
