"""The command `braincase search`: what it takes, and how it tells the answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from braincase.errors import UsageError

if TYPE_CHECKING:
    from braincase.answer import Answer, AnsweredHit


def search(
    scan: Annotated[str, typer.Argument(help="A scan (raw or prepared), or a case's scan_id.")],
    gallery: Annotated[str, typer.Option("--gallery", help="Folder of the gallery.")],
    model: Annotated[
        Path | None, typer.Option("--model", help="Folder of the model; needed for a scan.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Number of hits.")] = 10,
    where: Annotated[str, typer.Option(help="Filter: \"age > 60 and sex = 'F'\".")] = "",
    subject: Annotated[str | None, typer.Option(help="Whose scan it is.")] = None,
    age: Annotated[float | None, typer.Option(help="Age at the scan, years.")] = None,
    sex: Annotated[str | None, typer.Option(help="F or M.")] = None,
    series: Annotated[int | None, typer.Option(help="Number of the DICOM series.")] = None,
    as_of: Annotated[int | None, typer.Option(help="Search an earlier gallery version.")] = None,
    region: Annotated[
        str, typer.Option(help="Compare regions only: hippocampus,left-temporal:0.5")
    ] = "",
    region_mask: Annotated[
        Path | None, typer.Option(help="Compare inside a mask only, an image in MNI space.")
    ] = None,
    similar_by: Annotated[
        str, typer.Option(help="code, normal (built alike) or abnormality (ill alike).")
    ] = "code",
    plus: Annotated[str, typer.Option(help="Cases to find more of: scan_ids with commas.")] = "",
    minus: Annotated[str, typer.Option(help="Cases to keep away from, likewise.")] = "",
    older: Annotated[
        float | None, typer.Option(help="As if so many years older; negative: younger.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Column the neighbours vote on; default diagnosis.")
    ] = None,
    why: Annotated[bool, typer.Option("--why", help="Name the regions that differ most.")] = False,
    normality: Annotated[
        bool, typer.Option("--normality", help="Compare query and hits with the controls.")
    ] = False,
    explain: Annotated[
        Path | None, typer.Option(help="Folder for maps, numbers and pictures of each hit.")
    ] = None,
    save_hits: Annotated[
        Path | None, typer.Option(help="Save the hits as a table (TSV) that braincase reads.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw query and hits as PNG.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write query and hits as HTML.")] = None,
    force: Annotated[bool, typer.Option(help="Write over what is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Find the cases most similar to a scan, with reasons and doubts."""
    from braincase.answer import answer
    from braincase.ask import Wish, ask, draw
    from braincase.atomic import refuse_overwrite
    from braincase.explain_hits import write_explanations
    from braincase.refine import write_hits

    for path in (picture, html, explain, save_hits):
        if path:
            refuse_overwrite(path, force)
    wish = Wish(
        k=k,
        where=where,
        subject=subject,
        as_of=as_of,
        regions=_split(region),
        mask=region_mask,
        plus=_split(plus),
        minus=_split(minus),
        older=older,
        similar_by=similar_by,
        known=_known(age, sex),
        series=series,
    )
    asked = ask(scan, gallery, model, wish)
    told = answer(asked, label, normality=normality or bool(explain))
    missing = write_explanations(asked, told, explain) if explain else ()
    if save_hits:
        write_hits(asked.result, asked.gallery, save_hits)
    draw(asked, picture, html)
    if as_json:
        print(json.dumps({**told.to_json(), "missing": missing}, indent=2, ensure_ascii=False))
    else:
        print_answer(told, why or bool(explain))
        _print_written(missing, [p for p in (explain, save_hits, picture, html) if p])


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _known(age: float | None, sex: str | None) -> dict[str, Any]:
    if age is not None and not 0 <= age <= 130:
        raise UsageError("--age", f"{age:g}", "years, 0 to 130")
    if sex is not None and sex not in ("F", "M"):
        raise UsageError("--sex", f"'{sex}'", "F or M")
    return {name: value for name, value in (("age", age), ("sex", sex)) if value is not None}


def print_answer(told: Answer, why: bool = False) -> None:
    """Print an answer as a radiologist reads it: warning, hits, person, neighbours, outcome."""
    if told.typicality and not told.typicality.similar:
        print(f"WARNING: {told.typicality.line()}")
    _print_table(told)
    for line in lines_of(told, why):
        print(line)


