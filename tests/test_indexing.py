from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from braincase.errors import FingerprintError
from braincase.gallery import open_gallery
from braincase.images.geometry import HALF_GRID, STANDARD_GRID
from braincase.models.encoder import Encoder
from braincase.workflows.index_cohort import index_cohort
from gallery_cases import MODEL


def cell_means(volumes):
    """A stand-in for a model: the mean of each 32 mm cell."""
    edge = 32 // HALF_GRID.resolution_mm
    blocks = volumes.reshape(len(volumes), 5, edge, 6, edge, 5, edge)
    return blocks.mean(axis=(2, 4, 6)).reshape(len(volumes), 150).astype(np.float32)


def model(embed=cell_means, fingerprint=MODEL):
    return Encoder(embed, HALF_GRID, {}, fingerprint)


def some_cohort(folder, n=7):
    volumes = np.random.default_rng(0).integers(0, 255, (n, *HALF_GRID.shape), dtype=np.uint8)
    table = pd.DataFrame(
        {
            "scan_id": [f"sub-{i}" for i in range(n)],
            "subject": [str(i) for i in range(n)],
            "session": [None] * n,
            "image": [f"sub-{i}/anat/sub-{i}.nii.gz" for i in range(n)],
            "image_hash": [f"hash-{i}" for i in range(n)],
            "diagnosis": ["CN", None] * (n // 2) + ["AD"] * (n % 2),
            "age": [np.nan, 71.5] * (n // 2) + [80.0] * (n % 2),
        }
    )
    return SimpleNamespace(folder=folder, grid=HALF_GRID, table=table, volumes=volumes)


class Counting:
    """Counts how many volumes were embedded, and may be killed at one of them."""

    def __init__(self, stop_at=None):
        self.embedded, self.stop_at = 0, stop_at

    def __call__(self, volumes):
        if self.stop_at is not None and self.embedded >= self.stop_at:
            raise KeyboardInterrupt
        self.embedded += len(volumes)
        return cell_means(volumes)


def test_every_scan_of_a_cohort_is_indexed_with_labels_and_picture(tmp_path):
    done = index_cohort(tmp_path / "g", some_cohort(tmp_path / "c"), model(), batch=3)
    assert (done.added, done.unchanged, done.failed, done.version) == (7, 0, (), 3)
    gallery = open_gallery(tmp_path / "g")
    case = gallery.get("sub-1")
    assert case.labels == {"age": 71.5}
    assert case.image == tmp_path / "c" / "sub-1" / "anat" / "sub-1.nii.gz"
    assert gallery.thumbnail("sub-1")
    np.testing.assert_array_equal(case.code, cell_means(some_cohort(tmp_path).volumes[1:2])[0])
    gallery.close()


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    cohort = some_cohort(tmp_path / "c")
    with pytest.raises(KeyboardInterrupt):
        index_cohort(tmp_path / "g", cohort, model(Counting(stop_at=4)), batch=2)
    rest = Counting()
    done = index_cohort(tmp_path / "g", cohort, model(rest), batch=2)
    assert (done.added, done.unchanged) == (3, 4)
    assert rest.embedded == 3


def test_indexing_twice_changes_nothing(tmp_path):
    cohort = some_cohort(tmp_path / "c")
    first = index_cohort(tmp_path / "g", cohort, model())
    again = Counting()
    second = index_cohort(tmp_path / "g", cohort, model(again))
    assert (second.version, second.unchanged, again.embedded) == (first.version, 7, 0)


def test_changed_labels_keep_the_code_and_a_changed_image_is_embedded_anew(tmp_path):
    cohort = some_cohort(tmp_path / "c")
    index_cohort(tmp_path / "g", cohort, model())
    cohort.table.loc[1, "diagnosis"] = "MCI"
    cohort.table.loc[2, "image_hash"] = "another"
    cohort.volumes[2] = 9
    counting = Counting()
    done = index_cohort(tmp_path / "g", cohort, model(counting))
    assert (done.updated, done.unchanged, counting.embedded) == (2, 5, 1)
    gallery = open_gallery(tmp_path / "g")
    assert gallery.get("sub-1").labels["diagnosis"] == "MCI"
    assert gallery.thumbnail("sub-1")
    np.testing.assert_array_equal(gallery.get("sub-2").code, np.full(150, 9, np.float32))
    gallery.close()


def test_one_scan_the_model_fails_on_does_not_stop_the_others(tmp_path):
    def failing(volumes):
        codes = cell_means(volumes)
        codes[volumes[:, 0, 0, 0] == 7] = np.nan
        return codes

    cohort = some_cohort(tmp_path / "c")
    cohort.volumes[:, 0, 0, 0] = 0
    cohort.volumes[3, 0, 0, 0] = 7
    done = index_cohort(tmp_path / "g", cohort, model(failing))
    assert done.added == 6
    assert done.failed == (("sub-3", "the model gave numbers that are not finite"),)
    assert "left out: sub-3: the model gave" in done.lines()[1]


def test_one_scan_with_a_label_that_cannot_be_kept_does_not_stop_the_others(tmp_path):
    cohort = some_cohort(tmp_path / "c")
    cohort.table["age"] = cohort.table["age"].astype(object)
    cohort.table.loc[2, "age"] = 10**400
    done = index_cohort(tmp_path / "g", cohort, model())
    assert done.added == 6
    assert done.failed[0][0] == "sub-2"
    assert "label 'age': a number of 401 digits" in done.failed[0][1]
    gallery = open_gallery(tmp_path / "g")
    assert gallery.info().cases == 6
    gallery.close()


def test_another_model_or_another_grid_is_refused(tmp_path):
    index_cohort(tmp_path / "g", some_cohort(tmp_path / "c"), model())
    with pytest.raises(FingerprintError, match="two models"):
        index_cohort(tmp_path / "g", some_cohort(tmp_path / "c"), model(fingerprint="b" * 64))
    of_2_mm = replace(model(), grid=STANDARD_GRID)
    with pytest.raises(FingerprintError, match="scans at 4 mm; expected 2 mm"):
        index_cohort(tmp_path / "g", some_cohort(tmp_path / "c"), of_2_mm)


def renamed(cohort, folder, change):
    """The same people's names over other images: another site's cohort."""
    table = cohort.table.assign(image_hash=[f"{h}{change}" for h in cohort.table["image_hash"]])
    return SimpleNamespace(**{**vars(cohort), "folder": folder, "table": table})


def test_another_sites_people_of_the_same_names_do_not_replace_those_there(tmp_path):
    first = some_cohort(tmp_path / "a")
    index_cohort(tmp_path / "g", first, model())
    counting = Counting()
    done = index_cohort(tmp_path / "g", renamed(first, tmp_path / "b", "b"), model(counting))
    assert (done.added, done.updated, done.unchanged, done.version) == (0, 0, 0, 1)
    assert [scan for scan, _ in done.failed] == list(first.table["scan_id"])
    assert counting.embedded == 0
    (line,) = [line for line in done.lines() if line.startswith("left out: sub-0 and 6 more: ")]
    assert f"{tmp_path / 'a'}" in line
    assert "--site NAME" in line
    assert f"braincase gallery remove {tmp_path / 'g'} SCAN" in line
    with closing(open_gallery(tmp_path / "g")) as gallery:
        assert gallery.get("sub-1").image_hash == "hash-1"


def test_a_cohort_moved_or_prepared_again_in_its_folder_goes_on(tmp_path):
    first = some_cohort(tmp_path / "a")
    index_cohort(tmp_path / "g", first, model())
    moved = SimpleNamespace(**{**vars(first), "folder": tmp_path / "b"})
    done = index_cohort(tmp_path / "g", moved, model())
    assert (done.unchanged, done.failed, done.notes) == (7, (), ())
    again = index_cohort(tmp_path / "g", renamed(first, tmp_path / "a", "2"), model())
    assert (again.updated, again.failed) == (7, ())


def test_people_with_scans_of_several_cohorts_are_named(tmp_path):
    first = some_cohort(tmp_path / "a")
    index_cohort(tmp_path / "g", first, model())
    second = renamed(first, tmp_path / "b", "b")
    second.table["scan_id"] += "_ses-2"
    second.table["session"] = "2"
    done = index_cohort(tmp_path / "g", second, model())
    assert done.added == 7
    assert done.in_other_cohorts == tuple(first.table["subject"])
    (note,) = done.notes
    assert note.startswith("sub-0, sub-1, sub-2 and 4 more had other scans in this gallery, from")
    assert str(tmp_path / "a") in note
    assert "--site NAME" in note
    assert index_cohort(tmp_path / "g", second, model()).notes == ()  # told once


def test_a_later_visit_of_a_cohort_that_moved_is_the_same_persons(tmp_path):
    first = some_cohort(tmp_path / "a")
    index_cohort(tmp_path / "g", first, model())
    later = renamed(first, tmp_path / "b", "later")
    later.table["scan_id"] += "_ses-2"
    table = pd.concat([first.table, later.table], ignore_index=True)
    volumes = np.concatenate([first.volumes, later.volumes])
    both = SimpleNamespace(folder=tmp_path / "b", grid=HALF_GRID, table=table, volumes=volumes)
    done = index_cohort(tmp_path / "g", both, model())
    assert (done.added, done.unchanged, done.notes) == (7, 7, ())


def test_spellings_of_one_label_are_named_by_index_and_gallery(tmp_path):
    cohort = some_cohort(tmp_path / "a")
    cohort.table["diagnosis"] = ["AD", "ad", "CN", "CN", "CN", "CN", "CN"]
    note = "diagnosis: 'AD' and 'ad' differ only in case: counted as 2"
    done = index_cohort(tmp_path / "g", cohort, model())
    assert done.notes == (note,)
    assert f"note: {note}" in done.lines()
    with closing(open_gallery(tmp_path / "g")) as gallery:
        assert gallery.info().notes == (note,)
        gallery.remove(["sub-1"])
        assert gallery.info().notes == ()
