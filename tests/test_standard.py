from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from braincase.images.geometry import HALF_GRID, STANDARD_GRID, apply_affine, mean_of_blocks
from braincase.preprocess.registration.coarse import turn
from braincase.preprocess.space import standard
from braincase.preprocess.space.field_of_view import (
    EDGE_VOXELS,
    TO_FACE,
    away_from_edge,
    covered,
    seen_on_grid,
)
from braincase.preprocess.space.template import CENTRE_MM, load_template


def wavy(points: np.ndarray) -> np.ndarray:
    """A smooth image as a function of MNI points of shape (..., 3)."""
    return 2 + np.sin(points / [23.0, 31.0, 27.0]).sum(axis=-1)


def native_scan(to_mni: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return wavy(apply_affine(to_mni, voxels)).astype(np.float32)


@pytest.mark.parametrize("zooms", [(2, 2, 2), (1, 1.3, 0.9), (0.7, 3, 1.2)])
def test_every_grid_voxel_gets_what_is_at_its_place(zooms):
    zooms = np.array(zooms)
    shape = tuple(np.ceil(260 / zooms).astype(int))
    transform = np.hstack([0.93 * turn(0.2, -0.1, 0.3), [[4.0], [-6.0], [9.0]]])
    to_voxel = standard.mni_to_voxel(transform, shape, zooms)
    scan = native_scan(np.linalg.inv(to_voxel), shape)
    found = standard.to_standard(scan, zooms, to_voxel)
    assert_allclose(found, wavy(np.moveaxis(STANDARD_GRID.points_mm(), 0, -1)), atol=0.02)


def test_outside_the_field_of_view_is_zero():
    to_voxel = standard.mni_to_voxel(np.eye(3, 4), (40, 96, 80), np.full(3, 2.0))
    found = standard.to_standard(np.ones((40, 96, 80), np.float32), np.full(3, 2.0), to_voxel)
    assert_array_equal(found[:20], 0)
    assert_array_equal(found[20:60], 1)
    assert_array_equal(found[60:], 0)
    brain = load_template()[2].mask
    share = brain[20:60].sum() / brain.sum()  # 0.72: the middle 80 mm hold most of the brain
    assert covered(to_voxel, (40, 96, 80)) == pytest.approx(share, abs=0.01)


def test_the_share_in_view_is_what_the_grid_shows():
    """Both look from outer face to outer face of the scan's voxels."""
    shape = (61, 70, 55)
    to_voxel = standard.mni_to_voxel(np.eye(3, 4), shape, np.array([2.08, 2.3, 2.2]))
    seen = seen_on_grid(to_voxel, shape, margin=TO_FACE)
    assert covered(to_voxel, shape) == seen[load_template()[2].mask][::7].mean()
    assert 0.5 < covered(to_voxel, shape) < 0.95


def test_the_rim_of_the_field_of_view_is_cut_off_but_not_at_the_grids_own_faces():
    seen = np.zeros(STANDARD_GRID.shape, bool)
    seen[:40] = True
    inner = np.zeros_like(seen)
    inner[: 40 - EDGE_VOXELS] = True
    assert_array_equal(away_from_edge(seen), inner)
    assert away_from_edge(np.ones_like(seen)).all()


@pytest.mark.parametrize("zoom", [0.5, 0.7, 1.0, 1.4])
def test_the_blur_is_the_same_for_all_fine_voxels(zoom):
    n = round(160 / zoom) | 1
    line = np.zeros((n, 3, 3), np.float32)
    line[n // 2] = 1 / zoom  # one millimetre's worth at the origin
    blurred = standard._blur(line, 0, standard.BLUR_MM2 / zoom**2 - 1 / 6)[:, 1, 1]
    fine = np.arange(-12, 12, 0.01)  # linear interpolation between the voxels is part of the blur
    response = np.interp(fine, (np.arange(n) - n // 2) * zoom, blurred)
    assert (response * fine**2).sum() / response.sum() == pytest.approx(standard.BLUR_MM2, rel=0.02)
    assert response.sum() * 0.01 == pytest.approx(1, rel=0.01)


def test_the_centre_of_the_template_is_the_middle_of_the_frame():
    to_voxel = standard.mni_to_voxel(np.eye(3, 4), (11, 21, 31), np.array([1.0, 2.0, 0.5]))
    assert_allclose(apply_affine(to_voxel, np.array(CENTRE_MM)), [5, 10, 15])


def test_scales_and_turns_are_read_off_an_affine():
    affine = np.eye(4)
    affine[:3, :3] = turn(0, 0, 0.5) @ np.diag([0.8, 1.1, 0.9])
    assert_allclose(standard.scales_of(affine), [1.1, 0.9, 0.8])
    assert standard.turned_degrees(affine) == pytest.approx(np.degrees(0.5))


def test_the_half_grid_is_the_mean_of_blocks():
    image = np.random.default_rng(0).random(STANDARD_GRID.shape).astype(np.float32)
    half = standard.to_grid(image, HALF_GRID)
    assert half.shape == HALF_GRID.shape
    assert half[3, 5, 7] == pytest.approx(image[6:8, 10:12, 14:16].mean())
    assert standard.to_grid(image, STANDARD_GRID) is image


@pytest.mark.parametrize("shape", [STANDARD_GRID.shape, (3, 8, 10, 6), (4, 6, 2)])
def test_means_of_blocks_are_numpys_to_the_last_bit(shape: tuple[int, ...]):
    """Prepared volumes rest on them."""
    rng = np.random.default_rng(0)
    image = (rng.random(shape) * 10.0 ** rng.uniform(-3, 3, shape)).astype(np.float32)
    image[..., :2, :2, :2] = -0.0
    *first, x, y, z = shape
    blocks = image.reshape(*first, x // 2, 2, y // 2, 2, z // 2, 2)
    means = mean_of_blocks(image, 2)
    assert means.tobytes() == blocks.mean(axis=(-5, -3, -1)).tobytes()
    turned = np.asfortranarray(image)
    assert_allclose(mean_of_blocks(turned, 2), blocks.mean(axis=(-5, -3, -1)), rtol=1e-5)


def test_cutting_to_the_field_changes_nothing():
    rng = np.random.default_rng(1)
    scan = ndimage.gaussian_filter(rng.random((150, 140, 160)), 2).astype(np.float32)
    to_voxel = standard.mni_to_voxel(np.eye(3, 4) * 0.9, scan.shape, np.full(3, 2.0))
    points = np.moveaxis(STANDARD_GRID.points_mm(), 0, -1)
    voxels = np.moveaxis(apply_affine(to_voxel, points), -1, 0)
    wanted = ndimage.map_coordinates(scan, voxels, order=1)
    assert_allclose(standard.to_standard(scan, np.full(3, 2.0), to_voxel), wanted, atol=1e-4)
