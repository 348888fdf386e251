from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from braincase.preprocess.registration.coarse import turn
from braincase.preprocess.registration.gauss_newton import (
    RADIUS_MM,
    USUAL_SCALE,
    Fit,
    Schedule,
    _add_scale_prior,
    fit_affine,
    polynomials,
    target_at,
)
from braincase.preprocess.space.sampling import Stack
from braincase.preprocess.space.template import load_template

#: Exact answers are wanted here, so nothing pulls the scales to what heads are like.
FREE = Schedule(25, tolerance_mm=0.001, scale_prior=False)


def seen_at(transform: np.ndarray, uneven: float = 0.0) -> Stack:
    """The template as a scan that `transform` (template to frame) leads to, at 4 mm."""
    level = load_template()[4]
    shape = np.array(level.head.shape)
    frame = level.points_mm.reshape(3, -1)
    points = np.linalg.inv(transform[:, :3]) @ (frame - transform[:, 3:])
    voxels = points / 4 + (shape[:, None] - 1) / 2
    from scipy import ndimage

    image = ndimage.map_coordinates(level.head, voxels, order=3, mode="nearest")
    image = (image * (1 + uneven * frame[0] / 100)).reshape(shape).astype(np.float32)
    return Stack(image[None], 4.0, (shape - 1)[None].astype(np.float32) / 2)


def started(transforms: list[np.ndarray]) -> Fit:
    stacked = np.stack(transforms).astype(np.float32)
    return Fit(stacked, np.zeros(len(stacked), np.float32), np.zeros(len(stacked), np.int64))


def known(rng: np.random.Generator) -> np.ndarray:
    """A general affine: 10 degrees, 8 mm, 10 % and some shear."""
    linear = turn(*rng.uniform(-0.17, 0.17, 3)) @ (np.eye(3) + rng.uniform(-0.06, 0.06, (3, 3)))
    return np.hstack([linear, rng.uniform(-8, 8, (3, 1))])


def brain_error_mm(found: np.ndarray, wanted: np.ndarray) -> float:
    level = load_template()[4]
    points = level.points_mm[:, level.mask]
    moved = (found - wanted)[:, :3] @ points + (found - wanted)[:, 3:]
    return float(np.linalg.norm(moved, axis=0).max())


IDENTITY = np.eye(3, 4)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("robust", [False, True])
def test_a_known_affine_is_recovered_through_an_uneven_coil(seed, robust):
    wanted = known(np.random.default_rng(seed))
    stack = seen_at(wanted, uneven=0.4)
    schedule = replace(FREE, robust=robust)
    fit = fit_affine(stack, started([IDENTITY]), target_at(stack.images, 4, every=3), schedule)
    assert brain_error_mm(fit.transforms[0], wanted) < 0.6
    assert fit.agreement[0] > 0.98


def test_problems_do_not_touch_one_another():
    stack = seen_at(known(np.random.default_rng(5)))
    near = np.hstack([np.eye(3), [[5.0], [-4.0], [3.0]]])
    target = target_at(stack.images, 4, every=8)
    both = fit_affine(stack, started([IDENTITY, near]), target, FREE)
    for row, start in enumerate([IDENTITY, near]):
        alone = fit_affine(stack, started([start]), target, FREE)
        assert_allclose(both.transforms[row], alone.transforms[0], atol=2e-3)


def test_a_similarity_has_one_scale_and_right_angles():
    stack = seen_at(known(np.random.default_rng(6)))
    schedule = replace(FREE, similarity=True)
    fit = fit_affine(stack, started([IDENTITY]), target_at(stack.images, 4, every=8), schedule)
    linear = fit.transforms[0, :, :3].astype(np.float64)
    scale = np.linalg.det(linear) ** (1 / 3)
    # Steps are linear, so a turn of ten degrees leaves a shear of the second order.
    assert_allclose(linear.T @ linear, scale**2 * np.eye(3), atol=0.03)
    assert fit.agreement[0] > 0.9


def test_the_prior_alone_takes_all_scales_to_that_of_heads():
    """Newton's step from a head 2 % off is to first order the whole way (exactly: log of 1.02)."""
    turned = known(np.random.default_rng(8))[:, :3]
    u, _, vh = np.linalg.svd(turned)
    start = np.hstack([1.02 * USUAL_SCALE * u @ vh, np.zeros((3, 1))])[None]
    nothing = np.zeros((1, 14, 14)), np.zeros((1, 14))
    normal, right = _add_scale_prior(*nothing, start, np.ones(1))
    step = -(np.linalg.pinv(normal[0]) @ right[0])[:12].reshape(3, 4)
    scales = np.linalg.svd(start[0, :, :3] + step[:, :3] / RADIUS_MM, compute_uv=False)
    assert_allclose(scales, USUAL_SCALE, rtol=5e-4)
    assert_allclose(step[:, 3], 0, atol=1e-9)


def test_the_prior_pulls_more_where_the_scan_says_less():
    large = np.hstack([1.25 * np.eye(3), np.zeros((3, 1))])
    stack, target = seen_at(large), target_at(load_template()[4].head, 4, every=8)
    noise = np.random.default_rng(0).normal(0, 1, stack.images.shape).astype(np.float32)

    def pull(amount: float) -> float:
        noisy = replace(stack, images=stack.images + np.float32(amount) * noise)
        free, pulled = (
            np.linalg.det(fit_affine(noisy, started([large]), target, s).transforms[0, :, :3])
            for s in (FREE, replace(FREE, scale_prior=True))
        )
        return float(np.cbrt(free) - np.cbrt(pulled))

    # The prior weighs 1.5 % of the squared residual: a clear scan overrules it, a bad one does not.
    assert 0 <= pull(0.0) < 5e-4 < pull(0.2) < 0.5 * pull(0.6)


def test_no_iterations_only_measure():
    stack = seen_at(IDENTITY)
    fit = fit_affine(stack, started([IDENTITY]), target_at(stack.images, 4), Schedule(0))
    assert_allclose(fit.transforms[0], IDENTITY)
    assert fit.agreement[0] > 0.999


def test_torch_gives_what_numpy_gives():
    stack = seen_at(known(np.random.default_rng(7)))
    start = started([IDENTITY])
    schedule = Schedule(10, robust=True)
    wanted = fit_affine(stack, start, target_at(stack.images, 4, every=4), schedule)
    moved = Stack(torch.from_numpy(stack.images), 4.0, torch.from_numpy(stack.centres))
    start = Fit(*(torch.from_numpy(a) for a in (start.transforms, start.agreement, start.heads)))
    found = fit_affine(moved, start, target_at(moved.images, 4, every=4), schedule)
    assert_allclose(found.transforms.numpy(), wanted.transforms, atol=2e-3)


def test_polynomials_have_all_terms_once():
    points = np.random.default_rng(0).uniform(-80, 80, (3, 40))
    terms = polynomials(points, 3)
    assert terms.shape == (20, 40)
    assert np.linalg.matrix_rank(terms) == 20
    assert_allclose(terms[0], 1)
