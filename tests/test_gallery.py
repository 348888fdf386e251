import sqlite3
from dataclasses import replace

import numpy as np
import pytest

from braincase.errors import FingerprintError, GalleryError, UsageError
from braincase.gallery import NewCase, create_gallery, open_gallery
from gallery_cases import MODEL, N_CELLS, filled_gallery, some_cases


@pytest.fixture
def gallery(tmp_path):
    with_cases = filled_gallery(tmp_path / "gallery")
    yield with_cases
    with_cases.close()


def test_a_case_comes_back_as_it_went_in(gallery, tmp_path):
    case = NewCase(
        "sub-x_ses-2", "x", np.arange(N_CELLS), "2", {"age": np.float64(70.5), "note": np.nan},
        cohort=tmp_path / "cohort", image="sub-x/x.nii.gz", image_hash="h", thumbnail=b"small",
    )  # fmt: skip
    gallery.add([case], MODEL)
    again = open_gallery(gallery.folder)
    held = again.get("sub-x_ses-2")
    assert (held.subject, held.session, held.image_hash) == ("x", "2", "h")
    assert held.labels == {"age": 70.5, "note": None}
    assert held.image == tmp_path / "cohort" / "sub-x" / "x.nii.gz"
    np.testing.assert_array_equal(held.code, np.arange(N_CELLS, dtype=np.float32))
    assert again.thumbnail("sub-x_ses-2") == b"small"
    assert again.thumbnail("sub-000_ses-1") is None
    again.close()


def test_adding_the_same_again_changes_nothing(gallery):
    before = gallery.info()
    change = gallery.add(some_cases(30), MODEL)
    assert len(change.unchanged) == before.cases == 60
    assert gallery.info() == before


def test_the_same_image_embedded_on_another_device_is_the_same_case(gallery):
    case = some_cases(30)[0]
    rounded = replace(case, code=np.asarray(case.code) * np.float32(1 + 1e-6))
    assert gallery.add([rounded], MODEL).unchanged == (case.scan_id,)


def test_an_add_is_whole_or_not_at_all(gallery):
    fresh = [replace(case, scan_id=f"new-{i}") for i, case in enumerate(some_cases(3))]
    broken = replace(fresh[2], code=np.full(N_CELLS, np.nan))
    before = gallery.info()
    with pytest.raises(UsageError, match="not finite"):
        gallery.add([*fresh[:2], broken], MODEL)
    assert gallery.info() == before


def test_a_changed_case_needs_update_and_the_old_state_stays_in_its_version(gallery):
    case = some_cases(30)[4]
    changed = replace(case, labels={**case.labels, "diagnosis": "AD"})
    with pytest.raises(GalleryError, match="is there, but differs"):
        gallery.add([changed], MODEL)
    change = gallery.update([changed], MODEL)
    assert (change.version, change.updated) == (2, (case.scan_id,))
    assert gallery.get(case.scan_id).labels["diagnosis"] == "AD"
    assert gallery.get(case.scan_id, as_of=1).labels["diagnosis"] == case.labels["diagnosis"]
    assert gallery.info().cases == gallery.info(as_of=1).cases == 60


def test_removed_is_gone_now_but_not_then_and_erased_is_gone_always(gallery):
    name = "sub-003_ses-1"
    code = gallery.get(name).code
    gallery.remove([name])
    assert gallery.nearest(code, 1).cases[0].scan_id != name
    assert gallery.nearest(code, 1, as_of=1).cases[0].scan_id == name
    assert gallery.remove([name], erase=True).version == 3
    then = gallery.nearest(code, 1, as_of=1)
    assert then.cases[0].scan_id != name
    assert then.notes == ("1 case(s) of this version have since been erased.",)
    gallery.close()
    whole = b"".join(file.read_bytes() for file in gallery.folder.iterdir())
    assert code.tobytes() not in whole


def test_removing_an_unknown_scan_removes_nothing(gallery):
    with pytest.raises(UsageError, match="no scan 'sub-nobody'"):
        gallery.remove(["sub-000_ses-1", "sub-nobody"])
    assert gallery.info().cases == 60


def test_the_same_image_under_a_second_name_is_reported(gallery):
    copy = replace(some_cases(30)[0], scan_id="sub-copy", subject="copy")
    assert gallery.add([copy], MODEL).duplicates == (("sub-copy", "sub-000_ses-1"),)


def test_another_models_codes_are_refused(gallery):
    with pytest.raises(FingerprintError, match="Codes of two models cannot be compared"):
        gallery.add(some_cases(1), "b" * 64)
    with pytest.raises(FingerprintError):
        open_gallery(gallery.folder, "b" * 64)


def test_another_object_sees_what_was_added_since(gallery):
    other = open_gallery(f"sqlite:///{gallery.folder}")
    assert other.info().cases == 60
    fresh = [replace(case, scan_id="new-" + case.scan_id) for case in some_cases(2)]
    gallery.add(fresh, MODEL)
    gallery.remove(["sub-001_ses-1"])
    assert (other.info().version, other.info().cases) == (3, 63)
    assert other.nearest(np.asarray(fresh[0].code), 2).distances.tolist() == [0.0, 0.0]
    other.close()


def test_a_version_that_never_was_is_told(gallery):
    with pytest.raises(UsageError, match="--as-of: version 9; expected 0 to 1"):
        gallery.info(as_of=9)


def test_no_gallery_is_told_in_one_line(tmp_path):
    with pytest.raises(GalleryError, match="no gallery here; expected a folder"):
        open_gallery(tmp_path)
    with pytest.raises(UsageError, match="unknown engine 'redis'"):
        open_gallery("redis://host")


def test_a_gallery_is_not_made_over_another(gallery):
    with pytest.raises(GalleryError, match="a gallery is here already"):
        create_gallery(gallery.folder, MODEL, 4)
    assert gallery.info().cases == 60


def damage(gallery, change):
    gallery.close()
    path = gallery.folder / "gallery.sqlite3"
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)
    return gallery.folder


@pytest.mark.parametrize("where", ["head", "code", "cut"])
def test_a_damaged_file_is_told_in_one_line(gallery, where):
    code = gallery.get("sub-003_ses-1").code.tobytes()

    def change(content):
        if where == "head":
            content[:40] = b"x" * 40
        elif where == "code":
            content[content.index(code) + 5] ^= 1
        else:
            del content[len(content) // 2 :]

    folder = damage(gallery, change)
    with pytest.raises(GalleryError) as error:
        open_gallery(folder).nearest(np.zeros(N_CELLS, np.float32), 3)
    assert "damaged" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_that_cannot_be_written_can_still_be_searched(gallery, monkeypatch):
    gallery.close()
    connect = sqlite3.connect

    def refuse_writing(database, **options):
        if "mode=rw" in str(database):
            raise sqlite3.OperationalError("attempt to write a readonly database")
        return connect(database, **options)

    monkeypatch.setattr(sqlite3, "connect", refuse_writing)
    reader = open_gallery(gallery.folder)
    assert reader.info().cases == 60
    with pytest.raises(GalleryError, match="cannot be written"):
        reader.remove(["sub-003_ses-1"])
    reader.close()


def test_a_full_disk_is_told_and_nothing_half_is_written(gallery):
    pages = gallery._connection.execute("PRAGMA page_count").fetchone()[0]
    gallery._connection.execute(f"PRAGMA max_page_count = {pages}")
    many = [replace(case, scan_id="new-" + case.scan_id) for case in some_cases(200)]
    with pytest.raises(GalleryError, match="the disk is full"):
        gallery.add(many, MODEL)
    assert gallery.info().cases == 60
