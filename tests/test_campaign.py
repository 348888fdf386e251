"""A short fixed part of the campaigns of `benchmarks`: damaged inputs, and kills of a writer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize(
    "words",
    [
        "5 18 nifti mgz analyze bids table sheet toml service gallery",  # seed 19: a pipe
        "1 1000060 table",  # a row that named the whole disk
    ],
)
def test_no_damaged_input_ends_badly(words: str) -> None:
    command = [sys.executable, str(BENCHMARKS / "attack.py"), *words.split()]
    told = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    assert told.stdout.endswith(": 0 bad ends\n"), told.stdout


def test_nothing_acknowledged_is_lost_in_a_kill() -> None:
    command = [sys.executable, str(BENCHMARKS / "kills.py"), "2", "5"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    assert "2 kills: 0 faults" in told.stdout, told.stdout
