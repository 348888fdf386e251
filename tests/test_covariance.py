"""The shrunken covariance, against the matrix written out."""

import numpy as np
import pytest

from braincase.population.covariance import shrunken


@pytest.mark.parametrize("shape", [(60, 12), (12, 60), (12, 1)])
def test_covariance_of_short_and_of_long_codes_is_that_of_the_whole_matrix(shape):
    rng = np.random.default_rng(0)
    codes = rng.standard_normal(shape) @ rng.standard_normal((shape[1], shape[1]))
    whole = np.atleast_2d(np.cov(codes.T))
    whole = 0.7 * whole + 0.3 * np.trace(whole) / shape[1] * np.eye(shape[1])
    vectors = rng.standard_normal((shape[1], 3))
    covariance = shrunken(codes, 0.3)
    np.testing.assert_allclose(covariance.times(vectors), whole @ vectors, rtol=1e-9, atol=1e-9)
    solved = np.linalg.solve(whole, vectors)
    np.testing.assert_allclose(covariance.solve(vectors), solved, rtol=1e-7, atol=1e-9)


def test_covariance_of_very_long_codes_needs_no_square_matrix():
    codes = np.random.default_rng(1).standard_normal((20, 60_000))  # 29 GB as a matrix
    covariance = shrunken(codes, 0.3)
    solved = covariance.solve(codes[:1].T)
    np.testing.assert_allclose(covariance.times(solved), codes[:1].T, rtol=1e-6, atol=1e-6)


def test_people_who_do_not_differ_can_be_divided_by():
    assert np.isfinite(shrunken(np.ones((5, 3)), 0.3).solve(np.ones((3, 1)))).all()
