"""The quality control (QC) page of a cohort: all scans, the worst first, in one HTML file.

Each scan is a strip of eight slices with the brain mask's outline, its grade, and the reasons. At
the top, one row of dots a quantity shows where each scan lies against the limits.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from braincase.files import write_text
from braincase.images.geometry import Grid
from braincase.labels import Value
from braincase.preprocess.quality.measures import reference
from braincase.preprocess.quality.picture import LABELS, template_outline
from braincase.preprocess.quality.scan_result import ScanResult, picture_path
from braincase.preprocess.quality.verdict import LIMITS
from braincase.version import __version__

#: More strips than this make a page that browsers open slowly (25 kB each).
MOST_PICTURES = 600
#: The quantities drawn at the top: name, unit for people, and the range shown.
SHOWN = (
    ("agreement", "agreement with the template", 0.4, 1.0),
    ("overlap", "overlap with the template", 0.75, 1.0),
    ("brain_ml", "brain volume, ml", 500, 2700),
    ("grey", "grey / white brightness", 0.3, 1.3),
    ("mirror", "left-right overlap", 0.8, 1.0),
    ("noise", "noise / contrast", 0.0, 1.2),
)


@dataclass(frozen=True)
class ScanRow:
    """What the page shows of one scan, as its template names it."""

    scan_id: str
    source: str
    grade: str
    reasons: Sequence[str]
    labels: str
    measures: Sequence[tuple[str, str]]
    picture: str
    width: int
    height: int
    outline: str


@dataclass(frozen=True)
class Dot:
    """One scan in a row of dots: where, from 0 to 1, and whose."""

    at: float
    grade: str
    scan_id: str


@dataclass(frozen=True)
class DotRow:
    """One measured quantity of all scans, with the zones where looks and failures begin."""

    title: str
    low: str
    high: str
    zones: tuple[tuple[str, float, float], ...]
    dots: tuple[Dot, ...]


def write_page(path: Path, folder: Path, results: Sequence[ScanResult], grid: Grid) -> None:
    """Write the quality page of a cohort.

    Parameters
    ----------
    path
        Where to.
    folder
        The cohort, with the pictures in ``qc/``.
    results
        Of its scans, in any order.
    grid
        The grid of the cohort.
    """
    ranked = sorted(results, key=lambda o: (-o.quality.concern, o.scan.scan_id))
    environment = Environment(
        loader=PackageLoader("braincase.preprocess.quality", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("quality_page.html").render(
        name=folder.resolve().name,
        version=__version__,
        counts=Counter(result.quality.grade for result in ranked),
        rows=[_row(folder, result, i < MOST_PICTURES) for i, result in enumerate(ranked)],
        dot_rows=[_dot_row(ranked, *shown) for shown in SHOWN],
        template_outline=template_outline(reference(grid).brain, grid),
        labels=LABELS,
        most_pictures=MOST_PICTURES,
    )
    write_text(path, page)


def _row(folder: Path, result: ScanResult, with_picture: bool) -> ScanRow:
    """Return what the page shows of one scan."""
    picture = picture_path(folder, result.scan)
    encoded = ""
    if with_picture and result.size != (0, 0) and picture.exists():
        encoded = base64.b64encode(picture.read_bytes()).decode("ascii")
    measures = [(k, v) for k, v in result.quality.measures.items() if not isnan(v)]
    return ScanRow(
        scan_id=result.scan.scan_id,
        source=str(result.scan.path),
        grade=result.quality.grade,
        reasons=result.quality.reasons,
        labels=_labels(result.scan.labels),
        measures=[(name.replace("_", " "), f"{value:.4g}") for name, value in measures],
        picture=encoded,
        width=result.size[0],
        height=result.size[1],
        outline=result.outline,
    )


def _labels(labels: Mapping[str, Value]) -> str:
    """Return the few labels that help to recognise a scan."""
    columns = ("diagnosis", "group", "age", "sex", "gender", "site", "scanner")
    texts = [f"{name} {labels[name]}" for name in columns if labels.get(name) not in (None, "")]
    return " · ".join(texts[:4])


def _dot_row(
    results: Sequence[ScanResult], measure: str, title: str, low: float, high: float
) -> DotRow:
    """Return one row of dots; values beyond the range shown lie at its ends."""

    def place(value: float) -> float:
        return min(max((value - low) / (high - low), 0.0), 1.0)

    zones: list[tuple[str, float, float]] = []
    for limit in (limit for limit in LIMITS if limit.measure == measure):
        look, fail = place(limit.look), place(limit.fail)
        end = 1.0 if limit.fail > limit.look else 0.0
        zones.append(("look", min(look, fail), max(look, fail)))
        zones.append(("fail", min(fail, end), max(fail, end)))
    dots = [
        Dot(place(result.quality.measures[measure]), result.quality.grade, result.scan.scan_id)
        for result in reversed(results)  # the worst are drawn last, on top
        if not isnan(result.quality.measures.get(measure, nan))
    ]
    return DotRow(title, f"{low:g}", f"{high:g}", tuple(zones), tuple(dots))
