"""What is particular to the embedded engine; what all promise: test_gallery_contract.py."""

import fcntl
import os
import resource
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace

import numpy as np
import pytest

from braincase.errors import GalleryError, ReadOnlyGalleryError, UsageError
from braincase.gallery import Gallery, create_gallery, open_gallery
from braincase.gallery.embedded import EmbeddedEngine
from braincase.gallery.record import turns
from braincase.gallery.record.database import gallery_errors
from braincase.gallery.record.record import Record
from braincase.gallery.record.writing import ERASING
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
            neighbours = gallery.nearest(code, 5, where="sex = 'F'", without_subject="001")
            assert len(neighbours.cases) == 5
            assert all(c.labels["sex"] == "F" and c.subject != "001" for c in neighbours.cases)
            true = np.linalg.norm([np.float64(c.code) - code for c in neighbours.cases], axis=1)
            np.testing.assert_allclose(neighbours.distances, true)
            assert (neighbours.n_cases, neighbours.n_selected % 2) in {(60, 0), (61, 0), (61, 1)}

    def changing():
        for i in range(20):
            new = replace(some_cases(1)[0], scan_id=f"new-{i}", subject=f"x{i}", image_hash=str(i))
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
            memory = connect(":memory:")
            memory.execute("PRAGMA query_only = ON")
            memory.execute("CREATE TABLE refused (x)")  # the error that SQLite itself raises
        return connect(database, **options)

    monkeypatch.setattr(sqlite3, "connect", refuse_writing)
    reader = open_gallery(gallery.folder)
    assert reader.info().cases == 60
    with pytest.raises(ReadOnlyGalleryError, match="cannot be written"):
        reader.remove(["sub-003_ses-1"])
    reader.close()


def test_a_full_disk_is_told_and_nothing_half_is_written(gallery):
    pages = gallery._record.database.connection.execute("PRAGMA page_count").fetchone()[0]
    gallery._record.database.connection.execute(f"PRAGMA max_page_count = {pages}")
    many = [replace(case, scan_id="new-" + case.scan_id) for case in some_cases(200)]
    with pytest.raises(GalleryError, match="the disk is full"):
        gallery.add(many, MODEL)
    assert gallery.info().cases == 60


@pytest.mark.parametrize("hindrance", ["a full disk", "writers that wait"])
def test_a_pending_erasure_that_cannot_be_finished_now_hinders_no_search(
    tmp_path, monkeypatch, hindrance
):
    place = tmp_path / "disk"
    place.mkdir()
    with ExitStack() as holding:
        if hindrance == "a full disk":
            mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(place)]
            if subprocess.run(mount, capture_output=True).returncode:
                pytest.skip("a small disk (tmpfs) cannot be mounted here")
            holding.callback(subprocess.run, ["umount", "-l", str(place)], check=True)
        filled_gallery(place / "g").close()
        path = place / "g" / "gallery.sqlite3"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("INSERT INTO meta VALUES (?, '1')", (ERASING,))
        if hindrance == "a full disk":  # room for SQLite's shared memory, and for no change
            free = os.statvfs(place)
            (place / "more").write_bytes(bytes(free.f_bavail * free.f_frsize - 32768))
        else:
            monkeypatch.setattr(turns, "PATIENCE_S", 0.05)
            queue = holding.enter_context((place / "g" / turns.QUEUE_FILE).open("w"))
            fcntl.flock(queue, fcntl.LOCK_EX)
        with closing(open_gallery(place / "g")) as reader:
            assert len(reader.nearest(some_codes(1)[0], 3).cases) == 3
            with reader._record.database.querying() as connection:
                meta = dict(connection.execute("SELECT key, value FROM meta"))
            assert (ERASING in meta) == (hindrance == "a full disk")  # for the next opening


def test_a_failing_disk_is_not_called_a_damaged_gallery(gallery):
    size = (gallery.folder / "gallery.sqlite3").stat().st_size
    many = [replace(case, scan_id="new-" + case.scan_id) for case in some_cases(2000)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(GalleryError, match=r"the disk fails \(disk I/O error\)"):
            gallery.add(many, MODEL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert gallery.info().cases == 60


def test_a_file_that_cannot_be_opened_is_not_called_a_damaged_gallery(tmp_path):
    with (
        pytest.raises(GalleryError, match="a file of the gallery cannot be opened"),
        gallery_errors(tmp_path),
    ):
        sqlite3.connect(tmp_path / "no folder" / "milvus.sqlite3")


@pytest.mark.parametrize("name", ["full", "locked", "busy", "readonly", "closed database"])
def test_a_damaged_schema_is_called_damaged_whatever_names_it_holds(gallery, name):
    gallery.close()
    path = gallery.folder / "gallery.sqlite3"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f'CREATE INDEX "{name}" ON cases (subject)')
        connection.execute("PRAGMA writable_schema = ON")
        wrong = f'CREATE INDEX "{name}" ON nothing (subject)'
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (wrong, name))
    with pytest.raises(GalleryError, match=r"damaged \(malformed database schema"):
        open_gallery(gallery.folder)


