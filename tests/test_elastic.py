from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import ndimage

from braincase.images.geometry import STANDARD_GRID
from braincase.preprocess.registration.elastic import (
    affine_part,
    depth_by,
    displacement,
    doubled,
    interpolate,
)
from braincase.preprocess.space.template import load_template

SEEN = np.ones(STANDARD_GRID.shape, bool)


def smooth_bend(seed: int) -> np.ndarray:
    """A displacement of 3 mm (standard deviation), smooth over 24 mm, shape (3, 80, 96, 80)."""
    noise = np.random.default_rng(seed).standard_normal((3, *STANDARD_GRID.shape))
    smooth = np.stack([ndimage.gaussian_filter(n, 12, mode="wrap") for n in noise])
    return (3 * smooth / smooth.std()).astype(np.float32)


def bent(image: np.ndarray, bend_mm: np.ndarray) -> np.ndarray:
    """The scan in which each place shows what the template has `bend_mm` further on."""
    voxels = np.indices(image.shape) + bend_mm / 2
    return ndimage.map_coordinates(image, voxels, order=1, mode="nearest").astype(np.float32)


@pytest.mark.parametrize("part", ["head", "brain"])
def test_the_surface_is_carried_over(part):
    level, bend = load_template()[2], smooth_bend(0)
    image = level.head if part == "head" else level.brain
    truth = bent(level.mask.astype(np.float32), bend) > 0.5
    noise = np.random.default_rng(1).normal(0, 0.03, truth.shape)
    found = depth_by(displacement(bent(image, bend) + noise.astype(np.float32), part, SEEN)) < 0
    overlap, before = (2 * (m & truth).sum() / (m.sum() + truth.sum()) for m in (found, level.mask))
    assert overlap > 0.98 > 0.97 > before


def test_brightness_and_slow_changes_of_it_hardly_matter():
    level, bend = load_template()[2], smooth_bend(2)
    x, _, z = level.points_mm / 80
    image = bent(level.head, bend)
    plain = displacement(image, "head", SEEN)
    uneven = displacement(0.9 * image * np.exp(0.1 * x - 0.1 * z), "head", SEEN)
    brain = level.depth_mm[::2, ::2, ::2] < 0
    assert np.sqrt(((plain - uneven) ** 2).sum(axis=0))[brain].mean() < 0.5


def test_the_template_itself_is_hardly_bent():
    """Steps have a fixed length, so what is right already trembles: by 0.35 mm in the mean."""
    level = load_template()[2]
    found = displacement(level.head, "head", SEEN)
    brain = level.depth_mm[::2, ::2, ::2] < 0
    assert np.sqrt((found**2).sum(axis=0))[brain].mean() < 0.5
    surface = np.abs(level.depth_mm) < 3
    assert np.abs(depth_by(found) - level.depth_mm)[surface].mean() < 0.2


def test_what_was_not_seen_bends_nothing():
    image = bent(load_template()[2].head, smooth_bend(3))
    assert not displacement(image, "head", ~SEEN).any()


def test_the_affine_of_an_affine_displacement_is_that_affine():
    axes = [(np.arange(n) - (n - 1) / 2) * 4.0 for n in (40, 48, 40)]
    here = np.stack(np.meshgrid(*axes, indexing="ij"))
    to_template = np.eye(3) + np.random.default_rng(4).normal(0, 0.03, (3, 3))
    moved = np.einsum("ij,jxyz->ixyz", to_template, here) + np.reshape([1.0, -2, 3], (3, 1, 1, 1))
    found = affine_part((moved - here).astype(np.float32))
    back = np.linalg.inv(to_template)
    assert_allclose(found[:, :3], back, atol=1e-5)
    assert_allclose(found[:, 3], -back @ [1, -2, 3], atol=1e-4)


def test_the_affine_comes_back_from_the_picture_of_a_brain():
    level = load_template()[2]
    to_template = np.eye(3) + np.array([[0.02, 0.01, 0], [-0.01, -0.03, 0.01], [0, 0, 0.02]])
    points = level.points_mm
    bend = np.einsum("ij,jxyz->ixyz", to_template - np.eye(3), points)
    found = affine_part(displacement(bent(level.brain, bend), "brain", SEEN))
    box = np.array([72.0, -90, 77])
    assert np.linalg.norm(found[:, :3] @ to_template @ box + found[:, 3] - box) < 1.5


def test_interpolation_gives_the_numbers_of_scipy() -> None:
    rng = np.random.default_rng(4)
    image = rng.normal(size=(12, 14, 10)).astype(np.float32)
    voxels = np.indices(image.shape, np.float32) + rng.normal(0, 2, (3, *image.shape))
    voxels = voxels.astype(np.float32)
    wanted = ndimage.map_coordinates(image, voxels, order=1, mode="nearest", prefilter=False)
    np.testing.assert_array_equal(interpolate(image, voxels), wanted)
    twice = ndimage.zoom(image, 2, order=1, mode="nearest", grid_mode=True)
    np.testing.assert_array_equal(doubled(image), twice)
