"""Image quality measures of a scan, before and after it was brought to MNI space.

Brightness is compared in tissues that the template points at: deep white matter, cortex, the fluid
of the ventricles, the bone and the scalp above the ears. Noise is measured on native voxels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from braincase.images.geometry import Affine, Grid, apply_affine
from braincase.images.volume import Volume
from braincase.preprocess.prepare_volume import Prepared
from braincase.preprocess.space.field_of_view import TO_FACE, seen_on_grid
from braincase.preprocess.space.sampling import Image, Mask
from braincase.preprocess.space.template import CENTRE_MM, load_template

Points = NDArray[np.float64]
Values = NDArray[np.float32] | NDArray[np.uint8]

#: The ends of MNI's axes.
SIDES = (("left", "right"), ("back", "front"), ("bottom", "top"))
#: Bone and scalp are looked at above this height, where no face or neck is, MNI mm.
ABOVE_MM = 20.0
#: Noise is compared as if every voxel had this volume: averaging makes noise small, mm^3.
COMMON_VOXEL = 8.0
#: The air on each side of the head: axis, direction, and how far out, MNI mm.
AIR = {
    "left": (0, -1, 75),
    "right": (0, 1, 75),
    "front": (1, 1, 75),
    "back": (1, -1, 110),
    "top": (2, 1, 85),
}
#: Fewer voxels than this on one side of the head are not looked at.
FEWEST_VOXELS = 300


@dataclass(frozen=True)
class Reference:
    """Tissue masks of the template on one standard grid."""

    t1: Image
    brain: Mask
    white: Mask
    grey: Mask
    fluid: Mask
    bone: Mask
    scalp: Mask


@lru_cache(maxsize=2)
def reference(grid: Grid) -> Reference:
    """Return the template's tissues on a standard grid."""
    level = load_template()[2]
    step = round(grid.resolution_mm / level.step_mm)
    t1, white, grey, depth, height = (
        _mean_of_blocks(image, step)
        for image in (level.brain, level.white, level.grey, level.depth_mm, level.points_mm[2])
    )
    above = height + CENTRE_MM[2] > ABOVE_MM
    return Reference(
        t1=t1,
        brain=depth < 0,
        white=(white > 0.9) & (depth < -6),
        grey=(grey > 0.75) & (depth < -1),
        fluid=(grey + white < 0.35) & (depth < -12),
        bone=(depth > 2.5) & (depth < 7) & above,
        scalp=(depth > 8) & (depth < 14) & above,
    )


