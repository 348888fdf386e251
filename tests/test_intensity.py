from __future__ import annotations

import numpy as np
import pytest

from braincase.preprocess.intensity import (
    GAMMA_MEAN,
    GAMMA_TOLERANCE,
    WHITE_LEVEL,
    by_gamma,
    by_white_matter,
)
from braincase.preprocess.space.template import load_template


@pytest.fixture
def brain() -> tuple[np.ndarray, np.ndarray]:
    level = load_template()[2]
    return level.brain.copy(), level.mask


@pytest.mark.parametrize("factor", [0.01, 1.0, 4000.0])
def test_white_matter_lands_on_its_level_whatever_the_scanner(brain, factor):
    scan, mask = brain
    white = load_template()[2].white > 0.85
    done = by_white_matter(np.float32(factor) * scan, mask)
    assert np.median(done[white & mask]) == pytest.approx(WHITE_LEVEL, rel=1e-3)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_gamma_brings_the_8_bit_mean_to_18(brain, power):
    scan, mask = brain
    done = by_gamma(900 * scan**power, mask)
    volume = np.rint(255 * np.where(mask, done, 0)).astype(np.uint8)
    assert volume.mean() == pytest.approx(GAMMA_MEAN, abs=GAMMA_TOLERANCE)


def test_gamma_keeps_the_order_of_tissues(brain):
    scan, mask = brain
    done = by_gamma(scan, mask)
    rows = np.argsort(scan[mask])
    assert (np.diff(done[mask][rows]) >= -1e-6).all()


@pytest.mark.parametrize("normalise", [by_white_matter, by_gamma])
def test_an_empty_brain_stays_empty(normalise):
    scan = np.zeros((80, 96, 80), np.float32)
    assert not normalise(scan, scan > 0).any()
    assert not normalise(scan, scan == 0).any()
