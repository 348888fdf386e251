from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import ndimage

from braincase.preprocess.space.sampling import (
    apply_along,
    resample_cubic,
    resampling_matrix,
    sample,
    sample_with_gradient,
)

ONE = np.zeros(1, np.int64)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).random((2, 7, 8, 9)).astype(np.float32)


@pytest.fixture
def points() -> np.ndarray:
    """Voxel coordinates, some of them outside; shape (2, 3, 200)."""
    return np.random.default_rng(1).uniform(-2, 10, (2, 3, 200)).astype(np.float32)


def test_interpolation_is_scipys_inside_and_zero_outside(images, points):
    values = sample(images, np.array([1, 0]), points)
    for found, image, where in zip(values, images[::-1], points, strict=True):
        inside = ((where >= 0) & (where <= np.array([[6], [7], [8]]))).all(axis=0)
        wanted = ndimage.map_coordinates(image, where, order=1, mode="nearest") * inside
        assert 0 < inside.sum() < 200
        assert_allclose(found, wanted, atol=1e-6)


def test_the_last_voxel_is_inside(images):
    corner = np.array([[[6.0], [7.0], [8.0]]], np.float32)
    assert sample(images, ONE, corner)[0, 0] == images[0, 6, 7, 8]


def test_the_gradient_is_the_slope_of_the_interpolation(images):
    where = np.random.default_rng(2).uniform(1.1, 5.4, (1, 3, 50)).astype(np.float32)
    where = np.floor(where) + 0.3 + 0.4 * (where % 1)  # a step away from where the slope jumps
    values, gradient = sample_with_gradient(images, ONE, where)
    assert_allclose(values, sample(images, ONE, where), atol=1e-6)
    for axis in range(3):
        step = np.zeros((1, 3, 1), np.float32)
        step[0, axis] = 0.05
        slope = (sample(images, ONE, where + step) - sample(images, ONE, where - step)) / 0.1
        assert_allclose(gradient[:, axis], slope, atol=1e-4)


def test_torch_gives_what_numpy_gives(images, points):
    pick = np.array([0, 1])
    wanted = sample_with_gradient(images, pick, points)
    found = sample_with_gradient(*(torch.from_numpy(a) for a in (images, pick, points)))
    for a, b in zip(found, wanted, strict=True):
        assert isinstance(a, torch.Tensor)
        assert_allclose(a.numpy(), b, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_matrix_along_an_axis_is_a_tensor_product(images, axis):
    matrix = np.random.default_rng(3).random((4, images[0].shape[axis])).astype(np.float32)
    wanted = np.moveaxis(np.tensordot(matrix, images[0], (1, axis)), 0, axis)
    assert_allclose(apply_along(matrix, images[0], axis), wanted, rtol=1e-5)


@pytest.mark.parametrize(("n", "zoom", "step"), [(60, 1.0, 2.0), (61, 0.7, 2.0), (30, 3.0, 2.0)])
def test_reducing_keeps_the_middle_and_straight_lines(n, zoom, step):
    line = (np.arange(n) - (n - 1) / 2) * zoom
    matrix = resampling_matrix(n, zoom, step)
    reduced, m = matrix @ line, len(matrix)
    wanted = (np.arange(m) - (m - 1) / 2) * step
    assert_allclose(matrix.sum(axis=1), 1, rtol=1e-5)
    assert_allclose(reduced[2:-2], wanted[2:-2], atol=0.05)
    assert m * step == pytest.approx(n * zoom, abs=step)


def test_reducing_does_not_alias():
    stripes = np.tile(np.array([0.0, 1.0], np.float32), 30)[:, None, None] * np.ones((1, 8, 8))
    reduced = resample_cubic(stripes.astype(np.float32), (1.0, 1.0, 1.0), 2.0)
    assert reduced.shape == (30, 4, 4)
    assert_allclose(reduced[2:-2], 0.5, atol=1e-6)