def measure_raw(volume: Volume) -> dict[str, float]:
    """Measure an image as it was read: voxel size, field of view, histogram.

    Takes a few hundredths of a second.

    Returns
    -------
    ``thickest_mm``, ``thinnest_mm`` of the voxel edges; ``field_mm`` and ``smallest_field_mm``, the
    longest and shortest edge of the field of view; ``minimum``; ``air_hu``, the share of voxels
    within -1100 to -850; ``levels``, how many grey values there are (at most 1000 are counted);
    ``bright_share``, the share of voxels above a tenth of the brightest, counted from the air.
    """
    zooms, field = volume.zooms_mm, np.array(volume.shape) * volume.zooms_mm
    values = volume.data.ravel()[:: max(1, volume.data.size // 300_000)]
    lifted = values - min(0.0, float(np.quantile(values, 0.01)))  # some exports start below 0
    positive = lifted[lifted > 0]
    bright = np.quantile(positive, 0.999) if positive.size else 0.0
    return {
        "thickest_mm": float(zooms.max()),
        "thinnest_mm": float(zooms.min()),
        "field_mm": float(field.max()),
        "smallest_field_mm": float(field.min()),
        "minimum": float(values.min()),
        "air_hu": float(((values > -1100) & (values < -850)).mean()),
        "levels": float(min(np.unique(values).size, 1000)),
        "bright_share": float((lifted > 0.1 * bright).mean()) if positive.size else 0.0,
    }


def measure_prepared(volume: Volume, prepared: Prepared, grid: Grid) -> dict[str, float]:
    """Measure a scan in MNI space; takes about a tenth of a second.

    Returns
    -------
    All are of what lies in the field of view. Of the brain: ``agreement`` and ``information``
    (correlation and normalised mutual information with the template), ``overlap`` (Dice with the
    template's brain), ``mirror`` (Dice with its own mirror image), ``brain_ml``, ``inside`` (share
    in the field of view), ``largest`` and ``smallest`` (size against the template by main axis),
    ``turned_degrees``. Of brightness, white matter 1: ``grey``, ``fluid``, ``bone``, ``scalp``,
    ``sides`` (how much one is brighter than the other). ``noise`` and ``ghosts``: the noise in
    white matter, and how much brighter the air is on one side of the head than on another, in units
    of the grey-white difference.
    """
    place, measured = reference(grid), prepared.measured
    head, mask = prepared.head, prepared.mask
    to_voxel = _voxel_from_mni(volume, prepared)
    seen = seen_on_grid(to_voxel, volume.shape, grid, margin=TO_FACE)
    brain, both = place.brain & seen, mask & seen[::-1]
    white = _median(head, place.white & seen)
    brightness = {
        name: _median(head, where & seen) / white if white > 0 else np.nan
        for name, where in (("grey", place.grey), ("fluid", place.fluid), ("bone", place.bone))
    }
    scalp = head[place.scalp & seen]
    return {
        "agreement": _correlation(prepared.volume[brain], place.t1[brain]),
        "information": _shared_information(prepared.volume[mask], place.t1[mask]),
        "overlap": _dice(mask, brain),
        "mirror": _dice(both, both[::-1]),
        "brain_ml": measured.brain_ml,
        "inside": measured.inside,
        "largest": max(measured.scales),
        "smallest": min(measured.scales),
        "turned_degrees": measured.turned_degrees,
        **brightness,
        "scalp": float(np.quantile(scalp, 0.8)) / white if white > 0 and scalp.size else np.nan,
        "sides": _sides(head, place.white & seen),
        **_noise(volume, prepared),
    }


def cut_sides(volume: Volume, prepared: Prepared, grid: Grid) -> dict[str, float]:
    """Return how much of the template's brain lies beyond each side of the field of view.

    Returns
    -------
    The share of the brain by ``left``, ``right``, ``back``, ``front``, ``bottom`` and ``top`` of
    the head (of its own axes, however it lies in the scanner); only sides with more than 0.2 %.
    """
    brain = np.argwhere(reference(grid).brain).astype(np.float64)
    to_voxel = _voxel_from_mni(volume, prepared)
    voxels = apply_affine(to_voxel @ grid.affine, brain)
    outward = np.linalg.inv(to_voxel)[:3, :3]
    shares: dict[str, float] = {}
    for place, direction, n in zip(voxels.T, outward.T, volume.shape, strict=True):
        axis = int(np.abs(direction).argmax())
        low, high = SIDES[axis] if direction[axis] > 0 else SIDES[axis][::-1]
        for name, lost in ((low, place < -TO_FACE), (high, place > n - 1 + TO_FACE)):
            shares[name] = shares.get(name, 0.0) + float(lost.mean())
    return {name: share for name, share in shares.items() if share > 0.002}


def _noise(volume: Volume, prepared: Prepared) -> dict[str, float]:
    """Measure noise in native voxels of white matter, and what shines in the air round the head.

    Noise shines on all sides alike. Motion smears the head along the phase-encoding axis only.
    """
    where = _places()
    whites, greys = (_nearest(volume, prepared, where[tissue]) for tissue in ("white", "grey"))
    if not (len(whites) and len(greys)):
        return {"noise": np.nan, "ghosts": np.nan}
    bright = float(np.median(whites[:, 0]))
    contrast = abs(bright - float(np.median(greys[:, 0])))
    unit = max(contrast, 1e-3 * abs(bright), 1e-6)
    rough = whites[:, 0] - whites[:, 1:].mean(axis=1)
    sigma = 1.4826 * float(np.median(np.abs(rough - np.median(rough)))) / np.sqrt(7 / 6)
    averaging = min(1.0, float(np.prod(volume.zooms_mm)) / COMMON_VOXEL)
    sides = (_nearest(volume, prepared, where[side])[:, 0] for side in AIR)
    shining = [float(side.mean()) for side in sides if len(side) >= FEWEST_VOXELS]
    ghosts = max(shining) - min(shining) if shining else 0.0
    return {"noise": sigma * np.sqrt(averaging) / unit, "ghosts": ghosts / unit}


@lru_cache(maxsize=1)
def _places() -> dict[str, Points]:
    """Return MNI points in white and grey matter, and in the air on each side of the head."""
    level = load_template()[4]
    points = level.points_mm.reshape(3, -1).T.astype(np.float64) + np.array(CENTRE_MM)
    white, grey, depth = (a.ravel() for a in (level.white, level.grey, level.depth_mm))
    air = (depth > 28) & (depth < 60) & (points[:, 2] > -10)
    return {
        "white": points[(white > 0.85) & (depth < -6)],
        "grey": points[(grey > 0.7) & (depth < -2)],
        **{
            side: points[air & (sign * points[:, axis] > limit)]
            for side, (axis, sign, limit) in AIR.items()
        },
    }


def _nearest(volume: Volume, prepared: Prepared, mni: Points) -> Image:
    """Return the voxels nearest to MNI points, each with its six neighbours, shape (n, 7)."""
    index = np.round(apply_affine(_voxel_from_mni(volume, prepared), mni)).astype(int)
    shape = np.array(volume.shape)
    index = index[((index >= 1) & (index < shape - 1)).all(axis=1)]
    steps = np.array([[0, 0, 0], *np.eye(3, dtype=int), *-np.eye(3, dtype=int)])
    x, y, z = np.moveaxis(index[:, None] + steps, -1, 0)
    values: Image = volume.data[x, y, z]
    return values


def _voxel_from_mni(volume: Volume, prepared: Prepared) -> Affine:
    return np.asarray(np.linalg.inv(prepared.native_to_mni @ volume.affine), np.float64)


def _sides(head: Image, white: Mask) -> float:
    """Return by how much white matter is brighter on one side than on the other, mean 1."""
    middle = head.shape[0] // 2
    left = _median(head[:middle], white[:middle])
    right = _median(head[middle:], white[middle:])
    return 2 * abs(right - left) / (right + left) if right + left > 0 else np.nan


def _median(image: Image, where: Mask) -> float:
    return float(np.median(image[where])) if where.any() else np.nan


def _dice(a: Mask, b: Mask) -> float:
    return 2 * float((a & b).sum()) / max(float(a.sum() + b.sum()), 1.0)


def _correlation(a: Values, b: Values) -> float:
    if a.size == 0:
        return 0.0
    a_centred, b_centred = (x.astype(np.float64) - x.mean() for x in (a, b))
    size = np.sqrt((a_centred**2).sum() * (b_centred**2).sum())
    return float((a_centred * b_centred).sum() / size) if size > 0 else 0.0


def _shared_information(a: Values, b: Values, bins: int = 32) -> float:
    """Return the normalised mutual information 2 I(a; b) / (H(a) + H(b)), 0 to 1."""
    if a.size == 0:
        return 0.0
    joint, _, _ = np.histogram2d(a.astype(np.float64), b.astype(np.float64), bins=bins)
    joint /= joint.sum()
    entropies = [_entropy(joint.sum(axis=axis)) for axis in (0, 1)]
    total = sum(entropies)
    return 2 * (total - _entropy(joint.ravel())) / total if total > 0 else 0.0


def _entropy(shares: NDArray[np.float64]) -> float:
    positive = shares[shares > 0]
    return -float((positive * np.log(positive)).sum())


def _mean_of_blocks(image: Image, step: int) -> Image:
    x, y, z = (n // step for n in image.shape)
    return np.asarray(image.reshape(x, step, y, step, z, step).mean(axis=(1, 3, 5)), np.float32)


def rounded(measures: Mapping[str, float]) -> dict[str, float]:
    """Return measures with four significant digits, for people to read and files to compare."""
    return {name: float(f"{value:.4g}") for name, value in measures.items()}
