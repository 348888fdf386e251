"""Evaluation report: results as one HTML file with pictures, one JSON file, and CSV files.

Every number in the page is in ``results.json``; ``scores.csv`` has one line a number for
spreadsheets, ``queries.csv`` one line a query and method of the honest protocol.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from PIL import Image

from braincase.errors import ParameterError
from braincase.evaluate.confound import ConfoundResult
from braincase.evaluate.honest import HonestResult
from braincase.evaluate.paper import PaperResult
from braincase.evaluate.results import Estimate, title_of
from braincase.files import write_json, write_text
from braincase.labels import Value
from braincase.purpose import PURPOSE
from braincase.report.figures import png_url
from braincase.report.page import Pictures, Section, render_page
from braincase.report.sections import (
    confound_section,
    honest_section,
    method_section,
    paper_section,
)

Result = PaperResult | HonestResult | ConfoundResult
SCORE_COLUMNS = ("protocol", "data", "method", "score", "fold", "value", "low", "high")


@dataclass(frozen=True)
class ReportPicture:
    """Picture file shown in an evaluation report, for example a search result.

    Parameters
    ----------
    title
        Heading of its section.
    caption
        What it shows.
    path
        An image file Pillow can read.
    """

    title: str
    caption: str
    path: Path


def write_report(
    folder: str | Path,
    results: Sequence[Result],
    title: str = "",
    pictures: Sequence[ReportPicture] = (),
) -> Path:
    """Write ``report.html``, ``results.json``, ``scores.csv`` and, if any, ``queries.csv``.

    Parameters
    ----------
    folder
        Where to; made if missing, files in it are written over.
    results
        One of each protocol at most, of one cohort.
    title
        Heading of the page; empty for a plain one.
    pictures
        Shown before the method section.

    Returns
    -------
    Path of ``report.html``.
    """
    if not results:
        raise ParameterError("results", "none", "one of each protocol at most")
    folder = Path(folder)
    material = results[0].material
    sections = [_section(result) for result in results]
    sections += [_picture_section(picture) for picture in pictures]
    trainings = {(t.model, t.fold): t for result in results for t in result.trainings}
    by_protocol = {str(result.to_json()["protocol"]): result for result in results}
    clocks = {name: result.provenance for name, result in by_protocol.items()}
    sections.append(method_section(material, clocks, list(trainings.values())))
    page = render_page(
        title or f"Braincase: evaluation on {material.data} scans",
        first_line(results),
        _about(results),
        sections,
    )
    contents = {name: result.to_json() for name, result in by_protocol.items()}
    write_json(folder / "results.json", contents)
    _write_csv(folder / "scores.csv", SCORE_COLUMNS, [row for r in results for row in _scores(r)])
    queries = [row for r in results if isinstance(r, HonestResult) for row in r.queries]
    if queries:
        _write_csv(folder / "queries.csv", list(queries[0]), queries)
    write_text(folder / "report.html", page)
    return folder / "report.html"


def first_line(results: Sequence[Result]) -> str:
    """Say the most important thing: who wins by the honest table, else what the paper's shows."""
    for result in results:
        if isinstance(result, HonestResult):
            return result.first_line
    for result in results:
        if isinstance(result, PaperResult):
            steps = ", ".join(f"{title_of(s.model)} {s.kmeans.mean:.3f}" for s in result.scores)
            return f"K-means accuracy on people never seen: {steps}."
    return "What the codes know besides the disease."


def _about(results: Sequence[Result]) -> list[str]:
    material = results[0].material
    people = ", ".join(f"{n} {name}" for name, n in material.people.items())
    lines = [f"{people} people, data set: {material.data}. Nobody is both trained on and asked."]
    if material.simulated:
        lines.append(
            "The images are simulated, from published effect sizes: they show how the software "
            "works, not how well it finds disease in patients."
        )
    return [*lines, PURPOSE]


def _section(result: Result) -> Section:
    if isinstance(result, PaperResult):
        return paper_section(result)
    if isinstance(result, HonestResult):
        return honest_section(result)
    return confound_section(result)


def _picture_section(picture: ReportPicture) -> Section:
    with Image.open(picture.path) as image:
        url = png_url(image.convert("RGB"))
    return Section(picture.title, blocks=[Pictures([("", [url])], [], picture.caption)])


def _scores(result: Result) -> Iterator[Mapping[str, Value]]:
    if isinstance(result, PaperResult):
        yield from _paper_scores(result)
    elif isinstance(result, HonestResult):
        yield from _honest_scores(result)
    else:
        yield from _confound_scores(result)


def _paper_scores(result: PaperResult) -> Iterator[Mapping[str, Value]]:
    for score in (*result.scores, *result.references):
        for name in ("kmeans", "rmse_percent"):
            spread = getattr(score, name)
            line = {"protocol": "paper", "data": result.material.data, "method": score.model}
            yield {**line, "score": name, **_numbers(spread.estimate)}
            for fold, value in enumerate(spread.folds):
                yield {**line, "score": name, "fold": fold + 1, "value": round(value, 6)}


def _honest_scores(result: HonestResult) -> Iterator[Mapping[str, Value]]:
    tables = [(result.material.data, result.methods)]
    if result.unseen:
        tables.append((f"unseen: {result.unseen.data}", result.unseen.methods))
    for data, methods in tables:
        for method in methods:
            line = {"protocol": "honest", "data": data, "method": method.name}
            values = {f.name: getattr(method, f.name) for f in fields(method)}
            values |= {f"recall {name}": value for name, value in method.recalls.items()}
            for name, value in values.items():
                if isinstance(value, Estimate):
                    yield {**line, "score": name, **_numbers(value)}
    for staging in result.staging:
        line = {"protocol": "honest", "data": result.material.data, "method": staging.method}
        for group in staging.groups:
            yield {**line, "score": f"position {group.name}", **_numbers(group.mean)}


def _confound_scores(result: ConfoundResult) -> Iterator[Mapping[str, Value]]:
    for model in result.models:
        line = {"protocol": "confound", "data": result.material.data, "method": model.model}
        for sharing in model.sharing:
            yield {**line, "score": f"neighbours {sharing.attribute}", **_numbers(sharing.observed)}
        for entry in model.readable:
            yield {**line, "score": f"readable {entry.attribute}", **_numbers(entry.score)}
        if model.linking:
            yield {**line, "score": "same person linked", **_numbers(model.linking.rate)}


def _numbers(estimate: Estimate) -> Mapping[str, float | None]:
    numbers = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return {name: None if n is None or n != n else round(n, 6) for name, n in numbers.items()}


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Value]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
