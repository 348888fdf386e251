"""Readers without rights, half-made galleries, and writers that take turns."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from braincase.errors import GalleryError
from braincase.gallery import create_gallery, exists, open_gallery
from gallery_cases import MODEL, filled_gallery, some_cases

NOBODY = 65534
#: Answers each line of its input with what a reader without rights sees.
READER = """
import os, sys
import numpy as np
from braincase.errors import BraincaseError
from braincase.gallery import open_gallery
os.setgroups([]); os.setgid(65534); os.setuid(65534)
gallery = None
for line in sys.stdin:
    try:
        if gallery is None:
            gallery = open_gallery(sys.argv[1])
        info = gallery.info()
        hits = gallery.nearest(np.zeros(150, np.float32), 500).cases
        print(info.version, info.cases, len(hits), flush=True)
    except BraincaseError as error:
        print(error, flush=True)
"""

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")


class Reader:
    """A process of another user who may read the folder, and nothing else."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            [sys.executable, "-c", READER, str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self):
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture
def readable():
    """A gallery of 60 cases that everybody may read and only its owner may write."""
    folder = Path(tempfile.mkdtemp())
    filled_gallery(folder / "g").close()
    open_to_all(folder)
    yield folder / "g"
    shutil.rmtree(folder)


def open_to_all(folder):
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def many(n, word):
    return [
        replace(
            case,
            scan_id=f"{word}-{case.scan_id}",
            subject=f"{word}-{case.subject}",  # an erased person would stay out
            image_hash=f"{word}-{case.image_hash}",
        )
        for case in some_cases(n, 1)
    ]


@needs_root
@pytest.mark.parametrize("owner_stays", [True, False])
def test_a_reader_without_rights_sees_every_change_and_no_erased_case(readable, owner_stays):
    reader = Reader(readable)
    assert reader.ask() == "1 60 60"
    owner = open_gallery(readable)
    owner.remove([case.scan_id for case in some_cases(30)[:20]], erase=True)
    if not owner_stays:
        owner.close()
    assert reader.ask() == "2 40 40"
    owner = owner if owner_stays else open_gallery(readable)
    owner.add(many(300, "new"), MODEL)
    if not owner_stays:
        owner.close()
    assert reader.ask() == "3 340 340"
    owner.close()
    assert reader.ask() == "3 340 340"
    reader.close()


@needs_root
def test_a_copy_whose_log_cannot_be_read_says_so_instead_of_showing_an_old_state(readable):
    owner = open_gallery(readable)
    owner.add(many(5, "new"), MODEL)
    copy = readable.parent / "copy"
    copy.mkdir()
    for name in ("gallery.sqlite3", "gallery.sqlite3-wal"):
        shutil.copy(readable / name, copy / name)
    owner.close()
    open_to_all(readable.parent)
    reader = Reader(copy)
    line = reader.ask()
    reader.close()
    assert line == "2 65 65" or ("gallery.sqlite3-wal" in line and "right to write" in line)


def half_made(folder, kind):
    """What a process leaves that is killed while it makes a gallery."""
    folder.mkdir()
    path = folder / "gallery.sqlite3"
    if kind == "empty":
        path.touch()
    else:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        if kind == "rolled back":
            with contextlib.closing(sqlite3.connect(path)) as connection:
                connection.isolation_level = None
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("CREATE TABLE meta (key)")


@pytest.mark.parametrize("kind", ["empty", "journal only", "rolled back"])
def test_a_gallery_left_half_made_is_made_anew(tmp_path, kind):
    half_made(tmp_path / "g", kind)
    assert not exists(tmp_path / "g")
    with pytest.raises(GalleryError, match="no gallery here"):
        open_gallery(tmp_path / "g")
    gallery = create_gallery(tmp_path / "g", MODEL, 4)
    assert gallery.add(some_cases(2), MODEL).version == 1
    gallery.close()
    assert exists(tmp_path / "g")


def test_a_database_of_another_program_is_left_alone(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "gallery.sqlite3")) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(GalleryError, match="another program"):
        create_gallery(tmp_path, MODEL, 4)


def test_killed_at_any_moment_of_its_making_a_gallery_can_be_made(tmp_path):
    code = (
        "import sys; from braincase.gallery import create_gallery; print(flush=True);"
        "create_gallery(sys.argv[1], 'a' * 64, 4)"
    )
    for n in range(12):
        folder = tmp_path / f"g{n}"
        maker = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE)
        maker.stdout.readline()
        time.sleep(n * 0.001)
        maker.kill()
        maker.wait()
        maker.stdout.close()
        gallery = open_gallery(folder) if exists(folder) else create_gallery(folder, MODEL, 4)
        gallery.add(some_cases(1), MODEL)
        gallery.close()


WRITER = """
import sys, time
from dataclasses import replace
from braincase.gallery import open_gallery
from gallery_cases import MODEL, some_cases
gallery, word, stop = open_gallery(sys.argv[1]), sys.argv[2], time.monotonic() + float(sys.argv[3])
case, longest, n = some_cases(1)[0], 0.0, 0
while time.monotonic() < stop:
    start = time.monotonic()
    gallery.add([replace(case, scan_id=f"{word}{n}", image_hash=f"{word}{n}")], MODEL)
    longest, n = max(longest, time.monotonic() - start), n + 1
print(longest, n)
"""
LOOKER = """
import sys, time
import numpy as np
from braincase.gallery import open_gallery
gallery, stop = open_gallery(sys.argv[1]), time.monotonic() + float(sys.argv[3])
while time.monotonic() < stop:
    gallery.nearest(np.zeros(150, np.float32), 3)
print(0.0, 0)
"""


def test_two_busy_writers_take_turns_beside_two_readers(tmp_path):
    filled_gallery(tmp_path, n_people=3).close()
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), word, "12"],
            stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent,
        )
        for code, word in ((WRITER, "a"), (WRITER, "b"), (LOOKER, ""), (LOOKER, ""))
    ]  # fmt: skip
    told = [worker.communicate(timeout=120)[0].split() for worker in workers]
    longest = max(float(line[0]) for line in told)
    written = [int(line[1]) for line in told[:2]]
    assert longest < 5
    assert min(written) > 0.5 * max(written)
    gallery = open_gallery(tmp_path)
    assert gallery.info().cases == 6 + sum(written)
    gallery.close()
