import json

import numpy as np
import pytest

from braincase.answer.maps import agreement_map, difference_map
from braincase.answer.shares import explain
from braincase.gallery import Query
from braincase.images.atlas import load_regions, region_weights
from braincase.images.geometry import CELLS, HALF_GRID
from braincase.population.spread import smoothed, usual_spread
from braincase.search.nearest import search
from gallery_cases import filled_gallery, some_codes


@pytest.fixture(scope="module")
def regions():
    return load_regions()


def test_the_shares_sum_to_the_distance_of_the_hit(tmp_path, regions):
    gallery = filled_gallery(tmp_path, n_people=20)
    code = some_codes(1, seed=5)[0]
    for weights in (None, np.random.default_rng(0).random(150)):
        result = search(gallery, Query(code, "a" * 64, k=3, weights=weights, subject="no"))
        for hit in result.hits:
            told = explain(code, gallery.get(hit.scan_id).code, regions, weights)
            assert told.squared_distance == pytest.approx(hit.distance**2)
            assert told.by_cell.shape == CELLS
            assert told.by_cell.sum() == pytest.approx(hit.distance**2)
            assert sum(told.by_region.values()) == pytest.approx(hit.distance**2)
            assert list(told.by_region.values()) == sorted(told.by_region.values(), reverse=True)
            json.dumps(told.to_json(), allow_nan=False)
    gallery.close()


def test_a_search_by_region_measures_the_share_of_that_region(regions):
    one, other = some_codes(2, seed=1)
    weights, _ = region_weights(["left-hippocampus"], regions)
    whole = explain(one, other, regions)
    weighted = explain(one, other, regions, weights)
    assert weighted.squared_distance == pytest.approx(whole.by_region["left-hippocampus"])


def test_two_equal_codes_differ_nowhere(regions):
    told = explain(np.ones(150), np.ones(150), regions)
    assert told.squared_distance == 0
    assert told.by_region == {}
    assert told.shares() == []


def volumes(n, seed=0):
    rng = np.random.default_rng(seed)
    base = np.zeros(HALF_GRID.shape)
    base[10:30, 10:38, 10:30] = 120
    for _ in range(n):
        yield np.clip(base + 25 * (base > 0) * rng.normal(size=base.shape), 0, 255).astype("u1")


def test_the_usual_spread_is_that_of_all_volumes_at_once():
    spread = usual_spread(volumes(6), HALF_GRID)
    stack = np.stack([smoothed(volume, HALF_GRID) for volume in volumes(6)]).astype(np.float64)
    np.testing.assert_allclose(spread.deviation, stack.std(axis=0, ddof=1), atol=1e-3)
    assert spread.n == 6


def test_a_difference_shows_where_and_in_which_direction_the_query_differs():
    spread = usual_spread(volumes(8), HALF_GRID)
    hit = next(volumes(1, seed=9))
    query = hit.copy()
    query[12:18, 14:20, 14:20] = 0
    found = difference_map(query, hit, HALF_GRID, spread)
    assert np.unravel_index(np.abs(found).argmax(), found.shape)[0] in range(12, 18)
    assert found[15, 17, 17] < -3
    assert np.abs(found[25:30, 30:38, 22:30]).max() < 0.1
    agreement = agreement_map(found)
    assert agreement[15, 17, 17] < 0.01
    assert agreement[28, 34, 26] > 0.99


def test_two_people_differ_by_about_one_unit_of_the_usual_spread():
    people = list(volumes(40))
    spread = usual_spread(people[:38], HALF_GRID)
    found = difference_map(people[38], people[39], HALF_GRID, spread)
    inside = found[14:26, 14:34, 14:26]
    assert 0.8 < inside.std() < 1.2
