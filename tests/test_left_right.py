"""Left stays left: one mark goes through every reader and every step, to the pictures.

A simulated whole head has a dark ball of 9 mm, like a lesion, in the white matter of its right
hemisphere, and nothing at its left. It is stored in every format and layout that a reader knows,
its axes in another order each time and the head turned in the scanner where the format can say so.
What each reader gives is compared voxel by voxel and in millimetres with the head as it was made,
and one of each kind of format becomes a cohort by the real chain. Where the ball must come out
follows from the simulation's own transform, never from ours.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from PIL import Image
from scipy.ndimage import gaussian_filter

from braincase.answer.maps import difference_map, write_map
from braincase.answer.shares import explain
from braincase.cohort.cohort import Cohort, PreparedScan, open_cohort, write_case
from braincase.cohort.derivatives import image_path, sidecar_path
from braincase.cohort.view import ViewChoice
from braincase.images.atlas import label_volume, load_regions
from braincase.images.geometry import (
    HALF_GRID,
    STANDARD_GRID,
    VIEW_GRIDS,
    Grid,
    apply_affine,
    mean_of_blocks,
)
from braincase.models.augment import augment
from braincase.models.embed import embedder
from braincase.models.model import load_model
from braincase.population.normative import deviation_of, fit_normative
from braincase.population.spread import usual_spread
from braincase.preprocess.prepare_cohort import Plan, prepare_cohort
from braincase.preprocess.quality.measures import reference
from braincase.sources.find import find_scans
from braincase.sources.read import read_scan
from braincase.sources.scan import Scan
from braincase.volumetry.readout import LOCAL_SIZE, PARCELS, REGIONS, read_out
from marked_head import ANALYZE, MARK, MIRRORED, STORED, World, every_source, marked_head, put
from web_service import API, fill, serving, settings_for, untrained_model, uploaded

#: How far from the truth the mark may come out: registration and the person's shape, mm.
TOLERANCE_MM = 2.5
#: So far to both sides nobody can say which side it is.
MIDDLE_MM = 6.0
#: What a file without any word on sides is said to be.
UNTOLD = "nothing in the file tells left from right"


@pytest.fixture(scope="module")
def world() -> World:
    return marked_head()


@pytest.fixture(scope="module")
def sources(world: World, tmp_path_factory) -> dict[str, Scan]:
    """What the readers found, by subject."""
    places = every_source(tmp_path_factory.mktemp("sources"), world)
    scans = [scan for path, subject in places for scan in find_scans(path, subject=subject)[0]]
    assert sorted(scan.subject for scan in scans) == sorted(s for s, _ in STORED.values())
    return {scan.subject: scan for scan in scans}


#: Those that go through the real chain; the readers give all others the very same volume.
PREPARED = ("gz", "mgz", "folder", "zip", "bids", "OAS10001", "OAS10002")


@pytest.fixture(scope="module")
def cohort(sources: dict[str, Scan], tmp_path_factory) -> Path:
    """The folder that `braincase prepare` makes of one of each kind, at 2 mm."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare_cohort([sources[name] for name in PREPARED], Plan(folder, STANDARD_GRID), workers=1)
    return folder


@pytest.fixture(scope="module")
def halves(world: World, tmp_path_factory) -> Cohort:
    """The head with the mark at the left, nowhere and at the right, prepared at 4 mm."""
    folder = tmp_path_factory.mktemp("halves")
    affine, _ = world.of("")
    paths = [put(folder / f"{name}.nii.gz", (d, affine), "LPI") for name, d in world.data.items()]
    plan = Plan(folder / "cohort", HALF_GRID, view=ViewChoice(2))
    prepare_cohort([Scan(path, path.name[:-7]) for path in paths], plan, workers=1)
    return open_cohort(plan.folder)


def volume_of(cohort: Cohort, subject: str) -> np.ndarray:
    row = list(cohort.table["subject"]).index(subject)
    return np.asarray(cohort.volumes[np.array([row])][0])


def prepared_image(cohort: Path, scan: Scan, ending: str = "_T1w") -> nib.Nifti1Image:
    """Open a file of the cohort as any other tool would."""
    path = image_path(cohort, STANDARD_GRID, scan)
    return nib.load(path.with_name(path.name.replace("_T1w", ending)))


