"""The command `braincase search`: what it takes, and how it tells the answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from braincase.cli.arguments import Force, Json, comma_list, print_json
from braincase.errors import UsageError

if TYPE_CHECKING:
    from braincase.answer.compose import Answer


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
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Find the cases most similar to a scan, with reasons and doubts."""
    from braincase.answer.compose import answer
    from braincase.answer.export import write_explanations
    from braincase.files import refuse_overwrite
    from braincase.report.hits_table import write_hits
    from braincase.report.search_page import draw
    from braincase.report.wording import sections_of, warning_of
    from braincase.search.options import SearchOptions
    from braincase.search.pipeline import ask

    for path in (picture, html, explain, save_hits):
        if path:
            refuse_overwrite(path, force)
    wish = SearchOptions(
        k=k,
        where=where,
        subject=subject,
        as_of=as_of,
        regions=tuple(comma_list(region)),
        mask=region_mask,
        plus=tuple(comma_list(plus)),
        minus=tuple(comma_list(minus)),
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
    draw(asked, picture, html, sections_of(told, why=True), warning_of(told))
    if as_json:
        print_json({**told.to_json(), "missing": missing})
    else:
        print_answer(told, why or bool(explain))
        _print_written(missing, [p for p in (explain, save_hits, picture, html) if p])


def _known(age: float | None, sex: str | None) -> dict[str, Any]:
    if age is not None and not 0 <= age <= 130:
        raise UsageError("--age", f"{age:g}", "years, 0 to 130")
    if sex is not None and sex not in ("F", "M"):
        raise UsageError("--sex", f"'{sex}'", "F or M")
    return {name: value for name, value in (("age", age), ("sex", sex)) if value is not None}


def print_answer(told: Answer, why: bool = False) -> None:
    """Print an answer as a radiologist reads it: warning, hits, person, neighbours, outcome."""
    from braincase.cli.hits_table import print_hits
    from braincase.report.wording import sections_of, warning_of

    if warning := warning_of(told):
        print(f"WARNING: {warning}")
    print_hits(told)
    for heading, lines in sections_of(told, why):
        print(f"{heading}:")
        print("\n".join(f"  {line}" for line in lines))


def _print_written(missing: tuple[str, ...], paths: list[Path]) -> None:
    for line in missing:
        print(f"note: {line}")
    for path in paths:
        print(f"written: {path}")
