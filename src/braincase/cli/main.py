"""Command-line interface (typer): all commands, and one line for every error.

Heavy imports stand inside the commands, so that ``--help`` answers at once. Every error a user can
meet is caught in `main`, in one line.
"""

from __future__ import annotations

import errno
import io
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from braincase.cli import gallery as cli_gallery
from braincase.cli import serve as cli_web
from braincase.cli.arguments import (
    AsJson,
    Force,
    Workers,
    comma_list,
    options_of,
    print_json,
    with_options,
)
from braincase.cli.search import search
from braincase.errors import BraincaseError, CohortError, ParameterError, UsageError
from braincase.json_values import to_json
from braincase.labels import value_text
from braincase.purpose import PURPOSE
from braincase.version import __version__

if TYPE_CHECKING:
    from braincase.preprocess.prepare_cohort import Plan, Shard
    from braincase.sources.census import Census
    from braincase.sources.scan import Scan

app = typer.Typer(
    name="braincase",
    help=f"Similar-case search for 3D brain MRI. {PURPOSE}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]
Label = Annotated[str, typer.Option(help="Column that holds the classes.")]
Classes = Annotated[str, typer.Option(help="Its values to tell apart, such as CN,AD; default all.")]


#: Exit code of a program that Ctrl-C stopped.
STOPPED = 130
#: Exit code of a program that was asked to end (SIGTERM).
TERMINATED = 143


def main() -> None:
    """Run the command line; errors become one line and an exit code, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show is escaped
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminate)  # temporary folders are removed on the way out
    try:
        # Commands return nothing; typer turns Ctrl-C into this number.
        if app(standalone_mode=False) == STOPPED:
            raise KeyboardInterrupt
    except BraincaseError as error:
        _stop(_line_of(error), error.exit_code)
    except KeyboardInterrupt:
        _stop("stopped; the same command goes on where it was", STOPPED)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _stop(_no_space(error.filename), 1)
        if "usable temporary directory" in str(error):
            _stop(f"{error.strerror}. Set TMPDIR to a folder you can write to.", 1)
        if error.filename is None:
            raise
        _stop(f"{error.filename}: {error.strerror}. Check the path and your rights to it.", 1)
    except UnicodeEncodeError as error:
        if "surrogates" not in error.reason:
            raise
        name = str(error.object)[:200]
        _stop(f"{name!r}: a name that is no UTF-8. Rename the file or folder.", 1)
    except Exception as error:  # click's own usage errors know how to show themselves
        if not hasattr(error, "exit_code"):
            raise
        _stop(str(error), int(error.exit_code))


def _line_of(error: BraincaseError) -> str:
    """Return an error in the command line's words: options instead of the library's parameters."""
    where = options_of(error.where) if isinstance(error, ParameterError) else error.where
    advice = with_options(error.advice)
    return str(BraincaseError(where, error.found, error.expected, advice))


def _no_space(filename: str | None) -> str:
    """Say where the disk is full; a temporary folder can be another one."""
    temporary = tempfile.gettempdir()
    line = f"{filename or 'disk'}: no space left; free some and run it again"
    if filename and Path(filename).is_relative_to(temporary):
        line += f", or set TMPDIR to a folder with more room than {temporary}"
    return line


def _terminate(number: int, frame: object) -> None:
    sys.exit(TERMINATED)


def _stop(line: str, exit_code: int) -> NoReturn:
    print(f"braincase: {line}", file=sys.stderr)
    sys.exit(exit_code)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"braincase {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Version.")
    ] = False,
) -> None:
    """Take the options of the program itself; its help stands above."""


cli_web.add_commands(app)
cli_gallery.add_commands(app)


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="Where the cohort goes.")],
    size: Annotated[str, typer.Option(help="tiny, small or paper.")] = "small",
    seed: Seed = 0,
    resolution: Annotated[int, typer.Option(help="Voxel edge: 2 or 4 mm; 0: by size.")] = 0,
    confounding: Annotated[
        float, typer.Option(help="How far the scanner follows the diagnosis, 0 to 1.")
    ] = 0.0,
    raw: Annotated[int, typer.Option(help="Raw heads instead, this many, to try prepare.")] = 0,
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Simulate a cohort with known truth; an interrupted run goes on where it was."""
    if raw:
        from braincase.simulate.raw import simulate_raw

        images = simulate_raw(folder, raw, seed, workers)
        if as_json:
            print_json({"images": [str(image) for image in images]})
        else:
            print(f"{folder}: {len(images)} simulated raw heads")
        return
    from braincase.simulate.cohort import simulate_cohort

    simulate_cohort(folder, size, seed, resolution or None, confounding, workers)
    _show_census(folder, as_json)


def _show_census(folder: Path, as_json: bool) -> None:
    from braincase.cohort.cohort import open_cohort, read_census

    open_cohort(folder)
    census = read_census(folder)
    if as_json:
        print_json({"cohort": str(folder), **census.to_json()})
    else:
        print("\n".join([f"{folder}:", *census.lines()]))


@app.command()
def census(
    place: Annotated[Path, typer.Argument(help="A cohort, or a source of scans.")],
    why: Annotated[bool, typer.Option("--why", help="Each scan's evidence; all reasons.")] = False,
    kind: Annotated[str, typer.Option("--source", help="Kind of source, or auto.")] = "auto",
    label: Annotated[str | None, typer.Option(help="Column to count; found if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Count people, scans and labels of a cohort or a source; list what was dropped, and why."""
    from braincase.sources.listing import is_cohort

    if not place.exists():
        raise CohortError(place, "no such folder", "a cohort or a source", "Check the path.")
    if is_cohort(place) and not why:
        _show_census(place, as_json)
        return
    from braincase.sources.find import find_scans

    if is_cohort(place):
        from braincase.cohort.cohort import open_cohort, prepared_scans, read_census

        open_cohort(place)
        scans, found = prepared_scans(place), read_census(place)
    else:
        scans, found = find_scans(place, kind, label)
    if as_json:
        told = {scan.scan_id: list(scan.evidence) for scan in scans}
        print_json({"source": str(place), **found.to_json(), **({"evidence": told} if why else {})})
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


@app.command()
def calibrate(
    cohort: Annotated[Path, typer.Argument(help="A simulated cohort.")],
    figure: Annotated[Path | None, typer.Option(help="Also draw CN against AD slices.")] = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Compare a simulated cohort's effect sizes with the published ones."""
    from braincase.cohort.cohort import open_cohort
    from braincase.files import refuse_overwrite
    from braincase.simulate.calibration import (
        draw_groups,
        effects_json,
        effects_table,
        measure_effects,
    )

    if figure:
        refuse_overwrite(figure, force)
    opened = open_cohort(cohort)
    effects = measure_effects(opened, seed)
    if figure:
        draw_groups(opened, figure)
    if as_json:
        print_json(effects_json(effects))
    else:
        print(effects_table(effects))


@app.command()
def prepare(
    source: Annotated[Path, typer.Argument(help="Scans: image, DICOM, BIDS, ADNI, OASIS, table.")],
    out: Annotated[Path, typer.Argument(help="Folder of the cohort.")],
    kind: Annotated[str, typer.Option("--source", help="Kind of source, or auto.")] = "auto",
    subject: Annotated[str | None, typer.Option(help="Whose scan it is (image, DICOM).")] = None,
    series: Annotated[int | None, typer.Option(help="Number of the DICOM series.")] = None,
    label: Annotated[str | None, typer.Option(help="Column to count; found if not given.")] = None,
    resolution: Annotated[int, typer.Option(help="Voxel edge: 2 or 4 mm.")] = 2,
    intensity: Annotated[str, typer.Option(help="white-matter or gamma18.")] = "white-matter",
    brain_extraction: Annotated[
        str, typer.Option(help="watershed, or an installed hd-bet or synthstrip.")
    ] = "watershed",
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
    scans, census = find_scans(source, kind, label, subject, series)
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


@app.command()
def train(
    cohort: Annotated[Path, typer.Argument(help="A cohort.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the model.")],
    settings: Annotated[
        str, typer.Option(help="plain, ddcml, braincase, or a TOML file.")
    ] = "braincase",
    label: Label = "diagnosis",
    classes: Classes = "",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Train a model on a cohort; an interrupted run goes on from its last whole epoch."""
    from braincase.cohort.cohort import open_cohort
    from braincase.files import refuse_overwrite
    from braincase.models.model_json import ABOUT
    from braincase.models.settings import load_settings
    from braincase.models.train import is_main_process
    from braincase.workflows.training import train_and_save

    refuse_overwrite(out / ABOUT, force)
    chosen = load_settings(settings)
    model = train_and_save(open_cohort(cohort), out, chosen, label, comma_list(classes), force)
    if not is_main_process():
        return
    if as_json:
        content = {"model": str(out), "fingerprint": model.fingerprint, "training": model.training}
        print_json(to_json(content))
    else:
        print(f"{out}: {model.training['losses']}, fingerprint {model.fingerprint[:12]}")


@app.command()
def evaluate(
    cohort: Annotated[Path, typer.Argument(help="A cohort.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")],
    protocol: Annotated[str, typer.Option(help="paper, honest, confound, or all.")] = "paper",
    models: Annotated[
        str, typer.Option(help="Settings to compare: names or TOML files, with commas.")
    ] = "plain,ddcml,braincase",
    folds: Annotated[int, typer.Option(help="Number of folds the people are dealt into.")] = 5,
    run_folds: Annotated[int, typer.Option(help="Folds to hold out in turn; 0: all.")] = 0,
    label: Label = "diagnosis",
    classes: Classes = "",
    unseen: Annotated[
        Path | None, typer.Option(help="Second cohort whose people also ask (honest).")
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate models by cross-validation and write a report."""
    from braincase.cohort.cohort import open_cohort
    from braincase.files import refuse_overwrite
    from braincase.report.evaluation import first_line
    from braincase.workflows.experiment import evaluate_and_report

    refuse_overwrite(out / "report.html", force)
    results, page = evaluate_and_report(
        open_cohort(cohort),
        out,
        comma_list(protocol),
        comma_list(models),
        label,
        comma_list(classes),
        folds,
        run_folds,
        open_cohort(unseen) if unseen else None,
        seed,
        force,
    )
    if as_json:
        print_json({str(r.to_json()["protocol"]): r.to_json() for r in results})
    else:
        print(f"{first_line(results)}\nreport: {page}")


app.command()(search)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where everything goes.")] = Path("demo"),
    folds: Annotated[int, typer.Option(help="Folds to hold out in turn, 1 to 5.")] = 1,
    seed: Seed = 0,
) -> None:
    """See the whole system work on simulated people: about ten minutes on two cores."""
    from braincase.workflows.demo import run_demo

    if not 1 <= folds <= 5:
        raise UsageError("--folds", str(folds), "1 to 5")
    run_demo(folder, folds, seed)


if __name__ == "__main__":
    main()
