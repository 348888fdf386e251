"""Simulated raw heads, for those who have no scan at hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from braincase.errors import UsageError
from braincase.images.geometry import HALF_GRID
from braincase.images.volume import read_volume
from braincase.preprocess.prepare_volume import prepare_volume
from braincase.simulate.cohort_heads import write_head
from braincase.simulate.imaging import lesions_of, simulate_visit
from braincase.simulate.people import Size, draw_visits
from braincase.simulate.raw import WAYS, simulate_raw
from braincase.sources.find import find_scans
from braincase.sources.read import read_scan


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Two heads; do not write there."""
    folder = tmp_path_factory.mktemp("raw") / "heads"
    simulate_raw(folder, 2, seed=3, workers=1)
    return folder


def test_the_readers_find_each_head_and_the_way_it_was_imaged(raw):
    scans, census = find_scans(raw)
    first, second = list(WAYS)[:2]
    assert [(s.subject, s.labels["way"]) for s in scans] == [("01", first), ("02", second)]
    assert census.dropped == ()


def test_preparing_finds_the_transform_in_the_sidecar(raw):
    scan = find_scans(raw)[0][1]
    truth = json.loads(scan.path.with_name("sub-02_T1w.json").read_text())["NativeToMNI"]
    found = prepare_volume(read_scan(scan)).native_to_mni
    corners = np.array([(x, y, z, 1) for x in (-60, 60) for y in (-90, 60) for z in (-40, 60)])
    moved = corners @ (found @ np.linalg.inv(truth)).T
    assert np.linalg.norm((moved - corners)[:, :3], axis=1).mean() < 2


def test_the_same_seed_gives_the_same_head_however_many_there_are(raw, tmp_path):
    simulate_raw(tmp_path / "again", 1, seed=3, workers=1)
    files = sorted(path for path in (tmp_path / "again" / "sub-01").rglob("*.*"))
    assert len(files) == 2
    for path in files:
        assert path.read_bytes() == (raw / path.relative_to(tmp_path / "again")).read_bytes()


def test_an_interrupted_run_goes_on_and_makes_no_head_twice(raw, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(raw, again)
    kept, lost = (again / f"sub-0{i}" / "anat" / f"sub-0{i}_T1w.nii.gz" for i in (1, 2))
    lost.with_name("sub-02_T1w.json").unlink()
    lost.write_bytes(b"half")
    before = kept.stat().st_mtime_ns
    assert simulate_raw(again, 2, seed=3, workers=1) == [kept, lost]
    assert kept.stat().st_mtime_ns == before
    assert lost.read_bytes() == (raw / lost.relative_to(again)).read_bytes()


def test_nothing_is_written_over_and_no_number_of_heads_is_made_up(raw, tmp_path):
    for count, seed in ((2, 4), (3, 3)):
        with pytest.raises(UsageError, match="exists already"):
            simulate_raw(raw, count, seed)
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError, match="that of a run of the same command"):
        simulate_raw(tmp_path / "mine", 2)
    with pytest.raises(UsageError, match="at least 1"):
        simulate_raw(tmp_path / "none", -1)
    assert not (tmp_path / "none").exists()


def test_a_persons_head_prepared_shows_the_persons_brain_and_stroke(tmp_path: Path) -> None:
    """The same visit as a cohort's volume and as a whole head that goes through `prepare`."""
    size = Size({"stroke": (3, 3)}, 4)
    visit = max(draw_visits(size, 6), key=lambda v: float(lesions_of(v).sum()))
    write_head(tmp_path, visit)
    (path,) = tmp_path.glob("sub-*/ses-*/anat/*_T1w.nii.gz")
    prepared = prepare_volume(read_volume(path), HALF_GRID).volume.astype(float)
    shown = simulate_visit(visit, HALF_GRID)
    both = (prepared > 0) & (shown.volume > 0)
    assert np.corrcoef(prepared[both], shown.volume[both])[0, 1] > 0.75
    assert prepared[shown.lesion].mean() < 0.6 * prepared[both].mean()
