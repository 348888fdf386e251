from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from braincase.preprocess.registration import coarse
from braincase.preprocess.space.sampling import Stack
from braincase.preprocess.space.template import load_template


def lying(way: coarse.Turn, scale: float, shift_mm: np.ndarray, size: int = 36) -> np.ndarray:
    """The template's head turned, scaled and shifted, at 8 mm in a cube."""
    level = load_template()[8]
    axis = (np.arange(size) - (size - 1) / 2) * 8.0
    cube = np.stack(np.meshgrid(axis, axis, axis, indexing="ij")).reshape(3, -1)
    points = way.matrix.T @ (cube - shift_mm[:, None]) / scale
    voxels = points / 8 + (np.array(level.head.shape)[:, None] - 1) / 2
    return ndimage.map_coordinates(level.head, voxels, order=1).reshape(size, size, size)


def stack_of(*images: np.ndarray) -> Stack:
    centres = np.array([(np.array(i.shape) - 1) / 2 for i in images], np.float32)
    return Stack(np.stack(images).astype(np.float32), 8.0, centres)


def test_there_are_24_ways_to_lay_a_box():
    sides = coarse.axis_rotations()
    assert len({side.tobytes() for side in sides}) == 24
    assert all(np.linalg.det(side) > 0 for side in sides)
    assert_array_equal(sides[0], np.eye(3))


def test_laying_a_cube_on_its_side_is_the_rotation_itself():
    cube = np.random.default_rng(0).random((5, 5, 5)).astype(np.float32)
    for side in coarse.axis_rotations():
        laid = coarse._laid(cube, side)
        for voxel in np.ndindex(5, 5, 5):
            there = side @ (np.array(voxel) - 2) + 2
            assert laid[tuple(there.astype(int))] == cube[voxel]


@pytest.mark.parametrize("number", [0, 5, 13])
def test_a_turned_and_shifted_head_is_found_to_the_voxel(number):
    way = coarse.USUAL_TURNS[number]
    shift = np.array([25.0, -31.0, 12.0])
    found = coarse.search_rotations(
        stack_of(lying(way, 0.95, shift)), coarse.USUAL_TURNS, 0.95, "head", 3
    )
    assert_allclose(found.transforms[0, :, :3], 0.95 * way.matrix, atol=1e-6)
    assert np.abs(found.transforms[0, :, 3] - shift).max() <= 6
    assert found.agreement[0] > 0.9


def test_an_upside_down_head_is_found_among_all_ways():
    way = coarse.ALL_TURNS[-1]
    stack = stack_of(lying(way, 0.95, np.array([-10.0, 20.0, 0.0])))
    found = coarse.search_rotations(
        stack, coarse.ALL_TURNS[::6] + coarse.ALL_TURNS[-1:], 0.95, "head", 1
    )
    assert_allclose(found.transforms[0, :, :3], 0.95 * way.matrix, atol=1e-6)


def test_a_head_cut_in_two_is_found_where_what_is_not_seen_does_not_count():
    way, shift = coarse.USUAL_TURNS[0], np.zeros(3)
    half = np.ascontiguousarray(lying(way, 0.95, shift)[:, :, :19])  # the upper half is lost
    stack = Stack(half[None], 8.0, np.array([[17.5, 17.5, 9.0]], np.float32))
    middle = np.array([0, 0, (17.5 - 9.0) * 8])  # of the whole head, seen from the middle of half
    for cut, close in ((True, True), (False, False)):
        found = coarse.search_rotations(stack, coarse.USUAL_TURNS, 0.95, "head", 1, cut)
        near = np.linalg.norm(found.transforms[0, :, 3] - middle) < 9
        assert near == close, (cut, found.transforms[0])


def test_several_heads_are_searched_as_if_alone():
    rng = np.random.default_rng(1)
    images = [lying(coarse.USUAL_TURNS[k], 0.95, rng.uniform(-20, 20, 3)) for k in (2, 7)]
    together = coarse.search_rotations(stack_of(*images), coarse.USUAL_TURNS, 0.95, "head", 2)
    assert_array_equal(together.heads, [0, 0, 1, 1])
    for row, image in enumerate(images):
        alone = coarse.search_rotations(stack_of(image), coarse.USUAL_TURNS, 0.95, "head", 2)
        assert_allclose(together.transforms[2 * row :][:2], alone.transforms, atol=1e-5)
