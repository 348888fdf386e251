"""Deformations do to volumes what they are asked to."""

from __future__ import annotations

import numpy as np
import pytest

from braincase.simulate.fields import (
    FIELD_GRID,
    exponentiate,
    pull,
    random_field,
    velocity_of_log_volume_change,
)
from braincase.volumetry.priors import load_priors, load_region_maps
from braincase.volumetry.registration import volume_factor


def jacobian_determinant(displacement):
    """The local volume factor det(I + grad u) of a displacement in mm, shape FIELD_GRID.shape."""
    return volume_factor(displacement / np.float32(FIELD_GRID.resolution_mm))


def test_prescribed_volume_change_is_what_the_jacobian_measures() -> None:
    points = FIELD_GRID.points_mm()
    ball = np.exp(-0.5 * ((points**2).sum(axis=0)) / 20.0**2)
    log_change = -0.3 * ball
    displacement = exponentiate(velocity_of_log_volume_change(log_change))
    measured = np.log(jacobian_determinant(displacement))
    expected = log_change - log_change.mean()
    centre = tuple(n // 2 for n in FIELD_GRID.shape)
    assert measured[centre] == pytest.approx(expected[centre], abs=0.02)
    assert (
        np.corrcoef(measured[2:-2, 2:-2, 2:-2].ravel(), expected[2:-2, 2:-2, 2:-2].ravel())[0, 1]
        > 0.98
    )


def test_the_inverse_of_a_velocity_undoes_its_displacement() -> None:
    velocity = random_field(np.random.default_rng(0), 24.0, 2.6)
    forward, backward = exponentiate(velocity), exponentiate(-velocity)
    roundtrip = forward + pull(backward, forward)
    inner = np.s_[:, 4:-4, 4:-4, 4:-4]
    assert np.abs(roundtrip[inner]).max() < 0.25  # mm, of displacements of up to 8 mm
    assert np.abs(forward[inner]).max() > 3


def test_every_persons_warp_is_a_diffeomorphism() -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        velocity = sum(random_field(rng, s, a) for s, a in ((24.0, 2.6), (10.0, 0.5), (6.0, 0.2)))
        assert jacobian_determinant(exponentiate(np.asarray(velocity))).min() > 0.1


def test_random_field_has_the_asked_spread_and_follows_its_seed() -> None:
    a, b = (random_field(np.random.default_rng(3), 10.0, 0.5) for _ in range(2))
    assert np.array_equal(a, b)
    assert a.std() == pytest.approx(0.5, rel=1e-3)


def test_pulled_volume_equals_the_jacobian_integrated_volume() -> None:
    hippocampus = load_region_maps()[load_priors().names.index("left-hippocampus")]
    velocity = random_field(np.random.default_rng(1), 24.0, 2.6)
    by_jacobian = (hippocampus * jacobian_determinant(exponentiate(velocity))).sum()
    by_pull = pull(hippocampus[None], exponentiate(-velocity)).sum()
    assert by_pull == pytest.approx(by_jacobian, rel=0.02)
