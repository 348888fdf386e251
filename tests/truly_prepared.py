"""Simulated heads brought to MNI space by their true transform, so that no registration runs."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import ndimage

from braincase.images.geometry import HALF_GRID, apply_affine
from braincase.images.volume import Volume
from braincase.preprocess.prepare_volume import Measured, Prepared
from braincase.preprocess.quality.measures import reference
from braincase.simulate.head import Pose, Scanning, simulate_head

GRID = HALF_GRID
COARSE = Scanning(zooms_mm=(3, 3, 3), noise=0.02, bias=0)
UPRIGHT = Pose()


@cache
def scanned(
    scanning: Scanning = COARSE, pose: Pose = UPRIGHT, seed: int = 1
) -> tuple[Volume, Prepared]:
    """Return a simulated scan and what a perfect chain would make of it, on the 4 mm grid."""
    head = simulate_head(seed, pose, scanning)
    volume = Volume(head.data, head.affine)
    voxel_from_mni = np.linalg.inv(head.native_to_mni @ head.affine)
    points = apply_affine(voxel_from_mni, np.moveaxis(GRID.points_mm(), 0, -1)).transpose(
        3, 0, 1, 2
    )
    image = ndimage.map_coordinates(head.data, points, order=1)
    mask = ndimage.map_coordinates(head.brain.astype(np.float32), points, order=1) > 0.5
    image = (0.85 * image / np.median(image[reference(GRID).white])).astype(np.float32)
    inside = (points > -0.5) & (points < np.array(head.data.shape).reshape(3, 1, 1, 1) - 0.5)
    measured = Measured(
        head_agreement=0.8,
        brain_agreement=0.7,
        masked_agreement=0.9,
        searched_wide=False,
        turned_degrees=float(np.abs(pose.rotation_deg).max()),
        scales=tuple(sorted(pose.scale, reverse=True)),
        skull_stripped=scanning.stripped,
        brain_ml=float(head.brain.sum() * np.prod(scanning.zooms_mm) / 1000),
        inside=float(inside.all(axis=0)[reference(GRID).brain].mean()),
    )
    pixels = np.round(255 * np.clip(image, 0, 1) * mask).astype(np.uint8)
    return volume, Prepared(pixels, head.native_to_mni, mask, image, measured, {})