def dark_places(image: nib.Nifti1Image, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return where deep white matter is dark, right and left of the middle, by the affine's word.

    The places to look at are the template's deep white matter, on both sides alike.
    """
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    deep = reference(grid).white
    deep = deep & deep[::-1]
    values = np.asarray(image.dataobj)
    dark = deep & (values < 0.5 * np.median(values[deep]))
    places = nib.affines.apply_affine(image.affine, np.argwhere(dark))
    return places[places[:, 0] > MIDDLE_MM], places[places[:, 0] < -MIDDLE_MM]


def assert_at_the_right(image: nib.Nifti1Image, grid: Grid) -> None:
    right, left = dark_places(image, grid)
    assert len(right) * grid.resolution_mm**3 > 2000  # of 3,900 cubic mm: a ball of 9.8 mm in MNI
    assert len(left) < 0.02 * len(right)
    assert_allclose(right.mean(axis=0), MARK, atol=TOLERANCE_MM)


every = pytest.mark.parametrize("subject", [s for s, _ in STORED.values()], ids=list(STORED))
prepared = pytest.mark.parametrize("subject", PREPARED)


@every
def test_every_reader_gives_the_same_head_in_the_same_place(world, sources, subject):
    volume = read_scan(sources[subject])
    affine, _ = world.of(subject)
    assert volume.sides_known == (subject != "OAS10002")
    # Each voxel of the head as it was made, at its place in mm; Analyze has no room for an origin.
    data = world.data["right"]
    index = np.argwhere(data > data.max() // 4)[::997]
    mm = apply_affine(affine, index.astype(float))
    if subject in ANALYZE:
        middle = (np.array(data.shape) - 1) / 2
        mm -= apply_affine(affine, middle)
        mm += apply_affine(volume.affine, (np.array(volume.data.shape) - 1) / 2)
    back = apply_affine(np.linalg.inv(volume.affine), mm)
    assert_allclose(back, np.rint(back), atol=0.02)
    read = volume.data[tuple(np.rint(back).astype(int).T)].astype(float)
    made = data[tuple(index.T)].astype(float)
    assert_allclose(read / read.mean(), made / made.mean(), atol=0.02)


@prepared
def test_the_mark_comes_out_at_the_right_whatever_it_came_in_as(sources, cohort, subject):
    image = prepared_image(cohort, sources[subject])
    assert_allclose(image.affine, STANDARD_GRID.affine)
    assert int(image.header["sform_code"]) > 0
    assert_allclose(image.get_qform(), image.get_sform(), atol=1e-4)
    assert_at_the_right(image, STANDARD_GRID)


@prepared
def test_the_sidecars_transforms_lead_from_the_mark_to_mni_and_back(
    world, sources, cohort, subject
):
    path = sidecar_path(image_path(cohort, STANDARD_GRID, sources[subject]))
    sidecar = json.loads(path.read_text())
    to_mni, to_native = np.array(sidecar["NativeToMNI"]), np.array(sidecar["MNIToNative"])
    native = apply_affine(np.linalg.inv(world.of(subject)[1]), MARK)
    assert_allclose(apply_affine(to_mni, native), MARK, atol=TOLERANCE_MM)
    assert_allclose(apply_affine(to_native, MARK), native, atol=TOLERANCE_MM)
    assert_allclose(to_mni @ to_native, np.eye(4), atol=1e-9)
    assert np.linalg.det(to_mni[:3, :3]) > 0  # a registration never mirrors


@prepared
def test_only_a_file_that_cannot_tell_its_sides_is_flagged(sources, cohort, subject):
    path = sidecar_path(image_path(cohort, STANDARD_GRID, sources[subject]))
    verdict = json.loads(path.read_text())["Quality"]
    assert (UNTOLD in verdict["Reasons"]) == (subject == "OAS10002"), verdict["Reasons"]
    assert verdict["Grade"] == ("look" if subject == "OAS10002" else "pass"), verdict["Reasons"]


@pytest.mark.parametrize("subject", ["gz", "folder", "OAS10001"])
def test_the_mask_is_not_mirrored(sources, cohort, subject):
    mask = prepared_image(cohort, sources[subject], "_mask")
    assert_allclose(mask.affine, STANDARD_GRID.affine)
    inside = np.asarray(mask.dataobj) > 0
    volume = np.asarray(prepared_image(cohort, sources[subject]).dataobj)
    assert not volume[~inside].any()
    assert (volume[~inside[::-1]] > 0).sum() > 100  # no head is so even that this could not tell
    assert inside[tuple(voxel_of(MARK, STANDARD_GRID))]


@pytest.mark.parametrize("subject", ["gz", "zip", "mgz", "OAS10001"])
def test_the_quality_picture_shows_it_beside_the_letter_r(sources, cohort, subject):
    path = cohort / "qc" / f"{sources[subject].scan_id}.webp"
    picture = np.asarray(Image.open(path).convert("L"), float)
    # The fourth tile is the coronal slice at y = -8: 160 mm wide, a pixel a mm, R at its left.
    middle, down = 384 + 160 + 80, 192 - 16 - (32 + 71)
    right, left = (
        picture[down - 3 : down + 4, middle + x - 3 : middle + x + 4].mean() for x in (-28, 28)
    )
    assert right < 0.6 * left


def voxel_of(place: np.ndarray, grid: Grid) -> np.ndarray:
    return np.rint(apply_affine(np.linalg.inv(grid.affine), place)).astype(int)


def test_at_4_mm_right_is_right_and_left_is_left(world, halves):
    images = {s: nib.Nifti1Image(volume_of(halves, s), HALF_GRID.affine) for s in world.data}
    assert_at_the_right(images["right"], HALF_GRID)
    right, left = dark_places(images["left"], HALF_GRID)
    assert len(right) < 0.02 * len(left)
    assert_allclose(left.mean(axis=0), MIRRORED, atol=TOLERANCE_MM)
    assert not any(map(len, dark_places(images["none"], HALF_GRID)))


@pytest.mark.parametrize("grid", [STANDARD_GRID, HALF_GRID])
def test_the_atlas_calls_the_place_right(grid):
    labels, names = label_volume(grid)
    sides = {
        side: names[labels[tuple(voxel_of(place, grid))]].partition("-")[0]
        for side, place in (("right", MARK), ("left", MIRRORED))
    }
    assert sides == {"right": "right", "left": "left"}


@pytest.fixture(scope="module")
def controls(halves: Cohort) -> list[np.ndarray]:
    """The brain without a mark, varied at random."""
    rng, brain = np.random.default_rng(0), volume_of(halves, "none").astype(float)
    noise = (gaussian_filter(rng.normal(size=brain.shape), 2) for _ in range(24))
    return [np.clip(brain + 200 * (brain > 0) * n, 0, 255).astype(np.uint8) for n in noise]


def peak(path: Path) -> np.ndarray:
    """Return where a map on disk is lowest, MNI mm."""
    image = nib.load(path)
    values = np.asarray(image.dataobj)
    return nib.affines.apply_affine(image.affine, np.unravel_index(values.argmin(), values.shape))


def test_difference_and_deviation_are_largest_where_the_mark_is(halves, controls, tmp_path):
    marked, plain = (volume_of(halves, subject) for subject in ("right", "none"))
    found = difference_map(marked, plain, HALF_GRID, usual_spread(controls, HALF_GRID))
    assert_allclose(peak(write_map(tmp_path / "d.nii.gz", found, HALF_GRID)), MARK, atol=8)
    people = list(zip(np.linspace(60, 80, 24).tolist(), ["F", "M"] * 12, strict=True))
    normal = fit_normative(controls, people, HALF_GRID)
    deviation = deviation_of(normal, marked, 70, "F")
    path = write_map(tmp_path / "z.nii.gz", deviation.z_map, HALF_GRID)
    assert_allclose(peak(path), MARK, atol=8)
    lowest = min(deviation.by_region, key=lambda name: deviation.by_region[name])
    assert lowest == "right-cerebral-white-matter"


@pytest.fixture(scope="module")
def model(halves: Cohort, tmp_path_factory) -> Path:
    return untrained_model(tmp_path_factory.mktemp("model") / "model", halves)


def test_the_code_sees_the_mark_at_its_side(halves, model):
    embed, regions = embedder(load_model(model)), load_regions()
    plain, right, left = embed(np.stack([volume_of(halves, s) for s in ("none", "right", "left")]))
    for marked, near, far in ((right, slice(3, 5), slice(2)), (left, slice(2), slice(3, 5))):
        cells = explain(marked, plain, regions).by_cell
        assert cells[near].sum() > 1.5 * cells[far].sum()


def test_the_local_code_reads_the_mark_at_its_side(halves):
    images = np.stack([volume_of(halves, side) for side in ("none", "right")])
    moved = np.abs(np.subtract(*read_out(images, HALF_GRID)[:, :LOCAL_SIZE]))
    left, right = (
        moved[[name.startswith(side) for name in (*REGIONS, *PARCELS)]].sum()
        for side in ("left", "right")
    )
    assert right > 3 * left


def test_training_mirrors_half_of_the_scans_on_purpose(halves):
    batch = torch.from_numpy(volume_of(halves, "right").astype(np.float32) / 255)
    changed = augment(batch.expand(60, 1, -1, -1, -1), torch.Generator().manual_seed(0)).numpy()
    right, left = (
        changed[:, 0, *voxel_of(place, HALF_GRID)] for place in (MARK, MIRRORED)
    )  # moved by a voxel at most, which is within the mark
    assert (np.maximum(right, left) > 1.3 * np.minimum(right, left)).all()
    assert 18 <= (left < right).sum() <= 42


@pytest.fixture(scope="module")
def client(halves: Cohort, controls, model: Path, tmp_path_factory) -> Iterator[httpx.Client]:
    """A service over the marked heads and, so that a usual spread can be told, ten controls."""
    folder = tmp_path_factory.mktemp("web")
    cohort = folder / "cohort"
    shutil.copytree(halves.folder, cohort)
    for number, volume in enumerate(controls[:10]):
        scan = Scan(cohort, f"control{number}")
        write_case(cohort, HALF_GRID, PreparedScan(scan, volume, {"Recipe": dict(halves.recipe)}))
    gallery = fill(folder / "gallery", open_cohort(cohort), model)
    settings = settings_for(gallery, folder / "audit.jsonl", model, view=ViewChoice(1))
    with serving(settings) as client:
        yield client


def fetched(client: httpx.Client, path: str) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(client.get(f"{API}/{path}").content))


def assert_shown_at_the_right(client: httpx.Client, path: str) -> None:
    """The volume says right; the slices show it left of the middle, as the convention wants."""
    assert_at_the_right(fetched(client, f"{path}/volume.nii.gz"), HALF_GRID)
    x, y, z = voxel_of(MARK, HALF_GRID)
    across, down = 80 - MARK[0], 89 - MARK[2]  # mm from the picture's left and top edge
    for plane, index, row, column in (
        ("coronal", y, down / 160, across / 160),
        ("axial", z, (78 - MARK[1]) / 192, across / 160),
    ):
        shown = picture_of(client, f"{path}/slices/{plane}/{index}.png")
        assert spot(shown, row, column) < 0.6 * spot(shown, row, 1 - column), plane
    row, column = down / 160, (78 - MARK[1]) / 192  # the nose to the left
    near, far = (picture_of(client, f"{path}/slices/sagittal/{index}.png") for index in (x, 39 - x))
    assert spot(near, row, column) < 0.6 * spot(far, row, column)


def assert_view_at_the_right(client: httpx.Client, path: str, mm: int) -> None:
    """The whole head lies as the brain does, in its file and in its slices."""
    grid = VIEW_GRIDS[mm]
    image = fetched(client, f"{path}/view.nii.gz")
    assert_allclose(image.affine, grid.affine)
    inner = (slice(16 // mm, -16 // mm),) * 3
    brain = nib.Nifti1Image(
        mean_of_blocks(image.get_fdata()[inner], 4 // mm).astype(np.float32), HALF_GRID.affine
    )
    assert_at_the_right(brain, HALF_GRID)
    standard = np.asarray(fetched(client, f"{path}/volume.nii.gz").dataobj)
    inside = standard > 0
    assert np.corrcoef(standard[inside], brain.get_fdata()[inside])[0, 1] > 0.9
    assert (brain.get_fdata()[~inside] > 80).sum() > 2000  # skull and scalp
    _, y, _ = voxel_of(MARK, grid)
    shown = picture_of(client, f"{path}/view/slices/coronal/{y}.png")
    row, column = (105 - MARK[2]) / 192, (96 - MARK[0]) / 192
    assert spot(shown, row, column) < 0.6 * spot(shown, row, 1 - column)


def picture_of(client: httpx.Client, path: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(client.get(f"{API}/{path}").content)), float)


def spot(picture: np.ndarray, row: float, column: float) -> float:
    """Return the brightness at a place given as parts of height and width."""
    i, j = round(row * picture.shape[0]), round(column * picture.shape[1])
    return float(picture[i - 12 : i + 13, j - 12 : j + 13].mean())


def test_the_service_shows_a_case_at_its_side(client):
    assert_shown_at_the_right(client, "cases/sub-right")
    assert_view_at_the_right(client, "cases/sub-right", 2)


def test_the_service_shows_an_uploaded_zip_of_dicom_at_its_side(client, sources):
    job = uploaded(client, sources["zip"].path.read_bytes(), "study.zip")
    assert job["state"] == "done", job
    assert_shown_at_the_right(client, f"uploads/{job['job']}")
    assert job["view_mm"] == 1
    assert_view_at_the_right(client, f"uploads/{job['job']}", 1)


def test_the_services_difference_map_tells_the_sides_apart(client):
    found = client.post(f"{API}/searches", json={"case": "sub-right", "k": 12}).json()
    image = fetched(client, f"searches/{found['search']}/maps/sub-left/difference.nii.gz")
    values = np.asarray(image.dataobj)
    for darker, place in ((values, MARK), (-values, MIRRORED)):
        there = np.argwhere(darker < 0.5 * darker.min())
        assert_allclose(nib.affines.apply_affine(image.affine, there).mean(axis=0), place, atol=8)