def _print_table(told: Answer) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    result = told.result
    header, rows = result.rows()
    both = any(hit.alike for hit in told.hits)
    title = f"{result.n_searched} cases searched, gallery version {result.gallery_version}"
    title += f", compared by {result.weights_name}" if result.weights_name else ""
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in [*header, *(["built", "ill"] if both else [])]:
        table.add_column(name, no_wrap=True)
    for row, hit in zip(rows, told.hits, strict=True):
        one = hit.alike
        more = [f"{one.normal_anatomy:.2f}", f"{one.abnormality:.2f}"] if one else ["", ""]
        table.add_row(*row, *(more if both else []))
    console = Console(highlight=False)
    console.print(table)
    if both:
        print("built, ill: how differently built and ill than the query, in deviations of controls")


def lines_of(told: Answer, why: bool = False) -> list[str]:
    """Return what an answer says below its table, a line each."""
    return [
        *(_reasons(told) if why else ()),
        *_person(told),
        *_neighbours(told),
        *_outcome(told),
        *_normality(told),
        *([f"Typical? {told.typicality.line()}"] if _similar(told) and told.typicality else []),
        *(f"note: {note}" for note in told.notes),
    ]


def _similar(told: Answer) -> bool:
    return told.typicality is None or told.typicality.similar


def _reasons(told: Answer) -> Iterator[str]:
    for hit in told.hits:
        name = f"{hit.hit.rank}. {hit.hit.scan_id}"
        if hit.likeness:
            alike = ", ".join(_times(part) for part in hit.likeness[:3])
            apart = ", ".join(_times(part) for part in hit.likeness[:-3:-1])
            yield f"{name}: most alike in {alike}; least in {apart} (1 = two people as a rule)"
        if hit.regions:
            shares = ", ".join(f"{region} {share:.0%}" for region, share in hit.regions[:3])
            yield f"{' ' * len(name)}  largest shares of the distance: {shares}"


def _times(part: tuple[str, float]) -> str:
    return f"{part[0]} {part[1]:.2f}"


def _person(told: Answer) -> Iterator[str]:
    for other in told.result.same_subject:
        kind = "the query itself" if other.scan_id == told.result.query_id else "other scan"
        yield f"this person, {kind}: {other.scan_id} (distance {other.distance:.3f})"


def _neighbours(told: Answer) -> Iterator[str]:
    if told.neighbours is None or not told.neighbours.people:
        return
    yield f"What the neighbours say ({told.label}):"
    yield from (f"  {line}" for line in told.neighbours.lines())
    if told.calibration is None:
        yield "  not calibrated: too few people of each kind, or not ranked by the code"


def _outcome(told: Answer) -> Iterator[str]:
    lines = [line for hit in told.hits if (line := _course(hit, told.label, told.score))]
    if lines:
        yield "What became of them:"
    yield from (f"  {line}" for line in lines)


def _course(hit: AnsweredHit, label: str | None, score: str | None) -> str:
    """Return the later visits of a hit in one line: ``sub-1: MCI, +1.0 y AD (mmse 21)``."""
    from braincase.gallery.records import value_text

    if not hit.outcome:
        return ""
    labels = hit.hit.labels
    start = [value_text(labels.get(label))] if label else []
    start += [f"{score} {labels[score]}"] if score and labels.get(score) is not None else []
    steps = [", ".join(part for part in start if part) or "first"]
    for later in hit.outcome:
        when = later.session or later.scan_id
        when = f"after {later.years:.1f} y" if later.years is not None else f"at {when}"
        values = [value_text(later.label)]
        values += [f"{score} {later.score}"] if later.score is not None else []
        steps.append(f"{when} {', '.join(value for value in values if value)}".rstrip())
    return f"{hit.hit.rank}. {hit.hit.scan_id}: {' -> '.join(steps)}"


def _normality(told: Answer) -> Iterator[str]:
    if told.normality is None:
        return
    beyond = told.normality.abnormal()
    named = ", ".join(f"{name} {z:+.1f}" for name, z in beyond[:8]) or "no region"
    yield f"Beyond normal for age and sex (z against {told.normality.controls} controls): {named}"


def _print_written(missing: tuple[str, ...], paths: list[Path]) -> None:
    for line in missing:
        print(f"note: {line}")
    for path in paths:
        print(f"written: {path}")
