"""Erasure to the last byte, tombstones, checksums of whole rows, the check and the backup."""

import contextlib
import sqlite3
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from braincase.cli.gallery import gallery_app
from braincase.cohort.derivatives import write_image
from braincase.errors import GalleryError, UnknownCaseError, UsageError
from braincase.gallery import NewCase, open_gallery
from braincase.gallery.milvus.collection import TOKEN, Collection
from braincase.gallery.url import parse_url
from braincase.images.geometry import HALF_GRID
from braincase.workflows.gallery_upkeep import backup_gallery, verify_gallery
from gallery_cases import MODEL, filled_gallery, some_cases, some_codes

SCAN = "sub-003_ses-1"
IMAGE = "sub-x/anat/sub-x_desc-brain_T1w.nii.gz"


@pytest.fixture
def gallery(tmp_path):
    with_cases = filled_gallery(tmp_path / "gallery")
    yield with_cases
    with_cases.close()


def sql(folder, statement, *values):
    with contextlib.closing(sqlite3.connect(folder / "gallery.sqlite3")) as connection, connection:
        return connection.execute(statement, values).fetchall()


def bytes_of(folder):
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


#: Reads, and goes on reading the same old state until it is told to end.
HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM cases").fetchone()
print("reading", flush=True)
sys.stdin.read()
"""


def test_erased_is_not_said_while_a_reader_keeps_the_bytes(gallery):
    code = gallery.get(SCAN).code.tobytes()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(gallery.folder / "gallery.sqlite3")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    holder.stdout.readline()
    change = gallery.remove([SCAN], erase=True)
    assert code in bytes_of(gallery.folder)
    assert "bytes are still in" in change.notes[0]
    assert any("erased" in line for line in verify_gallery(gallery.folder, images=False).warnings)
    holder.communicate("")
    open_gallery(gallery.folder).close()
    assert code not in bytes_of(gallery.folder)
    assert not any("erased" in x for x in verify_gallery(gallery.folder, images=False).warnings)


def test_without_readers_erased_is_erased(gallery):
    code = gallery.get(SCAN).code.tobytes()
    assert gallery.remove([SCAN], erase=True).notes == ()
    assert code not in bytes_of(gallery.folder)


def test_erased_scans_do_not_come_back_until_they_are_let_in(gallery):
    case = next(case for case in some_cases(30) if case.scan_id == SCAN)
    gallery.remove([SCAN], erase=True)
    other = replace(case, scan_id="sub-other", subject="other")
    change = gallery.update([case, other, replace(case, scan_id="sub-new", image_hash="n")], MODEL)
    assert (change.added, change.erased_before) == (("sub-new",), (SCAN, "sub-other"))
    assert SCAN.encode() not in bytes_of(gallery.folder)
    with pytest.raises(UnknownCaseError, match="'sub-000_ses-1' was erased"):
        gallery.readmit(["sub-000_ses-1"])
    gallery.readmit([SCAN])
    assert gallery.add([case, other], MODEL).added == (SCAN, "sub-other")


def test_without_its_key_nothing_is_let_in_unseen(gallery):
    gallery.remove([SCAN], erase=True)
    (gallery.folder / "gallery.key").unlink()
    with pytest.raises(GalleryError, match="key of the erased scans is missing"):
        gallery.add([replace(some_cases(1)[0], scan_id="sub-new")], MODEL)
    assert any("gallery.key" in line for line in verify_gallery(gallery.folder, False).warnings)


COLUMNS = {
    "scan_id": "'sub-003_ses-9'", "subject": "'002'", "session": "'2'", "labels": "'{}'",
    "code": "zeroblob(600)", "image": "'x.nii.gz'", "image_hash": "'other'", "content": "'other'",
    "added_in": "0", "removed_in": "2", "cohort": "7",
}  # fmt: skip


@pytest.mark.parametrize("column", COLUMNS)
def test_a_change_of_any_column_is_noticed(gallery, column):
    gallery.close()
    statement = f"UPDATE cases SET {column} = {COLUMNS[column]} WHERE scan_id = ?"
    with contextlib.closing(sqlite3.connect(gallery.folder / "gallery.sqlite3")) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(statement, (SCAN,))
        connection.commit()
    opened = open_gallery(gallery.folder)
    with pytest.raises(GalleryError, match="is damaged"):
        opened.info()
    opened.close()
    assert any("damaged (checksum)" in line for line in verify_gallery(gallery.folder).problems)


def test_a_gallery_of_an_older_version_is_read_and_grows(gallery):
    gallery.close()
    sql(gallery.folder, "ALTER TABLE cases DROP COLUMN full_checksum")
    with contextlib.closing(open_gallery(gallery.folder)) as old:
        assert old.info().cases == 60
        old.remove([SCAN])
        old.add([replace(some_cases(1)[0], scan_id="sub-new", image_hash="new")], MODEL)
        assert (old.info().cases, old.info(as_of=1).cases) == (60, 60)
    assert verify_gallery(gallery.folder).problems == ()
    sql(gallery.folder, "UPDATE cases SET subject = '001' WHERE scan_id = 'sub-new'")
    assert len(verify_gallery(gallery.folder).problems) == 1


def with_image(gallery, folder):
    volume = np.random.default_rng(0).integers(0, 255, HALF_GRID.shape, dtype=np.uint8)
    write_image(folder / IMAGE, volume, HALF_GRID)
    image_hash = sha256(volume.tobytes()).hexdigest()
    case = NewCase(
        "sub-x", "x", some_codes(1)[0], cohort=folder, image=IMAGE, image_hash=image_hash
    )
    gallery.add([case], MODEL)


def test_verify_reads_every_image(gallery, tmp_path):
    with_image(gallery, tmp_path / "c")
    done = verify_gallery(gallery.folder)
    assert (done.rows, done.images, done.problems, done.warnings) == (61, 1, (), ())
    other = np.random.default_rng(1).integers(0, 255, HALF_GRID.shape, dtype=np.uint8)
    write_image(tmp_path / "c" / IMAGE, other, HALF_GRID)
    assert "another image" in verify_gallery(gallery.folder).problems[0]
    assert verify_gallery(gallery.folder, images=False).problems == ()
    told = CliRunner().invoke(gallery_app, ["verify", str(gallery.folder)])
    assert isinstance(told.exception, GalleryError)
    assert "problem: sub-x: " in told.output


def test_verify_warns_of_a_gallery_that_others_can_read(gallery):
    gallery.folder.chmod(0o755)
    (gallery.folder / "gallery.sqlite3").chmod(0o644)
    (line,) = verify_gallery(gallery.folder).warnings
    assert "everybody" in line


def test_verify_names_bad_rows_and_the_others_are_checked(gallery):
    gallery.close()
    sql(gallery.folder, "UPDATE cases SET labels = '{' WHERE scan_id = ?", SCAN)
    sql(gallery.folder, "UPDATE cases SET subject = 'y' WHERE scan_id = 'sub-004_ses-1'")
    problems = verify_gallery(gallery.folder, images=False).problems
    assert [SCAN in problems[0], "sub-004_ses-1" in problems[1]] == [True, True]
    assert len(problems) == 2


WRITER = """
import sys
from dataclasses import replace
from braincase.gallery import open_gallery
from gallery_cases import MODEL, some_cases
gallery, case = open_gallery(sys.argv[1]), some_cases(1)[0]
print("begun", flush=True)
for n in range(100000):
    gallery.add([replace(case, scan_id=f"a{n}{c}", image_hash=f"a{n}{c}") for c in "ab"], MODEL)
