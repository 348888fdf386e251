"""Template images at 2 mm as they ship (``template.npz``): brightness, tissues, distance.

What the registration needs of ICBM152 takes a second to compute of nilearn's files, and a search
with one scan would wait for it. So the package carries it, bit for bit what
`braincase.preprocess.space.template_source` computes. Brightness and tissues are sums of grey
values with whole weights, which pack well, and the last bits in which single precision differs
from them.

Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological
Institute, McGill University. Permission to use, copy, modify, and distribute this software and
its documentation for any purpose and without fee is hereby granted, provided that the above
copyright notice appear in all copies. The authors and McGill University make no representations
about the suitability of this software for any purpose. It is provided "as is" without express or
implied warranty. The authors are not responsible for any data loss, equipment damage, property
loss, or injury to subjects or patients resulting from the use or misuse of this software package.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from braincase.files import atomic_write
from braincase.preprocess.space.sampling import Image, Mask

FILE = "template.npz"
#: Grey values run to 255, and the eight 1 mm voxels around a place count 64 parts together.
PARTS = 64
SUM = np.float32(PARTS * 255)


@dataclass(frozen=True, eq=False)
class TemplateImages:
    """The template over the head field at 2 mm, shape (112, 128, 112); the same on both sides.

    Parameters
    ----------
    t1
        T1 brightness of the brain, 0 to 1.
    grey, white
        Share of each tissue in a voxel.
    share
        Share of a voxel in which the template has any brain.
    brain
        The template's brain, holes filled.
    squared
        Squared distance, in voxels, to the nearest voxel on the other side of the brain's surface.
    """

    t1: Image
    grey: Image
    white: Image
    share: Image
    brain: Mask
    squared: NDArray[np.uint16]


def read_images() -> TemplateImages:
    """Read the images that ship with the package; takes a tenth of a second."""
    with (files(__package__) / FILE).open("rb") as file, np.load(file) as stored:
        half = {name: stored[name] for name in ("sums", "share", "brain", "bends")}
        last_bits = stored["last_bits"]
    bits = _both(half["sums"].astype(np.float32) / SUM).view(np.int32) + last_bits
    squared = half["bends"].cumsum(axis=0, dtype=np.uint16).cumsum(axis=0, dtype=np.uint16)
    t1, grey, white = bits.view(np.float32)
    return TemplateImages(
        t1,
        grey,
        white,
        share=_both(half["share"] / np.float32(PARTS)),
        brain=_both(half["brain"].astype(bool)),
        squared=_both(squared),
    )


def write_images(path: Path, sums: NDArray[np.uint16], images: TemplateImages) -> None:
    """Write the file that `read_images` reads.

    Parameters
    ----------
    path
        Where to.
    sums
        64 times 255 times brightness, grey and white matter, exact, shape (3, 112, 128, 112).
    images
        What it must give again.
    """
    exact = np.stack([images.t1, images.grey, images.white])
    bends = images.squared
    for _ in range(2):  # second differences: along an axis, a squared distance is a parabola
        bends = np.diff(bends, axis=0, prepend=np.uint16(0))
    content = {
        "sums": _left(sums),
        "last_bits": (exact.view(np.int32) - (sums / SUM).view(np.int32)).astype(np.int8),
        "share": _left((images.share * PARTS).astype(np.uint8)),
        "brain": _left(images.brain.astype(np.uint8)),
        "bends": _left(bends),
    }
    with atomic_write(path) as aside, aside.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **content)


def _left(images: NDArray[Any]) -> NDArray[Any]:
    """Return the left half of images of shape (..., x, y, z)."""
    return images[..., : images.shape[-3] // 2, :, :]


def _both(left: NDArray[Any]) -> NDArray[Any]:
    """Return whole images of their left half: the template is the same on both sides."""
    return np.concatenate([left, left[..., ::-1, :, :]], axis=-3)
