from __future__ import annotations

import numpy as np

from braincase.evaluate.features import (
    measure_features,
    regional_volumes,
    smoothed_voxels,
    tissue_intensities,
    tissue_shares,
)
from braincase.images.geometry import HALF_GRID, STANDARD_GRID


def finer(image):
    """The same image at 2 mm: each 4 mm voxel becomes eight."""
    return image.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)


def three_tissues():
    """Blocks of CSF (60), grey (140) and white matter (220), 2, 3 and 4 voxels of 4 mm thick."""
    image = np.zeros(HALF_GRID.shape, np.uint8)
    image[8:10, 8:16, 8:16] = 60
    image[10:13, 8:16, 8:16] = 140
    image[13:17, 8:16, 8:16] = 220
    return image


def test_volumes_of_flat_tissues_are_exact():
    volumes = regional_volumes(three_tissues()[None], HALF_GRID)[0].reshape(-1, 3)
    millilitres = np.array([2, 3, 4]) * 64 * 0.064
    assert np.allclose(volumes.sum(axis=0), millilitres, rtol=1e-4)


def test_volumes_stand_in_the_cube_where_the_tissue_is():
    volumes = regional_volumes(three_tissues()[None], HALF_GRID)[0].reshape(10, 12, 10, 3)
    assert np.isclose(volumes[2, 2, 2, 0], 2 * 16 * 0.064, rtol=1e-3)
    assert volumes[0].sum() == volumes[5:].sum() == 0


def test_tissue_volumes_add_up_to_the_brain(tiny):
    images = tiny.volumes[:3]
    volumes = regional_volumes(images, tiny.grid)
    brain = (images > 0).sum(axis=(1, 2, 3)) * 0.064
    assert np.allclose(volumes.sum(axis=1), brain, rtol=1e-4)


def test_both_grids_see_the_same_features(tiny):
    image = tiny.volumes[[0]]
    at_2_mm = finer(image[0])[None]
    for feature in (smoothed_voxels, regional_volumes):
        coarse, fine = feature(image, HALF_GRID), feature(at_2_mm, STANDARD_GRID)
        assert np.allclose(coarse, fine, atol=2e-3)


def test_a_partial_voxel_is_shared_between_its_two_tissues():
    shares = tissue_shares(np.array([50.0, 100.0, 200.0]))
    assert np.allclose(shares[75], [0.5, 0.5, 0], atol=1e-3)
    assert np.allclose(shares[150], [0, 0.5, 0.5], atol=1e-3)
    assert np.allclose(shares[[10, 250]], [[1, 0, 0], [0, 0, 1]], atol=1e-3)


def test_three_peaks_are_found_and_one_is_no_accident():
    grey = np.arange(256)
    peaks = sum(
        n * np.exp(-(((grey - m) / 8) ** 2)) for n, m in ((200, 60), (900, 130), (700, 210))
    )
    assert np.allclose(tissue_intensities(peaks.astype(int)), [60, 130, 210], atol=3)
    flat = np.zeros(256, int)
    flat[100] = 50
    assert np.isfinite(tissue_shares(tissue_intensities(flat))).all()


def test_scans_of_two_cohorts_are_measured_in_the_order_given(tiny):
    rows = np.array([5, 2])
    features = measure_features([(tiny, rows), (tiny, np.array([0]))])
    assert np.allclose(features.voxels, smoothed_voxels(tiny.volumes[[5, 2, 0]], tiny.grid))
    assert np.allclose(features.regions, regional_volumes(tiny.volumes[[5, 2, 0]], tiny.grid))


def test_smoothing_keeps_the_brightness_of_the_inside():
    image = np.full((1, *HALF_GRID.shape), 128, np.uint8)
    inside = smoothed_voxels(image, HALF_GRID).reshape(HALF_GRID.shape)[10:-10, 10:-10, 10:-10]
    assert np.allclose(inside, 128 / 255, atol=1e-4)
