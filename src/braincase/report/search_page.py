"""Report of a search: the query and its hits in three planes, as one HTML page or as PNG.

All pictures follow the radiological convention (the subject's right is on the viewer's left) and
say so with letters.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from braincase.cohort.view import ViewVolume
from braincase.files import write_text
from braincase.gallery import Hit, SearchResult
from braincase.images.planes import CONVENTION, EDGES, PLANES_TEXT, Place, Plane
from braincase.labels import age_of
from braincase.purpose import PURPOSE
from braincase.report.case_picture import AS_SCANNED, CasePicture, hit_picture, picture_of_query
from braincase.report.search_figure import draw_search
from braincase.report.search_words import SIMULATED, Language, heading_of, words_of
from braincase.report.wording import AnswerText
from braincase.search.pipeline import FinishedSearch

#: Of a search whose answer was not composed.
NO_TEXT = AnswerText()


@dataclass(frozen=True)
class KeyImage:
    """A key image that a reader chose: a hit or own scan, and the place that the planes cross."""

    scan_id: str
    place: Place


#: Of a key image: its place in words, the query and the case there.
KeyPictures = tuple[str, CasePicture, CasePicture]


def write_search_html(
    query: CasePicture,
    hits: Sequence[CasePicture],
    earlier: Sequence[CasePicture],
    result: SearchResult,
    path: Path,
    text: AnswerText = NO_TEXT,
    about: Sequence[tuple[str, str]] = (),
    language: Language = "en",
    keys: Sequence[KeyPictures] = (),
    simulated: bool = False,
) -> Path:
    """Write query, hits and own other scans as one self-contained HTML file; return its path.

    `text` is what the answer says, notes included; without it the result's notes stand there. Its
    warning stands first, after `about`: date, reader and settings by name. Headings are in the
    page's `language`, lines in English. `keys` stand before the hits.
    `simulated` says that the gallery's people are.
    """
    words = words_of(language)
    listed = text.sections or ([("Notes", result.notes)] if result.notes else [])
    environment = Environment(
        loader=PackageLoader("braincase.report"), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("search.html").render(
        query=_card(query),
        hits=[_card(case) for case in hits],
        earlier=[_card(case) for case in earlier],
        keys=[(where, _card(one), _card(other)) for where, one, other in keys],
        result=result,
        sections=[(heading_of(heading, language), lines) for heading, lines in listed],
        warning=text.warning,
        about=about,
        simulated=SIMULATED if simulated else "",
        language=language,
        t=lambda text: words.get(text, text),
        convention=f"{CONVENTION} {PLANES_TEXT}",
        purpose=PURPOSE,
    )
    write_text(path, page)
    return path


def _card(case: CasePicture) -> dict[str, object]:
    names = ("sagittal", "coronal", "axial")
    return {
        "heading": case.heading,
        "details": case.details,
        "note": case.note,
        "planes": [
            {
                "name": name,
                "data": _png(plane, case.white),
                "left": left,
                "right": right,
                "width": plane.shape[1],
            }
            for name, plane, (left, right) in zip(names, case.planes, EDGES, strict=True)
        ],
    }


def _png(plane: Plane, white: float) -> str:
    """Return a plane as base64 PNG, about one screen pixel a millimetre."""
    scaled = np.clip(plane * (255.0 / white), 0, 255).astype(np.uint8)
    enlarge = max(1, 256 // max(plane.shape))
    picture = Image.fromarray(np.ascontiguousarray(scaled))
    picture = picture.resize(
        (plane.shape[1] * enlarge, plane.shape[0] * enlarge), Image.Resampling.BICUBIC
    )
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def draw(
    search: FinishedSearch,
    png: Path | None,
    html: Path | None,
    text: AnswerText = NO_TEXT,
    about: Sequence[tuple[str, str]] = (),
    language: Language = "en",
    keys: Sequence[KeyImage] = (),
    view: ViewVolume | None = None,
) -> None:
    """Draw query and hits in three planes, as a PNG file, an HTML file, or both.

    They are shown as scanned where the query has a view volume, else as the standard volumes that
    are compared.

    Parameters
    ----------
    search
        The search.
    png, html
        Files to write.
    text
        From `braincase.report.wording.text_of`; the HTML page shows it instead of the bare notes.
    about, language
        Of the HTML page, as in `write_search_html`.
    keys
        Key images, which the HTML page shows larger and first.
    view
        The query's view volume, where its scan does not hold it.
    """
    if not (png or html):
        return
    pictures = pictures_of(search, view, text.nearness)
    simulated = search.gallery.info(search.result.gallery_version).simulated
    if png:
        draw_search(*pictures, png, simulated)
    if html:
        key_pictures = [_key_pictures(search, key, view, text.nearness) for key in keys]
        write_search_html(
            *pictures, search.result, html, text, about, language, key_pictures, simulated
        )


def pictures_of(
    search: FinishedSearch,
    view: ViewVolume | None = None,
    nearness: Mapping[str, str] = NO_TEXT.nearness,
) -> tuple[CasePicture, list[CasePicture], list[CasePicture]]:
    """Return the pictures of query, hits and own other scans, as scanned where the query can be.

    The person's other scans come in the order of their ages. `nearness` is what stands below each
    hit, by scan_id; without it its distance.
    """
    result = search.result
    query = picture_of_query(search, as_scanned=True, view=view)
    own = sorted((h for h in result.same_subject if h.scan_id != result.query_id), key=_by_age)
    hits, others = (
        [
            hit_picture(
                search.gallery,
                hit,
                result.gallery_version,
                as_scanned=query.note == AS_SCANNED,
                nearness=nearness.get(hit.scan_id, ""),
            )
            for hit in group
        ]
        for group in (result.hits, own)
    )
    # Their ranks are those of the distance.
    named = [replace(one, heading=hit.scan_id) for one, hit in zip(others, own, strict=True)]
    return query, hits, named


def _by_age(hit: Hit) -> tuple[float, str]:
    """Sort by age, whose age is not known last, then by name."""
    age = age_of(hit.labels)
    return math.inf if age is None else age, hit.scan_id


def _key_pictures(
    search: FinishedSearch, key: KeyImage, view: ViewVolume | None, nearness: Mapping[str, str]
) -> KeyPictures:
    """Draw the query and one of its cases at a place that the reader chose."""
    result = search.result
    query = picture_of_query(search, key.place, as_scanned=True, view=view)
    (hit,) = (h for h in (*result.hits, *result.same_subject) if h.scan_id == key.scan_id)
    case = hit_picture(
        search.gallery, hit, result.gallery_version, key.place,
        as_scanned=query.note == AS_SCANNED, nearness=nearness.get(hit.scan_id, ""),
    )  # fmt: skip
    return "MNI x {:.0f}, y {:.0f}, z {:.0f} mm".format(*key.place), query, case
