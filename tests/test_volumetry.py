"""Region volumes are measured on the image, whatever its brightness, shading and side."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from braincase.images.geometry import HALF_GRID, STANDARD_GRID
from braincase.simulate.imaging import simulate_visit
from braincase.simulate.people import Size, draw_visits
from braincase.volumetry.measure import divide, region_volumes
from braincase.volumetry.priors import load_priors, load_region_maps
from braincase.volumetry.regions import NAMES
from braincase.volumetry.registration import register, sample, volume_factor


@pytest.fixture(scope="module")
def scan() -> np.ndarray:
    return simulate_visit(draw_visits(Size({"AD": (1, 1)}, 4), 8)[0], HALF_GRID).volume


def test_all_tissue_goes_to_some_region() -> None:
    priors = load_priors()
    volumes = divide(priors.shares, priors)
    assert volumes.sum() == pytest.approx(priors.shares.sum() * 64, rel=1e-4)
    assert volumes == pytest.approx(load_region_maps().sum(axis=(1, 2, 3)) * 64, rel=1e-3)


def test_sides_are_not_exchanged(scan: np.ndarray) -> None:
    volumes, mirrored = region_volumes(scan, HALF_GRID), region_volumes(scan[::-1], HALF_GRID)
    left, right = (NAMES.index(f"{side}-lateral-ventricle") for side in ("left", "right"))
    assert volumes[left] != pytest.approx(volumes[right], rel=0.01)
    assert mirrored[left] == pytest.approx(volumes[right], rel=0.02)
    assert mirrored[right] == pytest.approx(volumes[left], rel=0.02)


def test_brightness_and_shading_change_little(scan: np.ndarray) -> None:
    plain = region_volumes(scan, HALF_GRID)
    shade = gaussian_filter(np.random.default_rng(0).normal(size=scan.shape), 10)
    shaded = np.clip(0.8 * scan * np.exp(0.15 * shade / shade.std()), 0, 255).astype(np.uint8)
    seen = region_volumes(shaded, HALF_GRID)
    for name in ("left-hippocampus", "right-lateral-ventricle", "left-precuneus"):
        place = NAMES.index(name)
        assert seen[place] == pytest.approx(plain[place], rel=0.12)


def test_both_grids_give_the_same_volumes() -> None:
    visit = draw_visits(Size({"CN": (1, 1)}, 4), 2)[0]
    coarse = region_volumes(simulate_visit(visit, HALF_GRID).volume, HALF_GRID)
    fine = region_volumes(simulate_visit(visit, STANDARD_GRID).volume, STANDARD_GRID)
    assert np.median(np.abs(np.log(fine / coarse))) < 0.08


def test_registration_brings_a_moved_template_back() -> None:
    template = load_priors().shares
    own = np.indices(template.shape[1:], dtype=np.float32)
    image = sample(template, own + np.array([0.8, -0.5, 0.4], np.float32)[:, None, None, None])
    displacement = register(template, image)
    before = np.abs(image - template).mean()
    assert np.abs(sample(image, own + displacement) - template).mean() < 0.5 * before
    assert (volume_factor(displacement) > 0).mean() > 0.999
