"""Commands on scans and cohorts: ``simulate``, ``census``, ``calibrate`` and ``prepare``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from braincase.cli.arguments import (
    AsJson,
    Force,
    Seed,
    Site,
    View,
    ViewBrainOnly,
    Workers,
    chosen_view,
    print_json,
)
from braincase.errors import CohortError, UsageError
from braincase.files import did_you_mean
from braincase.labels import value_text

if TYPE_CHECKING:
    from braincase.preprocess.prepare_cohort import Plan, Shard
    from braincase.sources.census import Census
    from braincase.sources.scan import Scan

#: How scans are prepared if nothing else is said: voxel edge, intensity, brain extraction.
USUAL = (2, "white-matter", "watershed")


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the command line."""
    for command in (simulate, census, calibrate, prepare):
        app.command()(command)


def simulate(
    folder: Annotated[Path, typer.Argument(help="Where the cohort goes.")],
    size: Annotated[str, typer.Option(help="tiny, small, paper or bench.")] = "small",
    seed: Seed = 0,
    resolution: Annotated[int, typer.Option(help="Voxel edge: 2 or 4 mm; 0: by size.")] = 0,
    confounding: Annotated[
        float, typer.Option(help="How far the scanner follows the diagnosis, 0 to 1.")
    ] = 0.0,
    raw: Annotated[int, typer.Option(help="Raw heads instead, this many, to try prepare.")] = 0,
    heads: Annotated[
        bool, typer.Option("--heads", help="The cohort's people as raw heads (BIDS), to prepare.")
    ] = False,
    view: Annotated[
        str, typer.Option(help="Whole simulated heads to look at, beside the volumes: 1mm or 2mm.")
    ] = "none",
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Simulate a cohort with known truth; an interrupted run goes on where it was."""
    if raw or heads:
        from braincase.simulate.cohort_heads import simulate_cohort_heads
        from braincase.simulate.raw import simulate_raw

        images = (
            simulate_cohort_heads(folder, size, seed, confounding, workers)
            if heads
            else simulate_raw(folder, raw, seed, workers)
        )
        if as_json:
            print_json({"images": [str(image) for image in images]})
        else:
            print(f"{folder}: {len(images)} simulated raw heads")
        return
    from braincase.cohort.view import view_choice
    from braincase.simulate.cohort import simulate_cohort

    seen = view_choice(view)
    simulate_cohort(folder, size, seed, resolution or None, confounding, workers, seen)
    _show_census(folder, as_json)


def _show_census(folder: Path, as_json: bool) -> None:
    from braincase.cohort.cohort import open_cohort, read_census

    open_cohort(folder)
    census = read_census(folder)
    if as_json:
        print_json({"cohort": str(folder), **census.to_json()})
    else:
        print("\n".join([f"{folder}:", *census.lines()]))


def census(
    place: Annotated[Path, typer.Argument(help="A cohort, or a source of scans.")],
    why: Annotated[bool, typer.Option("--why", help="Each scan's evidence; all reasons.")] = False,
    kind: Annotated[str, typer.Option("--source", help="Kind of source, or auto.")] = "auto",
    label: Annotated[str | None, typer.Option(help="Column to count; found if not given.")] = None,
    keep_column: Annotated[
        list[str] | None,
        typer.Option(help="Keep a column that seems to identify people; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count people, scans and labels of a cohort or a source; list what was dropped, and why."""
    from braincase.sources.listing import is_cohort

    if not place.exists():
        expected, advice = "a cohort or a source", did_you_mean(place)
        raise CohortError(place, "no such folder or file", expected, advice)
    if is_cohort(place) and not why:
        _show_census(place, as_json)
        return
    from braincase.sources.find import find_scans

    if is_cohort(place):
        from braincase.cohort.cohort import open_cohort, prepared_scans, read_census

        open_cohort(place)
        scans, found = prepared_scans(place), read_census(place)
    else:
        scans, found = find_scans(place, kind, label, keep_columns=keep_column or ())
    if as_json:
        evidence = {scan.scan_id: list(scan.evidence) for scan in scans}
        print_json(
            {"source": str(place), **found.to_json(), **({"evidence": evidence} if why else {})}
        )
    else:
        print("\n".join([f"{place}:", *found.lines(why), *(_evidence(scans) if why else ())]))


def _evidence(scans: Sequence[Scan]) -> list[str]:
    """Return why each scan is whose it is, as lines to print."""
    lines = ["why:"]
    for scan in scans:
        labels = ", ".join(f"{name} {value_text(value)}" for name, value in scan.labels.items())
        lines += [f"  {scan.scan_id}: {scan.path}", *(f"    {line}" for line in scan.evidence)]
        lines += [f"    labels: {labels}"] if labels else []
    return lines


def calibrate(
    cohort: Annotated[Path, typer.Argument(help="A simulated cohort.")],
    figure: Annotated[Path | None, typer.Option(help="Also draw CN against AD slices.")] = None,
    seed: Seed = 0,
    workers: Workers = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Compare what a simulated cohort's images show with what was measured of real people."""
    from braincase.cohort.cohort import open_cohort
    from braincase.files import refuse_overwrite
    from braincase.simulate.calibration.effect import effects_json, effects_table
    from braincase.simulate.calibration.figure import draw_groups
    from braincase.simulate.calibration.measure import measure_effects

    if figure:
        refuse_overwrite(figure, force)
    opened = open_cohort(cohort)
    effects = measure_effects(opened, seed, workers)
    if figure:
        draw_groups(opened, figure)
    if as_json:
        print_json(effects_json(effects))
    else:
        print(effects_table(effects))


def prepare(
    source: Annotated[Path, typer.Argument(help="Scans: image, DICOM, BIDS, ADNI, OASIS, table.")],
    out: Annotated[Path, typer.Argument(help="Folder of the cohort.")],
    kind: Annotated[str, typer.Option("--source", help="Kind of source, or auto.")] = "auto",
    subject: Annotated[str | None, typer.Option(help="Whose scan it is (image, DICOM).")] = None,
    series: Annotated[int | None, typer.Option(help="Number of the DICOM series.")] = None,
    label: Annotated[str | None, typer.Option(help="Column to count; found if not given.")] = None,
    keep_column: Annotated[
        list[str] | None,
        typer.Option(help="Keep a column that seems to identify people; may be repeated."),
    ] = None,
    site: Site = None,
    model: Annotated[
        str | None,
        typer.Option(help="Prepare as a model or an encoder file wants it, instead of the next 3."),
    ] = None,
    resolution: Annotated[int, typer.Option(help="Voxel edge: 2 or 4 mm.")] = USUAL[0],
    intensity: Annotated[str, typer.Option(help="white-matter or gamma18.")] = USUAL[1],
    brain_extraction: Annotated[
        str, typer.Option(help="watershed, or an installed hd-bet or synthstrip.")
    ] = USUAL[2],
    view: View = None,
    view_brain_only: ViewBrainOnly = False,
    shard: Annotated[str, typer.Option(help="Part of the work, such as 2/5.")] = "1/1",
    launcher: Annotated[str, typer.Option(help="here, or submitit's local or slurm.")] = "here",
    jobs: Annotated[int, typer.Option(help="Number of jobs of the launcher.")] = 2,
    minutes: Annotated[int, typer.Option(help="Time limit of each SLURM job.")] = 240,
    partition: Annotated[str | None, typer.Option(help="SLURM partition.")] = None,
    account: Annotated[str | None, typer.Option(help="SLURM account.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and prepare nothing.")
    ] = False,
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Prepare raw scans: brain extraction, bias field, affine to MNI152, quality page."""
    from braincase.images.geometry import grid_of_resolution
    from braincase.preprocess.cluster import Jobs, launch
    from braincase.preprocess.prepare_cohort import Plan, parse_shard, prepare_cohort
    from braincase.sources.find import find_scans

    if launcher not in ("here", "local", "slurm"):
        raise UsageError("--launcher", launcher, "here, local or slurm")
    part = parse_shard(shard)
    grid = grid_of_resolution(resolution)
    seen = chosen_view(view, view_brain_only)
    if model is not None and (resolution, intensity, brain_extraction) != USUAL:
        found = "given with --resolution, --intensity or --brain-extraction"
        raise UsageError("--model", found, "the model's own")
    scans, census = find_scans(source, kind, label, subject, series, keep_column or (), site)
    if not as_json:
        print(
            "\n".join(
                [f"{source}:", *census.lines(dry_run), *(_evidence(scans) if dry_run else ())]
            )
        )
    if not scans:
        advice = "See the reasons above." if census.dropped or census.notes else "Nothing is there."
        raise CohortError(source, "no T1-weighted scan", "at least one", advice)
    plan = Plan(out, grid, intensity, brain_extraction, None, census.dropped, census.label_column)
    if model is not None:
        from braincase.models.open_encoder import encoder_info
        from braincase.workflows.index_scans import plan_for

        info = encoder_info(model)
        plan = plan_for(info.grid, info.recipe, out, census)
    plan = replace(plan, view=seen, views_of_all=view is not None or view_brain_only)
    if dry_run:
        _show_plan(scans, plan, part, census, as_json)
        return
    if launcher == "here":
        summary = prepare_cohort(scans, plan, part, workers)
    else:
        where: Literal["slurm", "local"] = "slurm" if launcher == "slurm" else "local"
        batch = Jobs(
            where, jobs, workers or 2, minutes=minutes, partition=partition, account=account
        )
        summary = launch(scans, plan, batch)
    if as_json:
        print_json({"cohort": str(out), "source": census.to_json(), **summary.to_json()})
    else:
        print("\n".join(summary.lines()))


def _show_plan(
    scans: Sequence[Scan], plan: Plan, shard: Shard, found: Census, as_json: bool
) -> None:
    """Say what `prepare` would do with a source's scans, without doing it."""
    from braincase.preprocess.dry_run import plan_of

    planned = plan_of(scans, plan, shard)
    if as_json:
        print_json({"cohort": str(plan.folder), "source": found.to_json(), **planned.to_json()})
    else:
        print("\n".join(planned.lines()))
