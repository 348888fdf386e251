"""A whole cohort that was prepared at 2 mm, for a model and a gallery of 4 mm."""

from __future__ import annotations

import gzip
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from braincase import open_gallery
from braincase.cohort.cohort import Cohort, PreparedScan, finish_cohort, open_cohort, write_case
from braincase.cohort.resolution import at_resolution
from braincase.errors import CohortError, FingerprintError
from braincase.images.geometry import HALF_GRID, STANDARD_GRID, Grid
from braincase.models.embed import encoder_of
from braincase.models.model import load_model
from braincase.search.options import SearchOptions
from braincase.sources.census import take_census
from braincase.sources.scan import Scan
from braincase.workflows.gallery_upkeep import verify_gallery
from braincase.workflows.index_cohort import Indexed, index_cohort
from braincase.workflows.relocation import relocate_gallery
from web_service import API, serving, settings_for

#: Scans; one person has two of them.
N = 5


@pytest.fixture(scope="module")
def place(tiny: Cohort, web_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cohorts ``fine`` (2 mm, simulated people) and ``coarse``, its means; a model of 4 mm."""
    folder = tmp_path_factory.mktemp("finer")
    random = np.random.default_rng(0)
    fine = []
    for row in range(N):
        volume = tiny.volumes[row].repeat(2, 0).repeat(2, 1).repeat(2, 2).astype(int)
        fine.append((volume + random.integers(-40, 41, volume.shape)).clip(0, 255).astype(np.uint8))
    _write(tiny, folder / "fine", STANDARD_GRID, fine)
    cubes = [volume.reshape(40, 2, 48, 2, 40, 2) for volume in fine]
    means = [np.rint(volume.mean(axis=(1, 3, 5))).astype(np.uint8) for volume in cubes]
    _write(tiny, folder / "coarse", HALF_GRID, means)
    (folder / "model").symlink_to(web_model)
    return folder


def _write(people: Cohort, folder: Path, grid: Grid, volumes: list[NDArray[np.uint8]]) -> None:
    """Write a cohort of some people of another with these volumes."""
    scans = []
    for row, volume in enumerate(volumes):
        cells = people.table.iloc[row][["subject", "session", "diagnosis", "age", "sex"]]
        subject, session, *_ = cells
        scans.append(Scan(folder, subject, session, dict(cells.iloc[2:])))
        write_case(folder, grid, PreparedScan(scans[-1], volume, {"Recipe": people.recipe}))
    finish_cohort(folder, grid, people.recipe, take_census(scans))


@pytest.fixture(scope="module")
def indexed(place: Path) -> Indexed:
    """What indexing the fine cohort said; the coarse one is a gallery beside it."""
    index_cohort(place / "g-coarse", place / "coarse", place / "model")
    return index_cohort(place / "g-fine", place / "fine", place / "model")


def test_a_finer_cohort_gives_the_codes_and_hits_of_its_means(
    place: Path, indexed: Indexed
) -> None:
    note = "note: the scans were prepared at 2 mm: brought to the model's 4 mm by means"
    assert indexed.lines()[1:] == [note]
    with (
        open_gallery(place / "g-fine", place / "model") as fine,
        open_gallery(place / "g-coarse", place / "model") as coarse,
    ):
        for one, other in zip(fine.gallery.cases(), coarse.gallery.cases(), strict=True):
            assert one.scan_id == other.scan_id
            np.testing.assert_array_equal(one.code, other.code)
            assert fine.gallery.thumbnail(one.scan_id) == coarse.gallery.thumbnail(one.scan_id)
        case, image = one.scan_id, one.image
        assert image is not None
        by_case, expected = fine.search(case, k=2), coarse.search(case, k=2)
        assert list(by_case) == list(expected)
        assert [hit.scan_id for hit in fine.search(image, k=2)] == [hit.scan_id for hit in by_case]
        # Nobody says whose volume it is: known by the image, as stored.
        row = open_cohort(place / "fine").table["scan_id"].tolist().index(case)
        found = fine.ask(open_cohort(place / "fine").volumes[row], k=2).result
        assert found.own_subject == one.subject
        assert [hit.scan_id for hit in found.hits] == [hit.scan_id for hit in by_case]
    again = index_cohort(place / "g-fine", place / "fine", place / "model")
    assert (again.added, again.unchanged) == (0, len(open_cohort(place / "fine")))


def test_what_reads_the_images_of_a_finer_cohort_sees_the_gallerys_grid(
    place: Path, indexed: Indexed, tmp_path: Path
) -> None:
    coarse = open_cohort(place / "coarse").volumes[0]
    with open_gallery(place / "g-fine") as gallery:
        case = next(iter(gallery.gallery.cases()))
        volume = gallery.finished_search(case.scan_id, SearchOptions(k=1)).volume()
    np.testing.assert_array_equal(volume, coarse)
    verified = verify_gallery(place / "g-fine", images=True)
    assert (verified.images, verified.problems) == (indexed.added, ())
    with serving(settings_for(place / "g-fine", tmp_path / "audit.jsonl")) as client:
        packed = client.get(f"{API}/cases/{case.scan_id}/volume.nii.gz").content
        assert client.get(f"{API}/cases/{case.scan_id}/slices/axial/20.png").status_code == 200
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(packed))
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), coarse)


def test_a_gallery_of_a_finer_cohort_is_relocated_and_damage_is_found(
    place: Path, indexed: Indexed, tmp_path: Path
) -> None:
    shutil.copytree(place / "g-fine", tmp_path / "g")
    shutil.copytree(place / "fine", tmp_path / "moved")
    (moved,) = relocate_gallery(tmp_path / "g", place / "fine", tmp_path / "moved")
    assert moved.now == tmp_path / "moved"
    image = next((tmp_path / "moved").rglob("*_desc-brain_T1w.nii.gz"))
    volume = np.asanyarray(nibabel.load(image).dataobj).copy()
    volume[40, 48, 40] ^= 1  # less than the rounding of a mean
    nibabel.save(nibabel.Nifti1Image(volume, STANDARD_GRID.affine), image)
    (problem,) = verify_gallery(tmp_path / "g", images=True).problems
    assert "another image than the gallery holds" in problem


def test_a_coarser_cohort_is_refused_with_what_to_do(place: Path, tmp_path: Path) -> None:
    encoder = replace(encoder_of(load_model(place / "model")), grid=STANDARD_GRID)
    expected = r"scans at 4 mm; expected 2 mm, .* or finer.*prepare SCANS .*coarse-2mm"
    with pytest.raises(FingerprintError, match=expected):
        index_cohort(tmp_path / "g", place / "coarse", encoder)
    with pytest.raises(CohortError, match="scans at 4 mm; expected 2 mm or finer"):
        at_resolution(open_cohort(place / "coarse"), STANDARD_GRID)


def test_means_of_a_cohort_are_read_in_any_order_and_by_other_processes(place: Path) -> None:
    fine = at_resolution(open_cohort(place / "fine"), HALF_GRID)
    coarse = open_cohort(place / "coarse")
    volumes = pickle.loads(pickle.dumps(fine.volumes))
    np.testing.assert_array_equal(volumes[[2, 0]], coarse.volumes[[2, 0]])
    assert fine.grid == HALF_GRID
    assert at_resolution(coarse, HALF_GRID) is coarse
