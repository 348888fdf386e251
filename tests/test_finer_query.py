"""A query that was prepared at 2 mm, for a model of 4 mm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from braincase.cohort.derivatives import write_image
from braincase.cohort.sidecar import write_sidecar
from braincase.errors import ScanError
from braincase.images.geometry import HALF_GRID, STANDARD_GRID
from braincase.models.check_head import head_as_scanned
from braincase.preprocess.prepare_volume import prepare_volume, recipe_of
from braincase.search.read_query import read_query
from braincase.sources.scan import Scan

NAME = "sub-1_space-MNI152NLin2009aSym_res-2_desc-brain_T1w.nii.gz"


def test_simulated_people_of_another_seed_are_made_alike(tmp_path: Path) -> None:
    path = tmp_path / NAME.replace("res-2", "res-4")
    volume = np.arange(HALF_GRID.size).reshape(HALF_GRID.shape).astype(np.uint8)
    write_image(path, volume, HALF_GRID)
    learned = {"Name": "braincase simulate", "Seed": 0, "Size": "small", "Version": 2}
    for change, is_told in (({"Seed": 7, "Size": "bench"}, False), ({"Version": 1}, True)):
        write_sidecar(path, Scan(path, "1"), HALF_GRID, {"Recipe": learned | change})
        notes = read_query(path, HALF_GRID, learned).notes
        assert any("prepared otherwise" in note for note in notes) == is_told


def test_a_finer_query_is_brought_to_the_models_grid(tmp_path: Path) -> None:
    head = head_as_scanned(strip=False)
    fine, direct = (prepare_volume(head, grid) for grid in (STANDARD_GRID, HALF_GRID))
    write_image(tmp_path / NAME, fine.volume, STANDARD_GRID)
    scan = Scan(tmp_path / NAME, "1")
    write_sidecar(tmp_path / NAME, scan, STANDARD_GRID, {"Recipe": fine.recipe})
    query = read_query(tmp_path / NAME, HALF_GRID, recipe_of(HALF_GRID))
    # Grey values are rounded once more.
    assert np.abs(query.volume.astype(int) - direct.volume).max() <= 1
    assert query.notes == ("Prepared at 2 mm: brought to the model's 4 mm by means.",)
    otherwise = read_query(tmp_path / NAME, HALF_GRID, recipe_of(HALF_GRID, "gamma18"))
    assert "prepared otherwise" in otherwise.notes[1]
    coarse = tmp_path / NAME.replace("res-2", "res-4")
    write_image(coarse, direct.volume, HALF_GRID)
    write_sidecar(coarse, scan, HALF_GRID, {"Recipe": direct.recipe})
    with pytest.raises(ScanError, match="prepared at 4 mm; expected 2 mm, the model's grid, or"):
        read_query(coarse, STANDARD_GRID, recipe_of())
