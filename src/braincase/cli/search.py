"""Search command: `braincase search`, its options, and the answer as text or JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from braincase.cli.arguments import (
    MODEL_VARIABLE,
    AsJson,
    Force,
    GalleryOption,
    comma_list,
    print_json,
)
from braincase.cli.change import print_change, refuse_with_prior
from braincase.errors import UsageError

if TYPE_CHECKING:
    from braincase.answer.compose import Answer
    from braincase.cohort.view import ViewChoice
    from braincase.labels import Value
    from braincase.search.options import SearchOptions
    from braincase.search.pipeline import FinishedSearch


def search(
    scan: Annotated[str, typer.Argument(help="A scan (raw or prepared), or a case's scan_id.")],
    gallery: GalleryOption,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            envvar=MODEL_VARIABLE,
            help="Folder of the gallery's model, or encoder file; else one at hand is found.",
        ),
    ] = None,
    k: Annotated[
        int | None, typer.Option("-k", help="Number of hits; default 10, or all of fewer people.")
    ] = None,
    where: Annotated[str, typer.Option(help="Filter: \"age > 60 and sex = 'F'\".")] = "",
    subject: Annotated[str | None, typer.Option(help="Whose scan it is.")] = None,
    age: Annotated[float | None, typer.Option(help="Age at the scan, years.")] = None,
    sex: Annotated[str | None, typer.Option(help="F or M.")] = None,
    series: Annotated[int | None, typer.Option(help="Number of the DICOM series.")] = None,
    as_of: Annotated[int | None, typer.Option(help="Search an earlier gallery version.")] = None,
    region: Annotated[
        str, typer.Option(help="Compare these regions alone: hippocampus,left-temporal:0.5")
    ] = "",
    region_mask: Annotated[
        Path | None, typer.Option(help="Compare the regions that a mask in MNI space fills.")
    ] = None,
    similar_by: Annotated[
        str, typer.Option(help="code, normal (built alike) or abnormality (ill alike).")
    ] = "code",
    plus: Annotated[str, typer.Option(help="Cases to find more of: scan_ids with commas.")] = "",
    minus: Annotated[str, typer.Option(help="Cases to keep away from, likewise.")] = "",
    older: Annotated[
        float | None, typer.Option(help="As if so many years older; negative: younger.")
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(help="An earlier scan of the person: who changed alike over a like time?"),
    ] = None,
    years: Annotated[
        float | None, typer.Option(help="Years from --prior to the scan, if ages do not tell.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Column the neighbours vote on; default diagnosis.")
    ] = None,
    columns: Annotated[
        str, typer.Option(help="Labels to show: age,site; default: the label, age and sex.")
    ] = "",
    why: Annotated[bool, typer.Option("--why", help="Name the regions that differ most.")] = False,
    normality: Annotated[
        bool, typer.Option("--normality", help="Compare query and hits with the controls.")
    ] = False,
    controls: Annotated[
        str | None,
        typer.Option(help='Who is a control: a filter such as "cdr = 0"; default by diagnosis.'),
    ] = None,
    explain: Annotated[
        Path | None, typer.Option(help="Folder for maps, numbers and pictures of each hit.")
    ] = None,
    save_hits: Annotated[
        Path | None, typer.Option(help="Save the hits as a table (TSV) that braincase reads.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw query and hits as PNG.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write query and hits as HTML.")] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Find the cases most similar to a scan, with reasons and doubts."""
    from braincase.answer.compose import answer
    from braincase.files import refuse_overwrite
    from braincase.workflows.searchable_gallery import open_gallery

    outputs = [path for path in (explain, save_hits, picture, html) if path]
    if prior is not None:
        refuse_with_prior(
            {
                "region": region, "region_mask": region_mask, "plus": plus, "minus": minus,
                "older": older, "similar_by": similar_by != "code", "why": why, "sex": sex,
                "normality": normality, "columns": columns, "explain": explain, "age": age,
                "save_hits": save_hits, "picture": picture, "html": html, "series": series,
                "controls": controls,
            }
        )  # fmt: skip
        _search_by_change(
            scan, prior, gallery, model, k, where, years, subject, as_of, label, as_json
        )
        return
    for path in outputs:
        refuse_overwrite(path, force)
    if years is not None:
        raise UsageError("--years", "given without --prior", "an earlier scan to count from")
    options = _options(
        k=k, where=where, subject=subject, as_of=as_of, region=region, mask=region_mask, plus=plus,
        minus=minus, older=older, similar_by=similar_by, known=_labels_of(age, sex), series=series,
        controls=controls,
    )  # fmt: skip
    is_new = Path(scan).exists()  # a case is there with its code
    if is_new:
        _import_nibabel()
    with open_gallery(gallery, model if is_new else None) as opened:
        finished = opened.finished_search(scan, options, _drawn_view(picture, html))
        composed = answer(finished, label, normality=normality or bool(explain))
        missing = _write_files(finished, composed, explain, save_hits, picture, html)
    if as_json:
        print_json({**composed.to_json(), "missing": missing})
    else:
        print_answer(composed, why or bool(explain), comma_list(columns))
        _print_written(missing, outputs)


