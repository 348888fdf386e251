"""What is particular to the embedded engine; what all promise: test_gallery_contract.py."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from braincase.errors import GalleryError, UsageError
from braincase.gallery import create_gallery, open_gallery
from gallery_cases import MODEL, N_CELLS, filled_gallery, some_cases, some_codes


@pytest.fixture
def gallery(tmp_path):
    with_cases = filled_gallery(tmp_path / "gallery")
    yield with_cases
    with_cases.close()


def test_the_same_image_embedded_on_another_device_is_the_same_case(gallery):
    case = some_cases(30)[0]
    rounded = replace(case, code=np.asarray(case.code) * np.float32(1 + 1e-6))
    assert gallery.add([rounded], MODEL).unchanged == (case.scan_id,)


def test_no_gallery_is_told_in_one_line(tmp_path):
    with pytest.raises(GalleryError, match="no gallery here; expected a folder"):
        open_gallery(tmp_path)
    with pytest.raises(UsageError, match="unknown engine 'redis'"):
        open_gallery("redis://host")
    create_gallery(f"sqlite:///{tmp_path}", MODEL, 4).close()
    open_gallery(tmp_path).close()


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


def test_a_case_lost_from_the_file_is_told_and_not_waited_for(gallery):
    gallery.info()
    gallery._record.database.connection.execute("DELETE FROM cases WHERE scan_id = 'sub-003_ses-1'")
    with pytest.raises(GalleryError, match=r"damaged \(a case is lost\)"):
        gallery.nearest(np.asarray(some_cases(30)[6].code), 1)


def test_threads_read_and_write_one_gallery(gallery):
    """Searches in several threads while another adds, removes and erases see whole states."""
    codes = some_codes(4, seed=3)

    def searching(code):
        for _ in range(60):
            found = gallery.nearest(code, 5, where="sex = 'F'", without_subject="001")
            assert len(found.cases) == 5
            assert all(c.labels["sex"] == "F" and c.subject != "001" for c in found.cases)
            true = np.linalg.norm([np.float64(c.code) - code for c in found.cases], axis=1)
            np.testing.assert_allclose(found.distances, true)
            assert (found.n_cases, found.n_selected % 2) in {(60, 0), (61, 0), (61, 1)}

    def changing():
        for i in range(20):
            new = replace(some_cases(1)[0], scan_id=f"new-{i}", subject="x", image_hash=str(i))
            gallery.add([new], MODEL)
            gallery.remove([new.scan_id], erase=i % 2 == 0)

    with ThreadPoolExecutor(5) as pool:
        for done in [pool.submit(changing), *(pool.submit(searching, code) for code in codes)]:
            done.result(timeout=120)


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
    pages = gallery._record.database.connection.execute("PRAGMA page_count").fetchone()[0]
    gallery._record.database.connection.execute(f"PRAGMA max_page_count = {pages}")
    many = [replace(case, scan_id="new-" + case.scan_id) for case in some_cases(200)]
    with pytest.raises(GalleryError, match="the disk is full"):
        gallery.add(many, MODEL)
    assert gallery.info().cases == 60
