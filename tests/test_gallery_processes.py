"""A gallery between several processes, some of them killed."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from braincase.gallery import open_gallery
from gallery_cases import MODEL, filled_gallery, some_cases, some_codes

BATCH = 5
#: Adds batches of cases named by its own word, telling of each when it is acknowledged.
WRITER = """
import sys
from dataclasses import replace
from braincase.gallery import open_gallery
from gallery_cases import MODEL, some_cases
folder, word, people = sys.argv[1], sys.argv[2], int(sys.argv[3])
gallery = open_gallery(folder)
cases = [
    replace(case, scan_id=f"{word}-{case.scan_id}", image_hash=f"{word}-{case.image_hash}")
    for case in some_cases(people, 1, seed=len(word))
]
for start in range(0, len(cases), 5):
    batch = cases[start : start + 5]
    gallery.add(batch, MODEL)
    print(*(case.scan_id for case in batch), flush=True)
"""


def start_writer(folder, word, people):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), word, str(people)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )


@pytest.mark.parametrize("batches_before", [1, 3, 8, 20])
def test_killed_at_any_moment_every_acknowledged_case_is_there(tmp_path, batches_before):
    filled_gallery(tmp_path, n_people=3).close()
    writer = start_writer(tmp_path, "killed", 2000)
    lines = [writer.stdout.readline() for _ in range(batches_before)]
    writer.kill()
    lines += writer.stdout.readlines()
    writer.stdout.close()
    assert writer.wait() == -9
    acknowledged = [scan_id for line in lines if line.endswith("\n") for scan_id in line.split()]
    assert len(acknowledged) >= BATCH * batches_before

    gallery = open_gallery(tmp_path)
    cases = gallery.find(acknowledged)
    expected = {"killed-" + case.scan_id: case for case in some_cases(2000, 1, seed=6)}
    assert set(cases) == set(acknowledged)
    for scan_id, case in cases.items():
        np.testing.assert_array_equal(case.code, expected[scan_id].code)
    assert (gallery.info().cases - 6) % BATCH == 0  # a batch is there whole or not at all
    rest = [
        replace(case, scan_id=scan_id, image_hash="killed-" + case.image_hash)
        for scan_id, case in expected.items()
    ]
    gallery.add(rest, MODEL)  # and the work goes on
    assert gallery.info().cases == 2006
    gallery.close()


def test_readers_see_whole_states_while_several_processes_write(tmp_path):
    filled_gallery(tmp_path, n_people=3).close()
    reader = open_gallery(tmp_path)
    writers = [start_writer(tmp_path, word, 150) for word in ("one", "three")]
    versions = []
    while any(writer.poll() is None for writer in writers):
        info = reader.info()
        neighbours = reader.nearest(some_codes(1)[0], 3)
        assert (info.cases - 6) % BATCH == 0
        assert neighbours.n_cases >= info.cases
        versions.append(info.version)
    for writer in writers:
        writer.stdout.close()
    assert [writer.returncode for writer in writers] == [0, 0]
    assert versions == sorted(versions)
    assert len(set(versions)) > 3
    assert (reader.info().cases, reader.info().version) == (306, 61)
    reader.close()