"""


def test_a_backup_is_whole_while_the_gallery_is_written(gallery, tmp_path):
    gallery.remove([SCAN], erase=True)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(gallery.folder)],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent,
    )  # fmt: skip
    writer.stdout.readline()
    versions = [backup_gallery(gallery.folder, tmp_path / f"copy{n}") for n in range(4)]
    writer.kill()
    writer.communicate()
    assert versions == sorted(versions)
    for n, version in enumerate(versions):
        folder = tmp_path / f"copy{n}"
        assert verify_gallery(folder, images=False).problems == ()
        with contextlib.closing(open_gallery(folder)) as copy:
            assert copy.info().version == version
            assert copy.info().cases == 59 + 2 * (version - 2)
            assert copy.add([some_cases(30)[6]], MODEL).erased_before == (SCAN,)
    with pytest.raises(UsageError, match="exists already"):
        backup_gallery(gallery.folder, tmp_path / "copy0")


@pytest.mark.parametrize("host", ["milvus.example.org", "10.0.0.5", "[2001:db8::1]"])
def test_a_password_is_not_sent_unencrypted_to_another_machine(host, tmp_path, monkeypatch):
    monkeypatch.setenv(TOKEN, "user:hunter2")
    with pytest.raises(UsageError, match="unencrypted") as error:
        Collection(parse_url(f"milvus://{host}:19530/brains?record={tmp_path}"))
    assert "hunter2" not in str(error.value)
    url = parse_url(f"milvus://{host}:19530/brains?record={tmp_path}&tls=yes")
    assert (url.tls, url.is_local, parse_url(str(url)) == url) == (True, False, True)
    for local in ("localhost", "127.0.0.5", "[::1]"):
        assert parse_url(f"milvus://{local}:19530/brains?record=x").is_local
