"""The simulated whole head: its truth is true, and it follows from the seed."""

from dataclasses import replace
from functools import cache

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from braincase.images.geometry import apply_affine, zooms_of
from braincase.simulate.head import Pose, Scanning, SimulatedHead, random_pose, simulate_head
from braincase.simulate.head_anatomy import load_template

COARSE = Scanning(zooms_mm=(5, 5, 5), noise=0.0, bias=0.0)
TILTED = Pose((15, -10, 20), (12, -8, 5), (1.08, 0.93, 1.05), (0.03, -0.02, 0.01))


@cache
def head(pose: Pose = TILTED, scanning: Scanning = COARSE, seed: int = 3) -> SimulatedHead:
    return simulate_head(seed, pose, scanning)


def template_share(points):
    template = load_template()
    steps = (points - template.corner_mm).T
    return ndimage.map_coordinates(template.brain, steps, order=1, mode="constant")


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_person():
    again = simulate_head(3, TILTED, COARSE)
    assert again.data.tobytes() == head().data.tobytes()
    assert np.array_equal(again.native_to_mni, head().native_to_mni)
    assert not np.array_equal(head(seed=4).brain, head().brain)


def test_the_true_affine_carries_the_true_mask_onto_the_template():
    inside = np.argwhere(head().brain).astype(float)
    mni = apply_affine(head().native_to_mni @ head().affine, inside)
    share = template_share(mni) > 0.5
    volume = head().brain.sum() * 125 * np.linalg.det(head().native_to_mni[:3, :3])
    assert share.mean() > 0.96
    assert volume == pytest.approx(load_template().brain.sum(), rel=0.04)


def test_the_true_affine_is_the_pose_but_for_what_the_person_bends():
    back = np.linalg.inv(TILTED.native_from_mni())
    corners = np.array([[x, y, z] for x in (-60, 60) for y in (-90, 60) for z in (-40, 70)])
    native = apply_affine(TILTED.native_from_mni(), corners)
    off = np.linalg.norm(apply_affine(head().native_to_mni, native) - corners, axis=1)
    assert np.linalg.norm(apply_affine(back, native) - corners, axis=1).max() < 1e-9
    assert 0.1 < off.max() < 8


def test_right_stays_right_in_every_orientation():
    ras = head()
    for orientation in ("LPI", "PSR"):
        turned = head(scanning=replace(COARSE, orientation=orientation))
        assert nib.aff2axcodes(turned.affine) == tuple(orientation)
        canonical = nib.as_closest_canonical(nib.Nifti1Image(turned.data, turned.affine))
        assert np.array_equal(canonical.get_fdata(dtype=np.float32), ras.data)
        assert np.allclose(canonical.affine, ras.affine)


def test_a_head_shifted_to_the_right_lies_to_the_right():
    moved = head(Pose(shift_mm=(30, 0, 0)))
    middle = ndimage.center_of_mass(moved.brain)
    assert apply_affine(moved.affine, np.array(middle))[0] == pytest.approx(30, abs=2)


@pytest.mark.parametrize(
    ("contrast", "order"),
    [("T1w", ["csf", "gm", "wm"]), ("T2w", ["wm", "gm", "csf"]), ("FLAIR", ["csf", "wm", "gm"])],
)
def test_tissues_have_the_order_of_the_contrast(contrast, order):
    image = head(scanning=replace(COARSE, contrast=contrast))
    template = load_template()
    mni = apply_affine(image.native_to_mni @ image.affine, np.argwhere(image.brain).astype(float))
    steps = (mni - template.corner_mm).T
    values = image.data[image.brain]
    gm, wm = (ndimage.map_coordinates(t, steps, order=1) for t in (template.gm, template.wm))
    # Within the brain little is pure fluid at 4 mm, so its edge stands for it.
    tissue = {"csf": gm + wm < 0.35, "gm": gm > 0.8, "wm": wm > 0.9}
    assert sorted(order, key=lambda name: np.median(values[tissue[name]])) == order


def test_ct_has_air_at_minus_1000_and_bone_above_500():
    image = head(scanning=replace(COARSE, contrast="CT"))
    assert np.percentile(image.data, 5) == pytest.approx(-1000)
    assert np.percentile(image.data, 99.5) > 500


def test_a_cut_field_of_view_holds_what_the_whole_one_holds_there():
    cut = head(scanning=replace(COARSE, cut_mm=(0, 10, 15, 0, 0, 40)))
    assert cut.data.shape == tuple(np.array(head().data.shape) - (2, 3, 8))
    # The voxels lie where they lay before.
    assert np.allclose(cut.data, head().data[:-2, 3:, :-8], atol=1)


def test_defacing_takes_the_face_and_leaves_the_brain():
    whole, defaced = head(), head(scanning=replace(COARSE, defaced=True))
    gone = (whole.data > 100) & (defaced.data == 0)
    assert gone.sum() * 125 > 100_000
    assert (gone & whole.brain).sum() == 0


def test_a_stripped_brain_has_nothing_around_it():
    scanning = replace(COARSE, stripped=True, noise=0.05, bias=0.2)
    assert not head(scanning=scanning).data[~head(scanning=scanning).brain].any()


def test_noise_bias_and_motion_have_the_size_asked_for():
    clean = head()
    noisy = head(scanning=replace(COARSE, noise=0.05))
    brain = ndimage.binary_erosion(clean.brain)
    assert np.std((noisy.data - clean.data)[brain]) == pytest.approx(50, rel=0.05)
    biased = head(scanning=replace(COARSE, bias=0.2))
    assert np.std(np.log(biased.data[brain] / clean.data[brain])) == pytest.approx(0.2, rel=0.5)
    moved = head(scanning=replace(COARSE, motion_mm=4))
    assert np.abs(moved.data - clean.data)[brain].mean() > 50


def test_thick_slices_are_averages_over_their_thickness():
    thick = head(Pose(), replace(COARSE, zooms_mm=(5, 5, 8)))
    assert zooms_of(thick.affine).tolist() == [5, 5, 8]
    thin = head(Pose(), replace(COARSE, zooms_mm=(5, 5, 2)))
    mean = thin.data.reshape(*thin.data.shape[:2], 31, 4).mean(axis=3)
    assert np.corrcoef(mean.ravel(), thick.data.ravel())[0, 1] > 0.995


def test_random_poses_follow_the_generator_and_their_amount():
    a, b = (random_pose(np.random.default_rng(5)) for _ in range(2))
    assert a == b
    assert random_pose(np.random.default_rng(5), amount=0) == Pose()
    assert 1 < max(map(abs, a.rotation_deg)) <= 20
    assert max(abs(size / 0.92 - 1) for size in a.scale) <= 0.12
