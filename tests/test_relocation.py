"""A copied gallery says that it is one; relocating lets it read its own images."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from braincase.cli.gallery import gallery_app
from braincase.cohort.derivatives import write_image
from braincase.errors import GalleryError, UsageError
from braincase.gallery import NewCase, open_gallery
from braincase.images.geometry import HALF_GRID
from braincase.workflows.gallery_upkeep import backup_gallery, verify_gallery
from braincase.workflows.relocation import relocate_gallery
from gallery_cases import MODEL, filled_gallery, some_codes
from refusals import refused

IMAGE = "sub-{}/anat/sub-{}_desc-brain_T1w.nii.gz"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a gallery and the cohort of two of its cases."""
    folder = tmp_path / "project"
    with closing(filled_gallery(folder / "gallery", n_people=3)) as gallery:
        gallery.add([case_of(folder / "cohort", n) for n in (1, 2)], MODEL)
    return folder


def case_of(cohort: Path, number: int) -> NewCase:
    image = IMAGE.format(f"new{number}", f"new{number}")
    volume = np.random.default_rng(number).integers(0, 255, HALF_GRID.shape, dtype=np.uint8)
    write_image(cohort / image, volume, HALF_GRID)
    code, marks = some_codes(2)[number - 1], sha256(volume.tobytes()).hexdigest()
    return NewCase(f"sub-new{number}", f"new{number}", code, cohort=cohort, image=image,
                   image_hash=marks)  # fmt: skip


def images(folder: Path) -> list[Path]:
    with closing(open_gallery(folder)) as gallery:
        return [gallery.get(f"sub-new{n}").image for n in (1, 2)]


def notes(folder: Path) -> tuple[str, ...]:
    with closing(open_gallery(folder)) as gallery:
        assert gallery.nearest(some_codes(1)[0], 2).notes == gallery.info().notes
        return gallery.info().notes


def test_a_copy_says_so_until_it_reads_its_own_images(project: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(project, tmp_path / "copy")
    assert notes(project / "gallery") == ()
    (said,) = notes(copy / "gallery")
    assert "a copy: images of its cases are read where the original's lie" in said
    assert str(project) not in said  # the service shows it to readers
    assert all(image.is_relative_to(project) for image in images(copy / "gallery"))
    told = CliRunner().invoke(gallery_app, ["relocate", str(copy / "gallery")])
    assert told.output == f"2 cases: {project / 'cohort'} -> {copy / 'cohort'}\n"
    assert notes(copy / "gallery") == ()
    assert all(image.is_relative_to(copy) for image in images(copy / "gallery"))
    shutil.rmtree(project)
    assert verify_gallery(copy / "gallery").problems == ()


def test_a_moved_cohort_is_named_and_another_one_refused(project: Path, tmp_path: Path) -> None:
    (project / "cohort").rename(tmp_path / "elsewhere")
    assert len(verify_gallery(project / "gallery").problems) == 2
    with refused(UsageError, "one folder"):
        relocate_gallery(project / "gallery", project)
    with refused(UsageError, "no cohort in"):
        relocate_gallery(project / "gallery", tmp_path / "x", tmp_path / "elsewhere")
    case_of(tmp_path / "other", 2)
    shutil.copytree(tmp_path / "other" / "sub-new2", tmp_path / "other" / "sub-new1")
    for place in ("other", "project"):
        with refused(GalleryError, "not this cohort"):
            relocate_gallery(project / "gallery", project / "cohort", tmp_path / place)
    run = ["relocate", str(project / "gallery"), "--from", str(project / "cohort")]
    told = CliRunner().invoke(gallery_app, [*run, "--to", str(tmp_path / "elsewhere"), "--json"])
    assert json.loads(told.output)[0]["now"] == str(tmp_path / "elsewhere")
    assert verify_gallery(project / "gallery").problems == ()


def test_a_backup_is_a_copy_and_a_gallery_that_was_moved_alone_is_none(
    project: Path, tmp_path: Path
) -> None:
    backup_gallery(project / "gallery", tmp_path / "backup")
    assert "a copy" in notes(tmp_path / "backup")[0]
    relocate_gallery(tmp_path / "backup")  # its cohort is not beside it: it stays where it is
    assert notes(tmp_path / "backup") == ()
    (project / "gallery").rename(project / "brains")
    assert notes(project / "brains") == ()
    assert verify_gallery(project / "brains").problems == ()
