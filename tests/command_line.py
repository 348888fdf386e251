"""Running one command of the command line in the process of the tests."""

from __future__ import annotations

import sys

import pytest

from braincase.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Run one command in this process; return exit code, standard output, standard error."""
    capsys.readouterr()
    before, sys.argv = sys.argv, ["braincase", *map(str, words)]
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.argv = before
    captured = capsys.readouterr()
    return code, captured.out, captured.err
