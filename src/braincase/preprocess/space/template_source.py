"""Template images at 2 mm computed of nilearn's ICBM152 files: what ``template.npz`` holds.

Used by a test and by ``benchmarks/template.py``, which writes the file; a second of work.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from braincase.images.icbm152 import Kind, read_icbm152
from braincase.preprocess.space.sampling import Image, Mask, apply_along
from braincase.preprocess.space.template import CENTRE_MM, HEAD_FIELD_MM, with_stem
from braincase.preprocess.space.template_images import PARTS, TemplateImages, write_images

#: World coordinates of the template's first voxel, MNI mm; its voxels are 1 mm.
TEMPLATE_CORNER_MM = (-98.0, -134.0, -72.0)
KINDS: tuple[Kind, ...] = ("t1", "gm", "wm")


def compute_images() -> TemplateImages:
    """Compute the template's images at 2 mm of nilearn's files."""
    t1, grey, white = map(_read, KINDS)
    share = _to_head_grid(t1 > 0)
    brain = np.asarray(ndimage.binary_fill_holes(share > 0.5))
    t1, grey, white = (_to_head_grid(image) for image in (t1, grey, white))
    return TemplateImages(t1, grey, white, share, brain, _squared_distance(with_stem(brain)))


def write_template(path: Path) -> None:
    """Write ``template.npz``."""
    grey_values = (np.rint(255 * _read(kind)) for kind in KINDS)
    sums = np.stack([PARTS * _to_head_grid(values) for values in grey_values])  # exact: 14 bits
    write_images(path, sums.astype(np.uint16), compute_images())


def _read(kind: Kind) -> Image:
    """Read one of the template's images, 1 mm voxels, 0 to 1."""
    image, affine = read_icbm152(kind)
    assert np.array_equal(affine[:3, 3], TEMPLATE_CORNER_MM), "another template than expected"
    return image


def _to_head_grid(data: NDArray[np.generic]) -> Image:
    """Bring an image on the template's own 1 mm voxels to 2 mm voxels over the head field."""
    image: Image = data.astype(np.float32)
    for axis in range(3):
        source = TEMPLATE_CORNER_MM[axis] + np.arange(image.shape[axis])
        n = HEAD_FIELD_MM[axis] // 2
        target = CENTRE_MM[axis] + (np.arange(n) - (n - 1) / 2) * 2.0
        weights = np.clip(1 - np.abs(target[:, None] - source) / 2, 0, None) / 2
        image = apply_along(weights.astype(np.float32), image, axis)
    return image


def _squared_distance(brain: Mask) -> NDArray[np.uint16]:
    """Return the squared distance to the nearest voxel on the other side of the surface, voxels."""
    inside, outside = (ndimage.distance_transform_edt(side) for side in (brain, ~brain))
    return np.asarray(np.rint(inside**2 + outside**2), np.uint16)
