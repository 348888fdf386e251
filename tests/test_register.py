from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from braincase.images.geometry import apply_affine
from braincase.preprocess.registration.affine import (
    _replace_where_better,
    build_pyramid,
    compose,
    register,
)
from braincase.preprocess.registration.coarse import turn
from braincase.preprocess.registration.gauss_newton import Fit
from braincase.preprocess.space.standard import mni_to_voxel
from braincase.preprocess.space.template import CENTRE_MM, load_template
from braincase.simulate.head import Pose, Scanning, simulate_head

COARSE = Scanning(zooms_mm=(3, 3, 3), noise=0.02)


def brain_points() -> np.ndarray:
    level = load_template()[8]
    return (level.points_mm[:, level.mask].T + CENTRE_MM).astype(np.float64)


def error_mm(native_to_mni: np.ndarray, head) -> float:
    """Mean distance from where the true affine takes the brain."""
    points = brain_points()
    native = apply_affine(np.linalg.inv(head.native_to_mni), points)
    return float(np.linalg.norm(apply_affine(native_to_mni, native) - points, axis=1).mean())


def registered(data: np.ndarray, zooms: tuple[float, ...], affine: np.ndarray):
    found = register(build_pyramid([data], [zooms]))
    to_voxel = mni_to_voxel(found.transforms[0], data.shape, np.array(zooms))
    return np.linalg.inv(affine @ to_voxel), found


@pytest.mark.parametrize(
    "pose",
    [
        Pose(),
        Pose((12, -8, 10), (15, -12, 8), (0.9, 0.85, 0.95)),
        Pose((-25, 20, -30), (-40, 30, 25), (0.95, 0.9, 0.85)),
    ],
)
def test_a_head_in_any_usual_pose_is_found(pose):
    scanning = Scanning(zooms_mm=(3, 3, 3), noise=0.02, field_mm=(260, 280, 300))
    head = simulate_head(3, pose, scanning)
    native_to_mni, found = registered(head.data, (3, 3, 3), head.affine)
    assert error_mm(native_to_mni, head) < 4  # the head is bent; a second affine follows
    assert not found.searched_wide[0]


def test_a_head_under_a_wrong_header_is_found():
    head = simulate_head(4, Pose((5, 3, -4)), COARSE)
    data = np.ascontiguousarray(head.data.transpose(1, 2, 0)[:, ::-1])
    to_old = np.zeros((4, 4))
    to_old[[1, 2, 0, 3], [0, 1, 2, 3]] = [1, -1, 1, 1]
    to_old[2, 3] = data.shape[1] - 1
    native_to_mni, found = registered(data, (3, 3, 3), head.affine @ to_old)
    mirrored = np.diag([-1.0, 1, 1, 1]) @ native_to_mni  # sides cannot be known
    assert min(error_mm(native_to_mni, head), error_mm(mirrored, head)) < 4
    assert found.searched_wide[0]


def test_another_way_up_than_the_header_says_must_fit_clearly_better():
    upright, over = np.eye(3, 4)[None], np.diag([1.0, -1, -1])[None] @ np.eye(3, 4)
    before = Fit(upright.astype(np.float32), np.array([0.40], np.float32), np.array([0]))

    def kept(transforms: np.ndarray, agreement: float) -> np.ndarray:
        wide = Fit(transforms.astype(np.float32), np.array([agreement], np.float32), np.array([0]))
        return _replace_where_better(before, wide, np.array([0])).agreement

    assert_allclose(kept(over, 0.43), 0.40)
    assert_allclose(kept(over, 0.46), 0.46)
    assert_allclose(kept(upright, 0.43), 0.43)


def test_a_brain_without_its_skull_is_found():
    stripped = Scanning(zooms_mm=(3, 3, 3), noise=0.02, stripped=True)
    head = simulate_head(5, Pose((8, -6, 7), (10, 10, -10), (0.9, 0.9, 0.9)), stripped)
    native_to_mni, _ = registered(head.data, (3, 3, 3), head.affine)
    assert error_mm(native_to_mni, head) < 4


def test_several_heads_are_registered_as_if_alone():
    heads = [
        simulate_head(6, Pose((9, 4, 0)), COARSE),
        simulate_head(7, Pose((-6, 0, 9)), Scanning(zooms_mm=(3, 3, 4), field_mm=(180, 230, 220))),
    ]
    zooms = [(3.0, 3.0, 3.0), (3.0, 3.0, 4.0)]
    together = register(build_pyramid([h.data for h in heads], zooms))
    for row, (head, zoom) in enumerate(zip(heads, zooms, strict=True)):
        alone = register(build_pyramid([head.data], [zoom]))
        assert_allclose(together.transforms[row], alone.transforms[0], atol=0.02)
        assert_allclose(together.brain_agreement[row], alone.brain_agreement[0], atol=1e-3)


def test_composing_does_the_second_transform_first():
    rng = np.random.default_rng(0)
    first, second = (np.hstack([turn(*rng.random(3)), rng.random((3, 1))]) for _ in range(2))
    points = rng.random((3, 5))
    wanted = first[:, :3] @ (second[:, :3] @ points + second[:, 3:]) + first[:, 3:]
    both = compose(first, second)
    assert_allclose(both[:, :3] @ points + both[:, 3:], wanted)
