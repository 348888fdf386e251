import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braincase.gallery import exact
from braincase.gallery.exact import nearest_rows, squared_lengths
from gallery_cases import some_codes


def brute_force(codes, query, k, rows=None, weights=None):
    """Oracle: every distance in float64, ordered by distance, then row."""
    rows = np.arange(len(codes)) if rows is None else rows
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows
    weights = np.ones(codes.shape[1]) if weights is None else weights
    squared = (weights * (codes[rows].astype(np.float64) - query.astype(np.float64)) ** 2).sum(1)
    order = np.lexsort((rows, squared))[:k]
    return rows[order], squared[order]


def assert_exact(codes, query, k, rows=None, weights=None):
    nearest, squared = nearest_rows(codes, squared_lengths(codes), query, k, rows, weights)
    expected, distances = brute_force(codes, query, k, rows, weights)
    np.testing.assert_allclose(squared, distances, rtol=1e-12)
    np.testing.assert_array_equal(nearest, expected)


@pytest.mark.parametrize("n", [1, 7, exact.BLOCK, 3 * exact.BLOCK + 11, exact.FIRST_LOOK + 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_nearest_rows_are_those_of_a_float64_brute_force(n, weighted):
    codes = some_codes(n)
    rng = np.random.default_rng(2)
    weights = rng.random(150) * (rng.random(150) < 0.2) if weighted else None
    for query in (codes[n // 2], some_codes(1, seed=9)[0]):
        assert_exact(codes, query, 10, None, weights)
        for share in (0.3, 0.7):  # few rows are picked out, many are passed over with the rest
            mask = rng.random(n) < share
            assert_exact(codes, query, 10, np.flatnonzero(mask), weights)
            assert_exact(codes, query, 10, mask, weights)
            mask[: exact.FIRST_LOOK] = False  # nothing where the search looks first
            assert_exact(codes, query, 10, mask, weights)


def test_cancellation_far_from_the_origin_does_not_change_the_answer():
    # |x|^2 is about 1.5e8 here while neighbours differ by about 1e-3: float32 alone sees nothing.
    rng = np.random.default_rng(0)
    codes = (1000 + 1e-3 * rng.normal(size=(5000, 150))).astype(np.float32)
    assert_exact(codes, codes[17], 10)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e20, 1e30])
def test_codes_beyond_the_range_of_float32_squares_are_still_ordered(scale):
    codes = (some_codes(300) * scale).astype(np.float32)
    assert_exact(codes, codes[3] * np.float32(1.5), 7)


def test_equal_distances_come_in_the_order_of_rows():
    codes = np.zeros((400, 150), np.float32)
    codes[::3] = 1
    nearest, _ = nearest_rows(codes, squared_lengths(codes), np.zeros(150, np.float32), 5)
    assert nearest.tolist() == [1, 2, 4, 5, 7]


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 60), d=st.integers(1, 8), k=st.integers(1, 70), seed=st.integers(0, 999)
)  # fmt: skip
def test_small_integers_with_many_ties_are_exact(n, d, k, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(-2, 3, (n, d)).astype(np.float32)
    assert_exact(codes, rng.integers(-2, 3, d).astype(np.float32), k)


def test_nothing_selected_gives_nothing():
    codes = some_codes(10)
    nearest, squared = nearest_rows(
        codes, squared_lengths(codes), codes[0], 3, np.empty(0, np.int64)
    )
    assert len(nearest) == len(squared) == 0
