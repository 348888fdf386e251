"""Benchmark commands: ``bench`` scores encoders and baselines, ``bench compare`` their results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from braincase.cli.arguments import Seed, WholeHelp, Workers, comma_list

if TYPE_CHECKING:
    from braincase.models.settings import ModelSettings

#: What `braincase bench FOLDER` runs.
RUN = "run"


class BenchGroup(WholeHelp):
    """Commands of which one need not be named: ``bench FOLDER`` is ``bench run FOLDER``."""

    def parse_args(self, ctx: object, args: list[str]) -> list[str]:
        """Put the usual command before arguments that name none."""
        named = bool(args) and (args[0] in self.commands or args[0] in ("-h", "--help"))
        words = args if named else [RUN, *args]
        return super().parse_args(ctx, words)  # type: ignore[arg-type]  # typer's own click


bench_app = typer.Typer(
    cls=BenchGroup, help="Score similar-case search on a simulated cohort with known truth."
)


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module into the command line."""
    app.add_typer(bench_app, name="bench")


@bench_app.command(RUN)
def run(
    folder: Annotated[Path, typer.Argument(help="Where cohort, models and results go.")] = Path(
        "bench"
    ),
    train: Annotated[
        str, typer.Option(help="Presets or TOML files to train on its training people, or none.")
    ] = "",
    training_seeds: Annotated[int, typer.Option(help="How often each of them is trained.")] = 1,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A model's folder; NAME=FOLDER,FOLDER for several seeds of one."),
    ] = None,
    size: Annotated[str, typer.Option(help="bench, or a smaller one to try it.")] = "bench",
    seed: Seed = 0,
    resolution: Annotated[int, typer.Option(help="Voxel edge: 2 or 4 mm; 0: by size.")] = 0,
    json: Annotated[
        Path | None, typer.Option(help="Result file; default FOLDER/result.json.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Page; default FOLDER/board.html.")] = None,
    workers: Workers = 0,
) -> None:
    """Run the benchmark: simulate its cohort if it is missing, and score all contestants.

    Without --model and --train, the preset braincase is trained, in batches of 64. An interrupted
    run goes on.
    """
    from braincase.workflows.bench import USUAL, bench_and_write

    wanted: list[str | ModelSettings] = [*comma_list(train)]
    if not wanted and not model:
        wanted = [USUAL]
    result, page = bench_and_write(
        folder,
        size,
        seed,
        [] if wanted == ["none"] else wanted,
        training_seeds,
        model or [],
        resolution or None,
        json,
        html,
        workers,
    )
    print(f"{result.first_line}\npage: {page}")


@bench_app.command()
def compare(
    results: Annotated[list[Path], typer.Argument(help="Result files of braincase bench.")],
    html: Annotated[Path, typer.Option(help="Where the page goes.")] = Path("board.html"),
) -> None:
    """Compare the result files of several runs on one page."""
    from braincase.workflows.bench import compare_and_write

    print(f"page: {compare_and_write(results, html)}")
