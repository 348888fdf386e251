"""Running one command of the command line in the process of the tests."""

from __future__ import annotations

import sys

import pytest

from braincase.cli.main import main


def code_of(*words: object) -> int:
    """Run one command in this process; return its exit code."""
    before, sys.argv = sys.argv, ["braincase", *map(str, words)]
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = before
    return 0


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Run one command in this process; return exit code, standard output, standard error."""
    capsys.readouterr()
    code = code_of(*words)
    captured = capsys.readouterr()
    return code, captured.out, captured.err
