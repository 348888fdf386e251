"""Global search for a head's position and rotation: template matching by FFT at 8 mm.

For each of many rotations the template is turned, and its weighted correlation with the scan is
computed at all shifts at once: the masked normalised cross-correlation is a few Fourier products.
Where the field of view may cut the head, both are masked.

References
----------
Padfield 2012, Masked object registration in the Fourier domain, doi:10.1109/TIP.2011.2181402.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations, product
from math import cos, sin

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from braincase.preprocess.registration.gauss_newton import UNSEEN_POWER, Fit
from braincase.preprocess.space.sampling import Array, Stack, like, sample, to_numpy
from braincase.preprocess.space.template import load_template

Rotation = NDArray[np.float64]


@dataclass(frozen=True)
class Turn:
    """A rotation of the search: tilted a little, then laid on one of its sides.

    Parameters
    ----------
    tilt
        Angles about the right, front and top axes in turn, radians.
    side
        One of `axis_rotations`, by number; 0 is upright.
    """

    tilt: tuple[float, float, float]
    side: int = 0

    @property
    def matrix(self) -> Rotation:
        """The rotation from the template to the head, shape (3, 3)."""
        return axis_rotations()[self.side] @ turn(*self.tilt)


#: Edge of the cube, in voxels, that holds the turned template.
KERNEL = 30
#: The weakest local contrast that counts, as a share of the whole scan's variance.
CONTRAST_FLOOR = 0.15
#: Where less than this share of the template's weight is in view, a match does not count.
LEAST_SEEN = 0.5


def turn(pitch: float, roll: float, yaw: float) -> Rotation:
    """Return the rotation about the right, front and top axes in turn, radians."""
    cx, sx, cy, sy, cz, sz = cos(pitch), sin(pitch), cos(roll), sin(roll), cos(yaw), sin(yaw)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


@lru_cache(maxsize=1)
def axis_rotations() -> tuple[Rotation, ...]:
    """Return the 24 ways to lay a box on its sides, the unturned one first."""
    turns = []
    for order in permutations(range(3)):
        for signs in product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), order] = signs
            if np.linalg.det(matrix) > 0:
                turns.append(matrix)
    return tuple(sorted(turns, key=lambda matrix: -np.trace(matrix)))


#: Template to head: heads are pitched forward against MNI152 and lie up to 25 degrees askew.
USUAL_TURNS = tuple(
    Turn((pitch, roll, yaw))
    for pitch in (0.26, -0.30, 0.82)
    for roll in (0.0, -0.4, 0.4)
    for yaw in (0.0, -0.45, 0.45)
)
#: The same with a wrong header: every way up, less closely.
ALL_TURNS = tuple(
    Turn(usual.tilt, side)
    for side in range(24)
    for usual in USUAL_TURNS
    if (usual.tilt[0] == 0.26) + (usual.tilt[1] == 0) + (usual.tilt[2] == 0) >= 2
)


def search_rotations(
    stack: Stack, turns: Sequence[Turn], scale: float, weight: str, keep: int, cut: bool = False
) -> Fit:
    """Find the best translation for each rotation, and keep the best rotations of each head.

    Parameters
    ----------
    stack
        The scans at 8 mm.
    turns
        Rotations from the template to the head.
    scale
        Size of a head, in templates.
    weight
        Which of the template's weights to use.
    keep
        How many starts to return a head.
    cut
        Whether the field of view may cut the head: what lies beyond it then says nothing, where it
        is dark otherwise. Takes twice the time.

    Returns
    -------
    Fit
        ``heads x keep`` starts, head by head, best first.
    """
    xp = array_namespace(stack.images)
    images, shape = stack.images, stack.images.shape[1:]
    padded = tuple(_fast_length(n + KERNEL // 2 + 1) for n in shape)
    scans = [images, images**2]
    if cut:
        scans.append(_in_view(stack))
    spectra = [xp.fft.rfftn(image, s=padded, axes=(1, 2, 3)) for image in scans]
    floor = CONTRAST_FLOOR * _variance(stack)[:, None, None, None]
    best, where = [], []
    for way in turns:
        *pair, total, spread = _tilted_template(way.tilt, scale, weight)
        pair = [_laid(array, axis_rotations()[way.side]) for array in pair]
        kernels = [like(array, images) for array in pair]
        if cut:
            kernels.append(like(pair[0] ** 2 / np.maximum(pair[1], 1e-6), images))
        k, w, *kk = (xp.conj(xp.fft.rfftn(array, s=padded, axes=(0, 1, 2))) for array in kernels)
        products = [k * spectra[0], w * spectra[0], w * spectra[1]]
        if cut:
            products += [w * spectra[2], k * spectra[2], kk[0] * spectra[2]]
        sums = [_correlation(product, padded, shape) for product in products]
        if cut:
            score = _score_in_view(sums, total, spread, floor)
        else:
            variance = xp.maximum(sums[2] / total - (sums[1] / total) ** 2, floor)
            score = sums[0] / (total * spread * xp.sqrt(variance))
        score = xp.reshape(score, (images.shape[0], -1))
        best.append(to_numpy(xp.max(score, axis=1)))
        where.append(to_numpy(xp.argmax(score, axis=1)))
    return _best_starts(stack, turns, scale, np.stack(best, 1), np.stack(where, 1), keep)


def _score_in_view(sums: Sequence[Array], total: float, spread: float, floor: Array) -> Array:
    """Return the correlation over what is seen, lowered by how little that is.

    Parameters
    ----------
    sums
        Over what is seen: the template times the scan, the scan, its square, one, the template and
        its square, all weighted.
    total, spread
        The sum of all weights, and the template's spread over all of it.
    floor
        The least variance of a scan that counts.
    """
    xp = array_namespace(sums[0])
    seen = xp.maximum(sums[3], sums[3] * 0 + 1e-3 * total)
    scan, template = sums[1] / seen, sums[4] / seen
    variance = xp.maximum(sums[2] / seen - scan**2, floor)
    varies = xp.maximum(sums[5] / seen - template**2, 0 * seen + 0.25 * spread**2)
    covariance = sums[0] / seen - scan * template
    share = xp.clip(seen / total, 0.0, 1.0)
    enough = xp.astype(share > LEAST_SEEN, share.dtype)
    return covariance / xp.sqrt(variance * varies) * share**UNSEEN_POWER * enough


def _in_view(stack: Stack) -> Array:
    """Return 1 in each head's own voxels and 0 in the padding, same shape as the images."""
    xp = array_namespace(stack.images)
    seen = xp.ones_like(stack.images)
    for axis, n in enumerate(stack.images.shape[1:]):
        index = like(np.arange(n), stack.images)
        own = index[None] <= 2 * stack.centres[:, axis, None]
        shape = [len(stack.images), 1, 1, 1]
        shape[axis + 1] = n
        seen = seen * xp.reshape(xp.astype(own, seen.dtype), tuple(shape))
    return seen


