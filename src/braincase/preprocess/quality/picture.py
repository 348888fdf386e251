"""Thumbnails of a scan for the quality page: eight slices in a strip, and the mask's outline.

The strip is a WebP image of about 20 kB. The outline stands apart from it, as the path of an SVG,
so that the page can draw it sharp and hide it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import contourpy
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy import ndimage

from braincase.images.geometry import FIELD_CORNER_MM, Grid
from braincase.images.volume import Volume
from braincase.preprocess.space.sampling import Image, Mask

#: What is shown, from left to right: the axis that is cut, and where, MNI mm.
CUTS: Sequence[tuple[int, float]] = (
    (0, -27), (0, 3), (1, -48), (1, -8), (2, -36), (2, -8), (2, 14), (2, 44),
)  # fmt: skip
#: Sides of the strip's coronal and axial slices: the letter, and its place in pixels.
LABELS: Sequence[tuple[str, int]] = tuple(
    (side, left + shift)
    for left in range(384, 1344, 160)
    for side, shift in (("R", 10), ("L", 150))
)
#: Height of the strip: the longest side of the standard field of view, mm.
HEIGHT_MM = 192
PIXELS_PER_MM = 1.0
WEBP_QUALITY = 72


@dataclass(frozen=True)
class SliceStrip:
    """A strip of slices as a WebP thumbnail, with the mask's outline as an SVG path.

    Parameters
    ----------
    webp
        The encoded strip.
    width, height
        Its size in pixels.
    outline
        SVG path data of the mask's outline in those pixels; empty where there is no mask.
    """

    webp: bytes
    width: int
    height: int
    outline: str


def picture_standard(head: Image, mask: Mask, grid: Grid) -> SliceStrip:
    """Draw a scan on the standard grid, with the outline of its brain mask.

    Parameters
    ----------
    head
        Brightness on the grid, shown from 0 to 1.
    mask
        The brain on the grid.
    """
    step = grid.resolution_mm
    soft = ndimage.gaussian_filter(mask.astype(np.float32), 1.0 / step)
    tiles, path, left = [], [], 0.0
    for axis, where in CUTS:
        index = int((where - FIELD_CORNER_MM[axis]) // step)
        tile = _enlarge(_seen_from_the_feet(head, index, axis), step)
        tiles.append(_framed(tile))
        top = (HEIGHT_MM - tile.shape[1] / PIXELS_PER_MM) / 2
        path += _outline(_seen_from_the_feet(soft, index, axis), step, left, top + tile.shape[1])
        left += tile.shape[0]
    return _encode(tiles, "".join(path))


def _seen_from_the_feet(head: Image, index: int, axis: int) -> Image:
    """Cut a slice in the radiological convention: the subject's right is on the viewer's left."""
    tile = np.take(head, index, axis)
    return np.asarray(tile if axis == 0 else tile[::-1], np.float32)


def picture_raw(volume: Volume) -> SliceStrip:
    """Draw the middle slices of a scan that never reached the standard grid."""
    data = volume.data
    low, high = np.percentile(data[::3, ::3, ::3], [2, 99.5])
    scaled = (data - low) / max(float(high - low), 1e-6)
    extent = np.array(volume.shape) * volume.zooms_mm
    scale = HEIGHT_MM / extent.max()
    tiles = []
    for axis in range(3):
        step = np.delete(volume.zooms_mm, axis) * scale
        tile = _seen_from_the_feet(scaled, data.shape[axis] // 2, axis)
        tiles.append(_framed(_enlarge(tile, *step)))
    return _encode(tiles, "")


def template_outline(mask: Mask, grid: Grid) -> str:
    """Return the outline of the template's brain as SVG path data, for all strips."""
    return picture_standard(mask.astype(np.float32), mask, grid).outline


def _enlarge(tile: Image, step: float, other: float | None = None) -> Image:
    """Bring a slice (right or front, then top or front) to the pixels of the strip."""
    size = np.array(tile.shape) * (step, other or step) * PIXELS_PER_MM
    width, height = np.maximum(np.round(size), 1).astype(int)
    values = Pillow.fromarray(np.clip(np.nan_to_num(tile.T), 0, 1).astype(np.float32))
    large = values.resize((int(width), int(height)), Pillow.Resampling.BICUBIC)
    return np.asarray(large, np.float32).T


def _framed(tile: Image) -> NDArray[np.uint8]:
    """Return the slice as grey pixels (rows from the top), centred in the height of the strip."""
    pixels = np.round(255 * np.clip(tile.T[::-1], 0, 1)).astype(np.uint8)
    missing = round(HEIGHT_MM * PIXELS_PER_MM) - pixels.shape[0]
    return np.pad(pixels, ((missing // 2, missing - missing // 2), (0, 0)))


def _outline(tile: Image, step: float, left: float, bottom: float) -> list[str]:
    """Return the edge of a soft mask's slice as closed SVG paths in the strip's pixels."""
    scale = step * PIXELS_PER_MM
    padded = np.pad(tile, 1).T  # an outline that meets the slice's edge is closed there
    paths = []
    for line in contourpy.contour_generator(z=padded).lines(0.5):
        across, up = np.asarray(line, np.float64)[::2].T  # every second point is fine enough
        x, y = left + (across - 0.5) * scale, bottom - (up - 0.5) * scale
        points = " ".join(f"{a:.0f},{b:.0f}" for a, b in zip(x, y, strict=True))
        paths.append(f"M{points}Z")
    return paths


def _encode(tiles: Sequence[NDArray[np.uint8]], outline: str) -> SliceStrip:
    strip = np.concatenate(tiles, axis=1)
    with io.BytesIO() as file:
        Pillow.fromarray(strip).save(file, "WEBP", quality=WEBP_QUALITY, method=4)
        return SliceStrip(file.getvalue(), strip.shape[1], strip.shape[0], outline)
