"""The bundled simulated head on which an encoder's vector is checked: a fixed input (test vector).

``check_head.npz`` holds one simulated head (seed 20261128 of `braincase.simulate.head`, then
`braincase.preprocess.prepare_volume`) on the 4 mm grid, with its brain mask. It is a file, and not
made when needed, since it may never change: the expected vectors of published encoders rest on it.
Finer voxels repeat these, so that every machine gives the same bits.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braincase.images.geometry import HALF_GRID, STANDARD_GRID, Grid
from braincase.images.volume import Volume

FILE = Path(__file__).with_name("check_head.npz")


@cache
def head_hash() -> str:
    """Return the SHA-256 of the bundled head's file."""
    return sha256(FILE.read_bytes()).hexdigest()


def head_on_grid(grid: Grid, strip: bool) -> NDArray[np.uint8]:
    """Return the head as a standard volume, uint8 of shape `grid.shape`, stripped or whole."""
    with np.load(FILE) as arrays:
        head = arrays["head"]
        brain = np.unpackbits(arrays["brain"])[: head.size].reshape(head.shape).astype(bool)
    volume = np.where(brain, head, 0) if strip else head
    for axis in range(3):
        volume = volume.repeat(HALF_GRID.resolution_mm // grid.resolution_mm, axis=axis)
    return np.ascontiguousarray(volume, np.uint8)


def head_as_scanned(strip: bool) -> Volume:
    """Return the head as a scan of 2 mm voxels, float32, stripped or whole."""
    volume = head_on_grid(STANDARD_GRID, strip).astype(np.float32)
    return Volume(volume, STANDARD_GRID.affine)
