from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from braincase.images.geometry import STANDARD_GRID
from braincase.preprocess.space.template import CENTRE_MM, load_template
from braincase.preprocess.space.template_images import read_images
from braincase.preprocess.space.template_source import compute_images


def test_the_finest_level_is_the_standard_grid():
    level = load_template()[2]
    centre = np.array(CENTRE_MM).reshape(3, 1, 1, 1)
    assert_allclose(level.points_mm + centre, STANDARD_GRID.points_mm(), atol=1e-4)


def test_levels_show_the_same_brain():
    volumes = [level.mask.sum() * level.step_mm**3 for level in load_template().values()]
    assert_allclose(volumes, 1.886e6, rtol=0.06)


def test_the_brain_is_left_right_symmetric():
    for level in load_template().values():
        assert_allclose(level.head, level.head[::-1], atol=0.02)


def test_white_matter_is_brighter_than_grey_and_fluid_is_darkest():
    level = load_template()[2]
    white, grey = level.brain[level.white > 0.9], level.brain[level.grey > 0.9]
    ventricle = level.brain[40 + 2, 60, 43]
    assert np.median(white) > np.median(grey) + 0.1 > ventricle + 0.2


def test_bone_is_dark_and_scalp_bright_around_the_brain():
    level = load_template()[4]
    upper = level.points_mm[2] > 20
    bone = level.head[upper & (level.depth_mm > 3) & (level.depth_mm < 5)].mean()
    scalp = level.head[upper & (level.depth_mm > 9) & (level.depth_mm < 12)].mean()
    air = level.head[upper & (level.depth_mm > 25)].mean()
    assert air < 0.05 < bone < 0.35 < 0.6 < scalp


def test_depth_is_a_distance_with_a_sign():
    level = load_template()[2]
    assert level.depth_mm[40, 48, 40] < -20
    assert level.depth_mm[0, 0, -1] > 40
    slope = np.stack(np.gradient(level.depth_mm, 2.0))
    steep = np.sqrt((slope**2).sum(axis=0))[level.depth_mm > 4]
    assert_allclose(np.median(steep), 1, atol=0.02)


def test_the_cut_brain_stem_is_no_surface():
    level = load_template()[2]
    lowest = level.mask[:, :, 0]
    across = ndimage.distance_transform_edt(lowest, sampling=2.0)  # to the stem's sides alone
    found = level.depth_mm[:, :, 0][lowest]
    # The stem is 11 mm thick here, a little less above. A surface below would make all of it -1.
    assert found.min() < -3
    assert (found >= 1 - across[lowest] - 0.01).all()


def test_the_images_that_ship_are_those_computed_of_the_template() -> None:
    """To the last bit here; another machine's matrix products may round otherwise."""
    shipped, computed = read_images(), compute_images()
    for name in ("share", "brain", "squared"):
        assert_array_equal(getattr(shipped, name), getattr(computed, name))
    for name in ("t1", "grey", "white"):
        found, wanted = getattr(shipped, name), getattr(computed, name)
        assert found.dtype == wanted.dtype
        assert_allclose(found, wanted, rtol=3e-7, atol=0)
