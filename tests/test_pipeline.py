from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage
from threadpoolctl import threadpool_limits

from braincase.errors import UsageError
from braincase.images.geometry import HALF_GRID, STANDARD_GRID, apply_affine
from braincase.images.volume import Volume, read_volume
from braincase.json_values import canonical_json
from braincase.preprocess.prepare_volume import (
    Prepared,
    _no_finer,
    prepare_batch,
    prepare_volume,
    recipe_of,
)
from braincase.preprocess.space.standard import scales_of
from braincase.simulate.head import Pose, Scanning, SimulatedHead, simulate_head

POSE = Pose((14, -7, 9), (12, -15, 10), (0.92, 0.88, 0.9))
UPRIGHT = Pose((8, -5, 6))
SCANNING = Scanning(zooms_mm=(2, 2, 2), noise=0.02)
#: Hardly more than the head: less air to draw and to read.
CLOSE = (180, 220, 200)


@pytest.fixture(scope="module")
def head() -> SimulatedHead:
    return simulate_head(11, POSE, SCANNING)


@pytest.fixture(scope="module")
def prepared(head) -> Prepared:
    return prepare_volume(Volume(head.data, head.affine))


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def on_grid(image: np.ndarray, affine: np.ndarray, native_to_mni: np.ndarray) -> np.ndarray:
    points = np.moveaxis(STANDARD_GRID.points_mm(), 0, -1)
    voxels = apply_affine(np.linalg.inv(native_to_mni @ affine), points)
    return ndimage.map_coordinates(image.astype(np.float32), np.moveaxis(voxels, -1, 0), order=1)


def test_the_standard_volume_has_its_form(prepared):
    assert prepared.volume.shape == prepared.mask.shape == (80, 96, 80)
    assert prepared.volume.dtype == np.uint8
    assert not prepared.volume[~prepared.mask].any()
    assert prepared.volume.max() > 150


def test_the_true_transform_is_found(head, prepared):
    corners = np.array(list(product((-70, 70), (-105, 72), (-70, 82))), float)
    native = apply_affine(np.linalg.inv(head.native_to_mni), corners)
    error = np.linalg.norm(apply_affine(prepared.native_to_mni, native) - corners, axis=1)
    assert np.median(error) < 2.5


@pytest.fixture(scope="module")
def uncut() -> Prepared:
    whole = simulate_head(11, UPRIGHT, SCANNING)
    return prepare_volume(Volume(whole.data, whole.affine))


@pytest.mark.parametrize(
    ("cut_mm", "least"),
    [((0, 0, 0, 0, 0, 70), 0.75), ((0, 0, 0, 0, 95, 0), 0.75), ((62, 0, 0, 0, 0, 0), 0.8)],
    ids=["vertex", "cerebellum", "left"],
)
def test_a_head_cut_by_the_field_of_view_lies_where_the_whole_one_lies(uncut, cut_mm, least):
    """What the scanner did not see says nothing; it is not dark tissue that pulls the rest."""
    cut = simulate_head(11, UPRIGHT, replace(SCANNING, cut_mm=cut_mm))
    found = prepare_volume(Volume(cut.data, cut.affine))
    assert least < found.measured.inside < 0.95
    corners = np.array(list(product((-70, 70), (-105, 72), (-70, 82))), float)
    native = apply_affine(np.linalg.inv(uncut.native_to_mni), corners)
    error = np.linalg.norm(apply_affine(found.native_to_mni, native) - corners, axis=1)
    assert np.median(error) < 4
    # White matter is white, however much of it was not seen.
    seen = found.volume > 0
    assert_allclose(found.volume[seen].mean(), uncut.volume[seen].mean(), rtol=0.05)


def test_the_true_brain_is_found(head, prepared):
    truth = on_grid(head.brain, head.affine, prepared.native_to_mni) > 0.5
    assert dice(prepared.mask, truth) > 0.93
    assert (truth & ~prepared.mask).sum() < 0.03 * truth.sum()


def test_what_was_measured_is_true(head, prepared):
    measured = prepared.measured
    assert measured.brain_ml == pytest.approx(head.brain.sum() * 8e-3, rel=0.08)
    # Not the pose's scales: the person's own shape makes a part of the true affine.
    assert_allclose(measured.scales, scales_of(np.linalg.inv(head.native_to_mni)), atol=0.04)
    assert measured.turned_degrees == pytest.approx(18, abs=4)
    assert measured.inside == 1
    assert not measured.skull_stripped
    assert not measured.searched_wide


def test_the_way_the_array_is_stored_does_not_matter(head, prepared, tmp_path):
    image = nib.Nifti1Image(head.data, head.affine)
    turn = nib.orientations.axcodes2ornt("PSL")
    turned = image.as_reoriented(
        nib.orientations.ornt_transform(nib.orientations.io_orientation(head.affine), turn)
    )
    assert turned.shape != image.shape
    nib.save(turned, tmp_path / "turned.nii.gz")
    again = prepare_volume(read_volume(tmp_path / "turned.nii.gz"))
    assert_array_equal(again.volume, prepared.volume)
    assert_allclose(again.native_to_mni, prepared.native_to_mni, atol=1e-4)


def test_the_callers_threads_change_no_number(head, prepared):
    """Sums of several threads are rounded otherwise: whatever the limit outside, one works here."""
    with threadpool_limits(2):
        again = prepare_volume(Volume(head.data, head.affine))
    assert_array_equal(again.native_to_mni, prepared.native_to_mni)
    assert_array_equal(again.head, prepared.head)