@pytest.mark.parametrize(
    ("kind", "statements"),
    [
        ("view", (
            "ALTER TABLE cases RENAME TO real_cases",
            "CREATE VIEW cases AS WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r)"
            " SELECT real_cases.* FROM real_cases, r WHERE r.x < 0",
        )),
        ("trigger", (
            "CREATE TRIGGER t AFTER INSERT ON cases BEGIN DELETE FROM versions; END",
        )),
        ("virtual table", ("CREATE VIRTUAL TABLE v USING rtree(a, b, c)",)),
        ("generated column", ("ALTER TABLE cases ADD COLUMN v AS (zeroblob(1000000000))",)),
    ],
)  # fmt: skip
def test_a_file_that_runs_something_when_it_is_read_is_no_gallery(gallery, kind, statements):
    gallery.close()
    path = gallery.folder / "gallery.sqlite3"
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    with pytest.raises(GalleryError, match=f"a {kind} '.*expected plain tables") as error:
        open_gallery(gallery.folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("held", ["the queue", "the record"])
def test_who_waits_too_long_for_another_writer_is_told_so(gallery, monkeypatch, held):
    monkeypatch.setattr(turns, "PATIENCE_S", 0.05)
    with ExitStack() as holding:
        if held == "the queue":
            queue = holding.enter_context((gallery.folder / turns.QUEUE_FILE).open("w"))
            fcntl.flock(queue, fcntl.LOCK_EX)
        else:
            path = gallery.folder / "gallery.sqlite3"
            other = holding.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
            other.execute("BEGIN IMMEDIATE")
        with pytest.raises(GalleryError, match="another process is writing"):
            gallery.remove(["sub-003_ses-1"])
    assert gallery.remove(["sub-003_ses-1"]).version == 2


class MeddlingEngine(EmbeddedEngine):
    """An embedded engine beside which something happens during its first ranking."""

    def __init__(self, meddle):
        self.meddle, self.n_ranked = meddle, 0

    def rank(self, *args):
        ranked = super().rank(*args)
        self.n_ranked += 1
        if self.n_ranked == 1:
            self.meddle()
        return ranked


def test_a_hit_erased_during_a_search_makes_the_search_start_again(gallery):
    case = some_cases(30)[6]
    engine = MeddlingEngine(lambda: gallery.remove([case.scan_id], erase=True))
    searching = Gallery(Record(gallery.folder), engine, "searching")
    neighbours = searching.nearest(np.asarray(case.code), 1)
    assert engine.n_ranked == 2
    assert neighbours.cases[0].scan_id == "sub-003_ses-2"
    assert (neighbours.version, neighbours.n_cases) == (2, 59)
    searching.close()


class RefusingEngine(EmbeddedEngine):
    """An engine that takes no change, as one whose server does not answer."""

    def check_write(self, cases):
        raise GalleryError("engine", "no answer")


def test_what_the_engine_refuses_is_not_recorded(gallery):
    refusing = Gallery(Record(gallery.folder), RefusingEngine(), "refusing")
    new = replace(some_cases(1)[0], scan_id="sub-new", subject="new")
    for change in (
        lambda: refusing.add([new], MODEL),
        lambda: refusing.update([new], MODEL),
        lambda: refusing.remove(["sub-003_ses-1"]),
        lambda: refusing.remove(["sub-003_ses-1"], erase=True),
    ):
        with pytest.raises(GalleryError, match="no answer"):
            change()
    assert (gallery.info().version, gallery.info().cases) == (1, 60)
    refusing.close()


def test_the_engine_follows_every_change_and_hears_of_an_erasure(gallery):
    followed = []

    class FollowingEngine(EmbeddedEngine):
        def follow_write(self, erased):
            followed.append((erased, gallery.info().version))

    following = Gallery(Record(gallery.folder), FollowingEngine(), "following")
    following.add([replace(some_cases(1)[0], scan_id="sub-new", subject="new")], MODEL)
    following.remove(["sub-003_ses-1"])
    following.remove(["sub-new"], erase=True)
    assert followed == [(False, 2), (False, 3), (True, 4)]  # after it is recorded
    following.close()
