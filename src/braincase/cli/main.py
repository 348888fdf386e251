"""Command-line interface (typer): all commands, and one line for every error.

Heavy imports stand inside the commands, so that ``--help`` answers at once. Every error a user can
meet is caught in `main`, in one line.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from braincase.cli import bench, cohort, encoder, gallery, models, pacs, serve, training
from braincase.cli.arguments import (
    options_of,
    with_options,
)
from braincase.cli.search import search
from braincase.errors import BraincaseError, ParameterError
from braincase.purpose import PURPOSE
from braincase.version import __version__

#: Sections of the help, and their commands in the order in which they are used.
SECTIONS = {
    "Data": ("prepare", "census", "simulate", "calibrate"),
    "Model": ("train", "models", "evaluate", "bench", "encoder"),
    "Search": ("search", "index", "gallery"),
    "Serve": ("serve", "user", "audit", "pacs"),
    "Try": ("demo",),
}


class _Sections(TyperGroup):
    """The program's commands, shown by what they are for."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each section of commands."""
        rest = tuple(name for name in self.commands if name not in sum(SECTIONS.values(), ()))
        for title, names in {**SECTIONS, "Other": rest}.items():
            shown = [(name, self.commands[name]) for name in names if name in self.commands]
            if shown:
                with formatter.section(title):
                    formatter.write_dl(
                        [(name, command.get_short_help_str(300)) for name, command in shown]
                    )


app = typer.Typer(
    cls=_Sections,
    context_settings={"help_option_names": ["-h", "--help"]},
    name="braincase",
    help=f"Similar-case search for 3D brain MRI. {PURPOSE}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


#: Exit code of a program that Ctrl-C stopped.
STOPPED = 130
#: Exit code of a program that was asked to end (SIGTERM).
TERMINATED = 143


def main() -> None:
    """Run the command line; errors become one line and an exit code, never a traceback."""
    # Threads that wait must sleep: on busy cores a training in which they spin took up to forty
    # times as long (benchmarks/threads.py). OpenMP reads this when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show is escaped
            stream.reconfigure(errors="backslashreplace")
    ended: list[int] = []

    def terminate(number: int, frame: object) -> None:
        """End as after Ctrl-C: what has begun is finished or removed, nothing new is begun."""
        if not ended:  # a second one while it cleans up changes nothing
            ended.append(number)
            raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, terminate)
    try:
        # Commands return nothing; typer turns Ctrl-C into this number.
        if app(standalone_mode=False) == STOPPED:
            raise KeyboardInterrupt
    except BraincaseError as error:
        _stop(_line_of(error), error.exit_code)
    except KeyboardInterrupt:
        exit_code = TERMINATED if ended else STOPPED
        _stop("stopped; the same command goes on where it was", exit_code)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _stop(_no_space(error.filename), 1)
        if error.filename is None:
            if isinstance(error, FileNotFoundError) and not _has_temporary_folder():
                _stop(f"{error.strerror}. Set TMPDIR to a folder you can write to.", 1)
            raise
        _stop(f"{error.filename}: {error.strerror}. Check the path and your rights to it.", 1)
    except UnicodeEncodeError as error:
        if not "\ud800" <= error.object[error.start] <= "\udfff":  # not a lone surrogate
            raise
        name = str(error.object)[:200]
        _stop(f"{name!r}: a name that is no UTF-8. Rename the file or folder.", 1)
    except Exception as error:  # click's own usage errors know how to show themselves
        if not hasattr(error, "exit_code"):
            raise
        said = error.format_message() if hasattr(error, "format_message") else str(error)
        _stop(said, int(error.exit_code))


def _line_of(error: BraincaseError) -> str:
    """Return an error in the command line's words: options instead of the library's parameters."""
    where = options_of(error.where) if isinstance(error, ParameterError) else error.where
    advice = with_options(error.advice)
    return str(BraincaseError(where, error.found, error.expected, advice))


def _has_temporary_folder() -> bool:
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        return False
    return True


def _no_space(filename: str | None) -> str:
    """Say where the disk is full; a temporary folder can be another one."""
    line = f"{filename or 'disk'}: no space left; free some and run it again"
    if not _has_temporary_folder():
        return f"{line}, or set TMPDIR to a folder you can write to"
    temporary = tempfile.gettempdir()
    if filename and Path(filename).is_relative_to(temporary):
        line += f", or set TMPDIR to a folder with more room than {temporary}"
    return line


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


for commands in (serve, pacs, gallery, cohort, training, models, bench, encoder):
    commands.add_commands(app)
app.command()(search)


if __name__ == "__main__":
    main()