def _import_nibabel() -> None:
    """Import nibabel without pydicom, which it takes along for the headers inside of headers.

    Nothing here reads those, and pydicom (with requests and more) takes five times as long as
    nibabel. A scan that is DICOM imports it when it is read.
    """
    if "nibabel" in sys.modules or "pydicom" in sys.modules:
        return
    sys.modules["pydicom"] = None  # type: ignore[assignment]
    try:
        import nibabel  # noqa: F401
    finally:
        del sys.modules["pydicom"]


def _search_by_change(
    scan: str,
    prior: str,
    gallery: str,
    model: str | None,
    k: int | None,
    where: str,
    years: float | None,
    subject: str | None,
    as_of: int | None,
    label: str | None,
    as_json: bool,
) -> None:
    """Search with a scan and an earlier one, and print who changed alike."""
    from braincase.workflows.searchable_gallery import open_gallery

    is_new = Path(scan).exists() or Path(prior).exists()
    with open_gallery(gallery, model if is_new else None) as opened:
        result = opened.search_by_change(
            scan, prior, k, where, years=years, subject=subject, as_of=as_of
        )
    if as_json:
        print_json(result.to_json())
    else:
        print_change(result, label)


def _drawn_view(picture: Path | None, html: Path | None) -> ViewChoice | None:
    """Return the view volume that pictures of a search show of a scan."""
    if not (picture or html):
        return None
    from braincase.cohort.view import ViewChoice

    return ViewChoice(1)


def _write_files(
    finished: FinishedSearch,
    composed: Answer,
    explain: Path | None,
    save_hits: Path | None,
    picture: Path | None,
    html: Path | None,
) -> tuple[str, ...]:
    """Write what was asked for; return what could not be shown, a line each.

    What draws is imported with the first picture: a table of ten lines does not wait for it.
    """
    missing: tuple[str, ...] = ()
    if explain:
        from braincase.answer.export import write_explanations

        missing = write_explanations(finished, composed, explain)
    if save_hits:
        from braincase.report.hits_table import write_hits

        write_hits(finished.result, finished.gallery, save_hits)
    if picture or html:
        from braincase.report.search_page import draw
        from braincase.report.wording import text_of

        draw(finished, picture, html, text_of(composed))
    return missing


def _options(
    *,
    k: int | None,
    where: str,
    subject: str | None,
    as_of: int | None,
    region: str,
    mask: Path | None,
    plus: str,
    minus: str,
    older: float | None,
    similar_by: str,
    known: dict[str, Value],
    series: int | None,
    controls: str | None,
) -> SearchOptions:
    """Return the library's options; lists are given with commas."""
    from braincase.search.options import SearchOptions

    return SearchOptions(
        k=k,
        where=where,
        subject=subject,
        as_of=as_of,
        regions=tuple(comma_list(region)),
        mask=mask,
        plus=tuple(comma_list(plus)),
        minus=tuple(comma_list(minus)),
        older=older,
        similar_by=similar_by,
        known=known,
        series=series,
        controls=controls,
    )


def _labels_of(age: float | None, sex: str | None) -> dict[str, Value]:
    """Return the labels that were given, checked."""
    labels: dict[str, Value] = {}
    if age is not None:
        if not 0 <= age <= 130:
            raise UsageError("--age", f"{age:g}", "years, 0 to 130")
        labels["age"] = age
    if sex is not None:
        if sex not in ("F", "M"):
            raise UsageError("--sex", f"'{sex}'", "F or M")
        labels["sex"] = sex
    return labels


def print_answer(answer: Answer, why: bool = False, columns: Sequence[str] = ()) -> None:
    """Print an answer as a radiologist reads it: warning, hits, person, neighbours, outcome."""
    from braincase.cli.hits_table import print_hits
    from braincase.report.wording import sections_of, warning_of

    if warning := warning_of(answer):
        print(f"WARNING: {warning}")
    print_hits(answer, columns)
    for heading, lines in sections_of(answer, why):
        print(f"{heading}:")
        print("\n".join(f"  {line}" for line in lines))


def _print_written(missing: Iterable[str], paths: Iterable[Path]) -> None:
    for line in missing:
        print(f"note: {line}")
    for path in paths:
        print(f"written: {path}")
