"""The tutorial and the examples of the Python door run as they are printed."""

import doctest
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import braincase
import braincase.workflows.searchable_gallery
from braincase.errors import UsageError
from braincase.gallery import open_gallery
from cells import MODEL, gallery_of

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.md"


def test_the_tutorial_runs():
    outcome = doctest.testfile(str(TUTORIAL), module_relative=False)
    assert outcome.attempted > 25
    assert outcome.failed == 0


def test_the_examples_of_the_door_run():
    for module in (braincase, braincase.workflows.searchable_gallery):
        outcome = doctest.testmod(module)
        assert outcome.attempted > 1
        assert outcome.failed == 0


def test_importing_braincase_costs_nothing_and_searching_a_case_no_torch(clinic, tmp_path):
    gallery_of(clinic, tmp_path / "g").close()
    scan_id = clinic.table["scan_id"].iloc[0]
    program = f"""
import sys, braincase
assert not {{"numpy", "torch"}} & set(sys.modules), "import braincase"
assert "open_gallery" in dir(braincase)
gallery = braincase.open_gallery({str(tmp_path / "g")!r})
assert len(gallery.search({scan_id!r}, k=3)) == 3
assert "torch" not in sys.modules, "a search with a case"
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_code_finds_what_its_case_finds(clinic, tmp_path):
    gallery_of(clinic, tmp_path / "g").close()
    with braincase.open_gallery(tmp_path / "g") as gallery:
        case = gallery.gallery.get(str(clinic.table["scan_id"].iloc[0]))
        by_name = gallery.search(case.scan_id, k=5)
        assert (
            gallery.search(case.code, k=5, options=braincase.SearchOptions(subject=case.subject))
            == by_name
        )
        assert gallery.ask(case.code).typicality.p_value > 0.05
        women = braincase.SearchOptions(k=2, where="sex = 'F'")
        assert {hit.labels["sex"] for hit in gallery.search(case.scan_id, options=women)} == {"F"}
        # What stands beside the options is meant more than what stands in them.
        men = gallery.search(case.scan_id, k=3, where="sex = 'M'", options=women)
        assert [hit.labels["sex"] for hit in men] == ["M"] * 3
        with pytest.raises(UsageError, match="the gallery's model"):
            gallery.search(clinic.volumes[np.array([0])][0])
    assert open_gallery(tmp_path / "g").fingerprint == MODEL