def _variance(stack: Stack) -> Array:
    """Return the variance of each head's own voxels (the padding left out), shape (heads,)."""
    xp = array_namespace(stack.images)
    voxels = xp.prod(2 * stack.centres + 1, axis=1)
    mean, squares = (xp.sum(i, axis=(1, 2, 3)) / voxels for i in (stack.images, stack.images**2))
    return squares - mean**2


@lru_cache(maxsize=100)
def _tilted_template(
    tilt: tuple[float, float, float], scale: float, weight: str
) -> tuple[NDArray[np.float32], NDArray[np.float32], float, float]:
    """Return the turned template (weighted, mean zero), its weights, their sum and its spread.

    Both images are cubes of `KERNEL` voxels with their middle on the corner of the first voxel.
    """
    level = load_template()[8]
    axis = np.arange(KERNEL) - (KERNEL - 1) / 2
    cube = np.stack(np.meshgrid(axis, axis, axis, indexing="ij")).reshape(3, -1)
    points = turn(*tilt).T @ cube / scale + (np.array(level.head.shape)[:, None] - 1) / 2
    points = np.broadcast_to(points, (2, *points.shape)).astype(np.float32)
    both = sample(np.stack([level.head, level.weights[weight]]), np.arange(2), points)
    brightness, weights = both.reshape(2, KERNEL, KERNEL, KERNEL)
    total = float(weights.sum())
    centred = brightness - (weights * brightness).sum() / total
    spread = float(np.sqrt((weights * centred**2).sum() / total))
    return weights * centred, weights, total, spread


def _laid(cube: NDArray[np.float32], side: Rotation) -> NDArray[np.float32]:
    """Turn a cube by an axis rotation, without interpolation."""
    order = np.abs(side).argmax(axis=1)
    flipped = tuple(axis for axis in range(3) if side[axis].sum() < 0)
    return np.ascontiguousarray(np.flip(cube.transpose(order), flipped))


def _correlation(product: Array, padded: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """Return the correlation with its origin at the kernel's middle, as far as the scan reaches.

    The inverse transform goes one axis after another, and drops at once what lies beyond the scan.
    """
    xp = array_namespace(product)
    places = [
        xp.asarray((np.arange(n) - KERNEL // 2) % size, device=device(product))
        for n, size in zip(shape, padded, strict=True)
    ]
    for axis in (1, 2):
        product = xp.take(xp.fft.ifft(product, axis=axis), places[axis - 1], axis=axis)
    return xp.take(xp.fft.irfft(product, n=padded[2], axis=3), places[2], axis=3)


def _fast_length(n: int) -> int:
    """Return the next even length with no prime factor above 5."""
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1 and n % 2 == 0:
            return n
        n += 1


def _best_starts(
    stack: Stack,
    turns: Sequence[Turn],
    scale: float,
    best: NDArray[np.floating],
    where: NDArray[np.integer],
    keep: int,
) -> Fit:
    """Turn the best correlations, shape (heads, turns), into starting transforms."""
    heads, shape, centres = len(best), stack.images.shape[1:], to_numpy(stack.centres)
    rows = np.argsort(-best, axis=1, kind="stable")[:, :keep]
    transforms = np.zeros((heads, rows.shape[1], 3, 4))
    for head in range(heads):
        for rank, row in enumerate(rows[head]):
            voxel = np.array(np.unravel_index(where[head, row], shape)) - 0.5
            transforms[head, rank, :, :3] = turns[row].matrix * scale
            transforms[head, rank, :, 3] = (voxel - centres[head]) * stack.step_mm
    xp = array_namespace(stack.images)
    owner = np.repeat(np.arange(heads), rows.shape[1])
    return Fit(
        like(transforms.reshape(-1, 3, 4), stack.images),
        like(np.take_along_axis(best, rows, axis=1).ravel(), stack.images),
        xp.asarray(owner, device=device(stack.images)),
    )
