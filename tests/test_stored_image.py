"""A gallery made by somebody else is data: what it names as an image is a claim."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from hashlib import sha256

import numpy as np
import pytest

from braincase.cohort.derivatives import read_image, write_image
from braincase.cohort.stored_image import read_stored_image
from braincase.errors import BraincaseError, ScanError
from braincase.gallery import NewCase, open_gallery
from braincase.images.geometry import HALF_GRID
from braincase.population.volumes import image_of_case, stored_volume
from gallery_cases import MODEL, filled_gallery, some_codes
from hostile_image import NAME, hostile, packed_image
from web_service import API, serving, settings_for


def some_volume(seed=0):
    return np.random.default_rng(seed).integers(0, 255, HALF_GRID.shape, dtype=np.uint8)


@pytest.fixture
def cohort(tmp_path):
    """A cohort folder with one image, and one of somebody else beside it."""
    for folder, seed in (("cohort", 0), ("other", 1)):
        write_image(tmp_path / folder / NAME, some_volume(seed), HALF_GRID)
    return tmp_path / "cohort"


def gallery_naming(folder, cohort, image, image_hash=None):
    """A gallery whose one image is named so, written past the library, and its case."""
    image_hash = image_hash or sha256(some_volume().tobytes()).hexdigest()
    gallery = filled_gallery(folder, n_people=2)
    gallery.add([NewCase("sub-x", "x", some_codes(1)[0], cohort=cohort, image="a.nii.gz")], MODEL)
    gallery.close()
    with contextlib.closing(sqlite3.connect(folder / "gallery.sqlite3")) as connection, connection:
        connection.execute("UPDATE cohorts SET folder = ?", [str(cohort)])
        connection.execute(
            "UPDATE cases SET image = ?, image_hash = ? WHERE scan_id = 'sub-x'",
            [str(image), image_hash],
        )
        with contextlib.suppress(sqlite3.OperationalError):  # as an older version wrote it
            connection.execute("UPDATE cases SET full_checksum = NULL")
    with contextlib.closing(open_gallery(folder)) as opened:
        return opened.get("sub-x")


def test_the_image_of_a_cohort_is_read(tmp_path, cohort):
    case = gallery_naming(tmp_path / "g", cohort, NAME)
    image = image_of_case(case, HALF_GRID)
    np.testing.assert_array_equal(image.volume, some_volume())
    assert image.packed == (cohort / NAME).read_bytes()


def test_a_link_that_stays_inside_the_cohort_is_followed(tmp_path, cohort):
    """As DataLad keeps images: the name is a link to content elsewhere in the same folder."""
    (cohort / ".git/annex").mkdir(parents=True)
    (cohort / NAME).rename(cohort / ".git/annex/content_desc-brain_T1w.nii.gz")
    (cohort / NAME).symlink_to("../../.git/annex/content_desc-brain_T1w.nii.gz")
    (tmp_path / "link").symlink_to("cohort")
    case = gallery_naming(tmp_path / "g", tmp_path / "link", NAME)
    assert stored_volume(case, HALF_GRID) is not None


KINDS = [
    "absolute", "above", "above in between", "other name", "relative cohort", "link out",
    "folder link out", "circle", "pipe", "link to a pipe", "device", "folder", "no image",
    "other image", "missing",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_else_a_gallery_names_is_neither_opened_nor_waited_for(tmp_path, cohort, kind):
    case = gallery_naming(tmp_path / "g", *hostile(kind, tmp_path, cohort))
    start = time.monotonic()
    with pytest.raises(ScanError) as error:
        image_of_case(case, HALF_GRID)
    assert "\n" not in str(error.value)
    assert stored_volume(case, HALF_GRID) is None
    assert time.monotonic() - start < 2


def test_without_a_hash_there_is_nothing_to_know_an_image_by(cohort):
    with pytest.raises(ScanError, match="no hash"):
        read_stored_image(cohort, cohort / NAME, None, HALF_GRID)


@pytest.mark.parametrize("kind", ["absolute", "above", "link out", "pipe", "no image"])
def test_a_service_sends_no_file_that_a_foreign_gallery_names(tmp_path, cohort, kind):
    gallery_naming(tmp_path / "g", *hostile(kind, tmp_path, cohort))
    with serving(settings_for(tmp_path / "g", tmp_path / "audit.jsonl")) as client:
        for path in ("volume.nii.gz", "slices/axial/20.png", "thumbnail.png"):
            answer = client.get(f"{API}/cases/sub-x/{path}", timeout=10)
            assert 400 <= answer.status_code < 500
            assert b"root:" not in answer.content


READ = """
import resource, sys
from pathlib import Path
from braincase.cohort.derivatives import read_image
from braincase.errors import ScanError
from braincase.images.geometry import HALF_GRID
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_image(Path(sys.argv[1]), HALF_GRID)
except ScanError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("shape", [HALF_GRID.shape, (30_000, 30_000, 1)])
def test_a_gzip_bomb_as_an_image_is_not_unpacked(tmp_path, shape):
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(packed_image(2**28, shape))
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, timeout=120
    )
    line, megabytes = done.stdout.splitlines()
    assert line.startswith(str(path))
    assert int(megabytes) < 100


def test_a_pipe_in_a_cohort_is_told_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.nii.gz")
    with pytest.raises(BraincaseError, match="no regular file"):
        read_image(tmp_path / "pipe.nii.gz", HALF_GRID)
