"""The table of hits in pipes and terminals of any width: names and numbers are never cut."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import numpy as np
import pytest

from braincase.gallery import NewCase, create_gallery

LABEL = "probable Alzheimer's disease (NINCDS)"
NAMES = [f"s4kamy07e{person:03}" for person in range(30)]
VISIT = "20060418abcd"


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long") / "g"
    made = create_gallery(folder, fingerprint="f" * 64, resolution_mm=4)
    cases = [
        NewCase(
            f"sub-{name}_ses-{VISIT}",
            name,
            np.random.default_rng(number).normal(size=150) * 30,
            VISIT,
            {"diagnosis": LABEL, "sex": "FM"[number % 2], "age": 60.5 + number},
        )
        for number, name in enumerate(NAMES)
    ]
    made.add(cases, "f" * 64)
    made.close()
    return folder


def search(gallery, columns=None, *more):
    """Return what is printed, into a pipe or in a terminal of so many columns."""
    name = f"sub-{NAMES[0]}_ses-{VISIT}"
    command = [sys.executable, "-m", "braincase", "search", name, "--gallery", str(gallery), "-k3"]
    command += more
    if columns is None:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    ours, theirs = pty.openpty()
    surroundings = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"}
    with subprocess.Popen(command, stdout=theirs, env=surroundings) as running:
        os.close(theirs)
        content = b""
        while chunk := _read(ours):
            content += chunk
    assert running.returncode == 0
    return content.decode()


def _read(descriptor):
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # the other end of a terminal is closed
        return b""


def hit_lines(text):
    return [line for line in text.splitlines() if line.strip().startswith(("1 ", "2 ", "3 "))]


def test_into_a_pipe_the_table_is_as_wide_as_needed(gallery):
    lines = hit_lines(search(gallery))
    assert len(lines) == 3
    for line in lines:
        assert f"_ses-{VISIT}" in line
        assert LABEL in line
        assert line.rstrip()[-1] in "FM"
    assert "…" not in "".join(lines)


@pytest.mark.parametrize("columns", [100, 80, 70])
def test_in_a_narrow_terminal_the_label_folds_and_rank_and_distance_stay(gallery, columns):
    text = search(gallery, columns)
    lines = hit_lines(text)
    assert len(lines) == 3
    assert all(f"_ses-{VISIT}" in line and "…" not in line for line in lines)
    assert all(re.search(r"\d\.\d{3}", line) for line in lines)
    assert all("probable" in line for line in lines)
    told = text.partition("left out, for the terminal is narrow: ")[2].splitlines()
    assert not told or "diagnosis" not in told[0]


def test_the_columns_asked_for_are_shown(gallery):
    lines = search(gallery, None, "--columns", "sex").splitlines()
    (header,) = (line for line in lines if line.strip().startswith("rank"))
    assert header.split() == ["rank", "scan", "distance", "closer", "than", "sex"]


def test_in_a_terminal_narrower_than_a_name_it_goes_on_below(gallery):
    text = search(gallery, 40)
    assert "…" not in text
    assert VISIT[-6:] in text


def test_a_wide_terminal_shows_all(gallery):
    assert "left out" not in search(gallery, 160)
