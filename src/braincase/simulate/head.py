"""A simulated raw head scan with ground truth: the brain mask and the affine to MNI space.

Preprocessing cannot be judged on real heads alone, since nobody knows their true transform. Here a
whole head (`braincase.simulate.head_anatomy`) is laid into a scanner in any pose and imaged with
any voxel size, field of view, orientation, contrast, bias field, motion and noise. Everything
follows from the seed, bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from braincase.images.geometry import Affine, Shape3, apply_affine
from braincase.simulate.head_anatomy import (
    CONTRASTS,
    Array,
    HeadAnatomy,
    invent_person,
    paint,
    template_points,
)

Triple = tuple[float, float, float]

#: MNI152 brains are larger than life: this scale gives a brain of about 1.45 litres.
USUAL_SIZE = 0.92

#: The point of MNI space about which a head is turned, and which lies at the scanner's centre.
CENTRE_MM = np.array([0.0, -17.0, -5.0])
#: Planes of this thickness are painted at a time, which bounds the memory.
SLAB_VOXELS = 1_000_000


@dataclass(frozen=True)
class Pose:
    """How the head lies in the scanner.

    Parameters
    ----------
    rotation_deg
        Turns about the right, front and top axes, in this order.
    shift_mm
        Where the middle of the head lies, scanner mm.
    scale
        Size along right, front and top, 1 for the template's; a usual head is smaller.
    shear
        The three upper entries of a unit shear matrix: xy, xz, yz.
    """

    rotation_deg: Triple = (0, 0, 0)
    shift_mm: Triple = (0, 0, 0)
    scale: Triple = (USUAL_SIZE, USUAL_SIZE, USUAL_SIZE)
    shear: Triple = (0, 0, 0)

    def native_from_mni(self) -> Affine:
        """Return the affine of shape (4, 4) from MNI mm to scanner mm."""
        shear = np.eye(3)
        shear[np.triu_indices(3, 1)] = self.shear
        turn = Rotation.from_euler("xyz", self.rotation_deg, degrees=True).as_matrix()
        affine = np.eye(4)
        affine[:3, :3] = turn @ shear @ np.diag(self.scale)
        affine[:3, 3] = np.array(self.shift_mm) - affine[:3, :3] @ CENTRE_MM
        return affine


@dataclass(frozen=True)
class Scanning:
    """How the head is imaged.

    Parameters
    ----------
    contrast
        A name of `CONTRASTS`, or the signal of each tissue.
    zooms_mm
        Voxel edges to the right, front and top.
    field_mm
        Field of view to the right, front and top, around the scanner's centre.
    cut_mm
        What the field of view lacks at its left, right, back, front, bottom and top.
    orientation
        How the array is stored, such as ``"LPI"``; the affine says so too.
    bias
        Spread of the log of the receive field: 0 for none, 0.3 for a strong one.
    noise
        Standard deviation of the noise as a part of the white matter's signal (CT: of 200 HU).
    motion_mm
        How far the head moved to the front for a part of the phase-encoding lines.
    defaced
        Whether the face was cut away, as public data sets do.
    stripped
        Whether only the brain is left.
    """

    contrast: str | Mapping[str, float] = "T1w"
    zooms_mm: Triple = (1, 1, 1)
    field_mm: Triple = (192, 240, 248)
    cut_mm: tuple[float, float, float, float, float, float] = (0, 0, 0, 0, 0, 0)
    orientation: str = "RAS"
    bias: float = 0.1
    noise: float = 0.03
    motion_mm: float = 0
    defaced: bool = False
    stripped: bool = False


@dataclass(frozen=True)
class SimulatedHead:
    """A simulated scan and the truth about it.

    Parameters
    ----------
    data
        The image as a scanner would store it.
    affine
        Its voxel indices to scanner mm (RAS+ world), shape (4, 4).
    brain
        The true brain mask (with the fluid in and on the brain), same shape as `data`.
    native_to_mni
        The true affine from scanner mm to MNI mm, shape (4, 4): the least-squares fit over the
        brain to the true, bent mapping.
    """

    data: Array
    affine: Affine
    brain: NDArray[np.bool_]
    native_to_mni: Affine


def random_pose(rng: np.random.Generator, amount: float = 1.0) -> Pose:
    """Draw a pose: at amount 1 turned by up to 20 degrees, shifted by 20 mm, sized by 12 %."""

    def draw(limit: float) -> Triple:
        x, y, z = rng.uniform(-limit, limit, 3) * amount
        return float(x), float(y), float(z)

    x, y, z = (USUAL_SIZE * (1 + change) for change in draw(0.12))
    return Pose(draw(20), draw(20), (x, y, z), draw(0.04))


def simulate_head(
    seed: int,
    pose: Pose = Pose(),
    scanning: Scanning = Scanning(),
    person: HeadAnatomy | None = None,
) -> SimulatedHead:
    """Image one invented person; the same arguments give the same bits.

    Parameters
    ----------
    seed
        Fixes the person, the bias field, motion and noise; each is drawn from a stream of its own,
        so the same person can be imaged in other ways.
    pose, scanning
        How the head lies and how it is imaged.
    person
        Somebody in particular; by default drawn from the seed.
    """
    person = person or invent_person(np.random.default_rng([seed, 0]))
    named = scanning.contrast
    contrast = CONTRASTS[named] if isinstance(named, str) else named
    shape, affine = _grid(scanning)
    mni_from_native: Affine = np.asarray(np.linalg.inv(pose.native_from_mni()), np.float64)
    image, brain = np.zeros((2, *shape), np.float32)
    shifts = _within_voxel(scanning.zooms_mm, mni_from_native)
    for part, points in _slabs(shape, mni_from_native @ affine):
        painted = [_paint(person, points + shift, contrast, scanning) for shift in shifts]
        image[:, :, part], brain[:, :, part] = np.mean(painted, axis=0)
    truth = _fit_affine(person, brain, affine, mni_from_native)
    image = _spoil(image, brain, scanning, contrast, np.random.default_rng([seed, 1]))
    data, mask, stored = _store(scanning.orientation, affine, image, brain > 0.5)
    return SimulatedHead(data, stored, mask, truth)


def _grid(scanning: Scanning) -> tuple[Shape3, Affine]:
    """Return shape and RAS+ affine of the field of view."""
    zooms, half = np.array(scanning.zooms_mm), np.array(scanning.field_mm) / 2
    low = -half + np.array(scanning.cut_mm[0::2])
    high = half - np.array(scanning.cut_mm[1::2])
    x, y, z = np.maximum(np.floor((high - low) / zooms + 1e-6), 1).astype(int)
    affine = np.diag([*zooms, 1.0])
    affine[:3, 3] = low + zooms / 2
    return (int(x), int(y), int(z)), affine


def _slabs(shape: Shape3, mni_from_voxel: Affine) -> Iterator[tuple[slice, Array]]:
    """Yield ranges of planes and the MNI points of their voxels, shape (3, x, y, planes)."""
    planes = max(1, SLAB_VOXELS // (shape[0] * shape[1]))
    for start in range(0, shape[2], planes):
        part = slice(start, min(start + planes, shape[2]))
        x, y, z = np.ix_(np.arange(shape[0]), np.arange(shape[1]), np.arange(shape[2])[part])
        rows = [row[0] * x + row[1] * y + row[2] * z + row[3] for row in mni_from_voxel[:3]]
        yield part, np.stack(rows).astype(np.float32)


def _within_voxel(zooms_mm: Triple, mni_from_native: Affine) -> list[Array]:
    """Return MNI steps to the places over which a voxel is averaged: one each 2 mm or so."""
    counts = [max(1, int(zoom / 2)) for zoom in zooms_mm]
    parts = [((np.arange(n) + 0.5) / n - 0.5) * z for n, z in zip(counts, zooms_mm, strict=True)]
    shifts = [mni_from_native[:3, :3] @ np.array(step) for step in product(*parts)]
    return [shift.astype(np.float32).reshape(3, 1, 1, 1) for shift in shifts]


def _paint(
    person: HeadAnatomy, points: Array, contrast: Mapping[str, float], scanning: Scanning
) -> tuple[Array, Array]:
    """Paint the signal and the share of brain at MNI points of shape (3, ...)."""
    zooms = scanning.zooms_mm
    places = template_points(person, points)
    image, brain = paint(person, places, contrast, edge_mm=max(1.0, min(zooms)))
    if scanning.defaced:
        y, z = points[1], points[2]
        image[(z < -28 + 0.6 * (y - 70)) & (y > 30)] = contrast["air"]
    if scanning.stripped:
        image = contrast["air"] + (image - np.float32(contrast["air"])) * (brain > 0.5)
    return image, brain


def _fit_affine(
    person: HeadAnatomy, brain: Array, affine: Affine, mni_from_native: Affine
) -> Affine:
    """Return the affine from scanner mm to template mm that fits best over the brain."""
    inside = np.argwhere(brain > 0.5)[::50]
    if len(inside) < 100:
        return mni_from_native
    native = apply_affine(affine, inside.astype(np.float64))
    points = apply_affine(mni_from_native, native).T.astype(np.float32)
    places = template_points(person, points).T
    rows = np.c_[native, np.ones(len(native))]
    fit = np.eye(4)
    fit[:3] = np.linalg.lstsq(rows, places.astype(np.float64), rcond=None)[0].T
    return fit


def _spoil(
    image: Array,
    brain: Array,
    scanning: Scanning,
    contrast: Mapping[str, float],
    rng: np.random.Generator,
) -> Array:
    """Add receive field, motion and noise; a stripped brain keeps its background at zero."""
    empty = (brain <= 0.5) if scanning.stripped else None
    bias = _smooth_noise(rng, image.shape)
    moved = np.less(rng.random(image.shape[1]), 0.3)
    noise = rng.standard_normal((2, *image.shape), dtype=np.float32)
    level = np.float32(scanning.noise)
    if contrast["air"] < 0:  # Hounsfield units: no receive field, and the noise has a sign
        return np.asarray(image + 200 * level * noise[0], np.float32)
    image = image * np.exp(np.float32(scanning.bias) * bias)
    if scanning.motion_mm:
        image = _move(image, scanning.motion_mm / scanning.zooms_mm[1], moved)
    image = np.hypot(image + level * noise[0], level * noise[1])  # Rician
    if empty is not None:
        image[empty] = 0
    return np.asarray(1000 * image, np.float32)


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return a sum of slow cosine waves over the image, of zero mean and unit variance."""
    order = np.arange(4)
    rank = sum(np.ix_(order, order, order))
    weights = rng.standard_normal((4, 4, 4)) / (1 + rank) ** 1.5
    weights[0, 0, 0] = 0
    waves = [np.cos(np.pi * (np.arange(n)[:, None] + 0.5) / n * order) for n in shape]
    field = np.einsum("abc,xa,yb,zc->xyz", weights, *waves, optimize=True)
    return np.asarray((field - field.mean()) / max(field.std(), 1e-6), np.float32)


def _move(image: Array, voxels: float, moved: NDArray[np.bool_]) -> Array:
    """Shift the phase of some lines of k-space along axis 1, as a head that nodded does."""
    lines = np.fft.fft(image, axis=1)
    frequency = np.fft.fftfreq(image.shape[1])
    phase = np.where(
        moved & (np.abs(frequency) > 0.02), np.exp(-2j * np.pi * frequency * voxels), 1
    )
    return np.abs(np.fft.ifft(lines * phase[:, None], axis=1)).astype(np.float32)


def _store(
    orientation: str, affine: Affine, image: Array, mask: NDArray[np.bool_]
) -> tuple[Array, NDArray[np.bool_], Affine]:
    """Turn RAS+ arrays into the order of axes in which the scanner stores them."""
    turn = nibabel.orientations.axcodes2ornt(orientation)
    back = nibabel.orientations.ornt_transform(nibabel.orientations.axcodes2ornt("RAS"), turn)
    stored = affine @ nibabel.orientations.inv_ornt_aff(back, image.shape)
    data, brain = (nibabel.orientations.apply_orientation(a, back) for a in (image, mask))
    return np.ascontiguousarray(data), np.ascontiguousarray(brain), stored
