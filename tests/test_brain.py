from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from braincase.preprocess.brain import (
    brain_mask,
    is_skull_stripped,
    stripped_mask,
    tissue_brightness,
)
from braincase.preprocess.registration.coil import smooth_bias
from braincase.preprocess.space.template import load_template


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    """The template and its invented head, uneven, noisy, and 5 % wider than the template."""
    level = load_template()[2]
    x, _, z = level.points_mm / 80
    wide = ndimage.affine_transform(level.head, np.diag([1 / 1.05, 1, 1]), [1.9, 0, 0], order=1)
    noise = np.random.default_rng(0).normal(0, 0.03, wide.shape)
    return ((wide + noise).clip(0) * np.exp(0.25 * x - 0.2 * z) * 500).astype(np.float32)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    level = load_template()[2]
    return (
        ndimage.affine_transform(
            level.mask.astype(np.float32), np.diag([1 / 1.05, 1, 1]), [1.9, 0, 0], order=1
        )
        > 0.5
    )


def test_the_brain_is_found_where_it_is_and_not_where_the_template_has_it(head, truth):
    mask = brain_mask(head)
    assert dice(mask, truth) > 0.965
    assert dice(mask, truth) > dice(load_template()[2].mask, truth) + 0.005


def test_the_mask_is_one_piece_without_holes(head):
    mask = brain_mask(head)
    assert ndimage.label(mask)[1] == 1
    assert (ndimage.binary_fill_holes(mask) == mask).all()


def test_scalp_and_bone_are_left_out(head):
    mask = brain_mask(head)
    assert load_template()[2].depth_mm[mask].max() < 7


def test_the_unit_of_brightness_does_not_matter(head):
    assert dice(brain_mask(head), brain_mask(head / 1000)) > 0.999


def test_a_smooth_bias_is_found(head):
    level = load_template()[2]
    x, _, z = level.points_mm / 80
    found = np.log(smooth_bias(head))[level.depth_mm < -6]
    assert np.std(found - (0.25 * x - 0.2 * z)[level.depth_mm < -6]) < 0.05


def test_tissues_are_told_apart_by_brightness(head):
    level = load_template()[2]
    tissue = tissue_brightness(head / smooth_bias(head), level)
    assert tissue.fluid < 0.75 * tissue.white
    assert 0.7 * tissue.white < tissue.grey < 0.95 * tissue.white


def test_a_missing_scalp_is_noticed(head, truth):
    assert not is_skull_stripped(head)
    assert is_skull_stripped(np.where(truth, head, 0))


def test_what_a_stripping_tool_took_away_stays_away(head, truth):
    taken = truth & (load_template()[2].points_mm[2] > 55)
    left = np.where(truth & ~taken, head, 0)
    mask = stripped_mask(left)
    assert (mask & taken).sum() < 0.05 * taken.sum()
    assert dice(mask, truth & ~taken) > 0.96


@pytest.mark.parametrize("scan", [np.zeros, np.ones])
def test_what_is_no_head_gives_some_mask_and_no_error(scan):
    assert brain_mask(scan((80, 96, 80), np.float32)).shape == (80, 96, 80)
    assert stripped_mask(scan((80, 96, 80), np.float32)).shape == (80, 96, 80)