@pytest.mark.parametrize("zooms", [(0.8, 1.2, 1.2), (1, 1.2, 3)])
def test_the_size_of_voxels_hardly_matters(prepared, zooms):
    head = simulate_head(11, POSE, Scanning(zooms_mm=zooms, noise=0.02, field_mm=CLOSE))
    other = prepare_volume(Volume(head.data, head.affine))
    assert dice(other.mask, prepared.mask) > 0.975
    both = other.mask & prepared.mask
    assert np.corrcoef(other.volume[both], prepared.volume[both])[0, 1] > 0.93


def test_voxels_far_finer_than_the_standard_are_halved_where_they_lie(head):
    """Each voxel of 0.7 mm doubled to 0.35 mm comes back as it was, and in its place."""
    small = head.affine @ np.diag([0.35, 0.35, 0.35, 1.0])  # 2 mm become 0.7 mm
    fine = head.data.repeat(2, 0).repeat(2, 2)
    placed = small @ np.diag([0.5, 1, 0.5, 1])
    placed[:3, 3] = small[:3, 3] - small[:3, :3] @ [0.25, 0, 0.25]
    found = _no_finer(Volume(fine, placed))
    assert_array_equal(found.data, head.data)
    assert_allclose(found.affine, small)
    assert _no_finer(found) is found


@pytest.fixture(scope="module")
def small() -> tuple[Volume, Prepared]:
    made = simulate_head(12, Pose((-5, 4, 0)), Scanning(zooms_mm=(3, 3, 3), field_mm=CLOSE))
    volume = Volume(made.data, made.affine)
    return volume, prepare_volume(volume)


@pytest.mark.parametrize("device", [None, "cpu"])
def test_a_batch_gives_what_one_by_one_gives(head, prepared, small, device):
    """On NumPy, and by the path that a GPU takes (here on torch's CPU)."""
    batch = prepare_batch([small[0], Volume(head.data, head.affine)], device=device)
    alone = [small[1], prepared]
    for found, wanted in zip(batch, alone, strict=True):
        assert_allclose(found.native_to_mni, wanted.native_to_mni, atol=0.05)
        assert dice(found.mask, wanted.mask) > 0.998
        difference = np.abs(found.volume.astype(int) - wanted.volume)[found.mask & wanted.mask]
        assert np.quantile(difference, 0.99) <= 2


def test_a_skull_stripped_brain_is_prepared_as_such():
    stripped = Scanning(zooms_mm=(2, 2, 2), noise=0.02, stripped=True)
    head = simulate_head(13, POSE, stripped)
    done = prepare_volume(Volume(head.data, head.affine))
    truth = on_grid(head.brain, head.affine, done.native_to_mni) > 0.5
    assert done.measured.skull_stripped
    assert dice(done.mask, truth) > 0.96


def test_the_half_grid_is_the_standard_one_reduced(head, prepared):
    half = prepare_volume(Volume(head.data, head.affine), HALF_GRID)
    assert half.volume.shape == half.mask.shape == half.head.shape == HALF_GRID.shape
    blocks = prepared.volume.reshape(40, 2, 48, 2, 40, 2).mean(axis=(1, 3, 5))
    assert np.abs(half.volume - blocks).max() < 1.5


def test_gamma18_gives_the_published_mean(head):
    done = prepare_volume(Volume(head.data, head.affine), intensity="gamma18")
    assert done.volume.mean() == pytest.approx(18, abs=1)


def test_an_offset_of_all_grey_values_does_not_matter(head, prepared):
    shifted = prepare_volume(Volume(head.data + 5000, head.affine))
    assert dice(shifted.mask, prepared.mask) > 0.99


@pytest.mark.parametrize("kind", ["noise", "ball", "plane"])
def test_what_is_no_head_is_an_answer_and_not_a_crash(kind):
    rng = np.random.default_rng(0)
    data = rng.random((60, 60, 60)).astype(np.float32)
    centred = np.stack(np.meshgrid(*[np.arange(60) - 30] * 3, indexing="ij"))
    if kind == "ball":
        data = (np.linalg.norm(centred, axis=0) < 20).astype(np.float32)
    if kind == "plane":
        data = (centred[0] == 0).astype(np.float32)
    done = prepare_volume(Volume(data, np.diag([3.0, 3, 3, 1])))
    assert np.isfinite(done.head).all()


def test_recipes_differ_by_what_changes_the_numbers():
    recipes = [
        recipe_of(),
        recipe_of(HALF_GRID),
        recipe_of(intensity="gamma18"),
        recipe_of(extraction="hd-bet"),
    ]
    assert len({canonical_json(recipe) for recipe in recipes}) == 4
    assert canonical_json(recipe_of()) == canonical_json(dict(reversed(recipe_of().items())))


@pytest.mark.parametrize(
    ("option", "choice"), [("intensity", "bright"), ("extraction", "scissors")]
)
def test_an_unknown_choice_is_answered_with_the_known_ones(option, choice):
    with pytest.raises(UsageError, match=f"'{choice}'; expected (white-matter|watershed) or"):
        recipe_of(**{option: choice})


def test_a_real_labelled_head(shared_data: Path):
    folder = shared_data / "heads-ixi2mm"
    done = prepare_volume(read_volume(folder / "IXI012-HH-1211-T1_ds.nii.gz"))
    labels = read_volume(folder / "IXI012-HH-1211-T1_ds_DLMUSE.nii.gz")
    truth = on_grid(labels.data > 0, labels.affine, done.native_to_mni) > 0.5
    assert dice(done.mask, truth) > 0.965


def test_a_real_stripped_brain(shared_data: Path):
    scan = shared_data / "brains-ds002748-2mm" / "sub-50" / "anat" / "sub-50_T1w.nii.gz"
    done = prepare_volume(read_volume(scan))
    assert done.measured.skull_stripped
    # The affine is that of the bent template, not that of the best correlation (decision 0031).
    assert done.measured.masked_agreement > 0.75
