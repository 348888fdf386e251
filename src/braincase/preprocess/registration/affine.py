"""Affine registration of any T1-weighted head to MNI152, from any position.

The steps: a pyramid of the scan at 8, 4 and 2 mm; many starts (`coarse.search_rotations`) improved
by Gauss-Newton; the one whose *brain* fits best; a wide search over every way up where none fits;
then a robust fit at 4 and 2 mm.

A symmetric template cannot tell left from right: that is the header's word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from braincase.images.geometry import STANDARD_GRID
from braincase.preprocess.registration import coarse
from braincase.preprocess.registration.elastic import affine_part, displacement
from braincase.preprocess.registration.gauss_newton import (
    Fit,
    Schedule,
    fit_affine,
    target_at,
    voxels_of,
)
from braincase.preprocess.space.field_of_view import away_from_edge
from braincase.preprocess.space.sampling import (
    Array,
    Image,
    Mask,
    Stack,
    apply_along,
    like,
    resample_cubic,
    sample,
    to_numpy,
)
from braincase.preprocess.space.standard import turned_degrees
from braincase.preprocess.space.template import load_template

#: Brightness above this many medians of the head is fat or an artefact, and is cut off there.
BRIGHT_LIMIT = 1.7
#: In these units, what is darker is air, and what is brighter counts as this bright (at 8 mm).
AIR, BRIGHT = 0.1, 0.8
#: Coil sensitivity is flattened over this distance before the coarse search, mm.
FLATTEN_MM = 30.0


@dataclass(frozen=True)
class Starts:
    """Initial transforms of a search: by which weights, how many, and at what size of a head.

    `cut` is for heads that the field of view may cut, see `coarse.search_rotations`.
    """

    weight: str
    keep: int
    scale: float
    cut: bool = False


#: What is tried in turn, each only for heads that nothing before it fitted.
SEARCHES: tuple[tuple[tuple[coarse.Turn, ...], tuple[Starts, ...]], ...] = (
    (coarse.USUAL_TURNS, (Starts("head", 5, 0.95),)),
    (
        coarse.USUAL_TURNS,
        (Starts("scalp", 3, 0.93), Starts("rim", 3, 0.84), Starts("head", 5, 0.95, cut=True)),
    ),
    (
        coarse.ALL_TURNS,
        (Starts("head", 16, 0.95), Starts("scalp", 6, 0.93), Starts("rim", 6, 0.84)),
    ),
)
#: A brain that agrees less than this with the template's is looked for further.
GOOD_AGREEMENT = 0.55
#: So much better must a further search's answer be to be believed, and one that lies another way up
#: than the header says: a head that fits badly everywhere (a tumour, huge ventricles) fits a little
#: less badly upside down.
BETTER, CLEARLY_BETTER = 0.02, 0.05
#: Turned further than this against the header is another way up, degrees.
OTHER_WAY_DEGREES = 60.0
#: Two transforms nearer than this are one candidate, mm.
SAME_MM = 8.0


@dataclass(frozen=True)
class Registration:
    """Affine transforms of several heads to the template, and how well each fits.

    Parameters
    ----------
    transforms
        Template mm (from its centre) to frame mm, shape (heads, 3, 4).
    agreement
        Weighted correlation with what was fitted to, shape (heads,).
    brain_agreement
        Correlation inside the template's brain, shape (heads,).
    searched_wide
        Whether the usual position did not fit, shape (heads,).
    """

    transforms: Array
    agreement: NDArray[np.float64]
    brain_agreement: NDArray[np.float64]
    searched_wide: NDArray[np.bool_]


@dataclass(frozen=True)
class Pyramid:
    """Multiresolution pyramid: several heads at 8, 4 and 2 mm, and flattened at 8 mm."""

    flat: Stack
    levels: dict[int, Stack]

    def only(self, heads: NDArray[np.integer]) -> Pyramid:
        """Return some of the heads."""
        return Pyramid(
            _rows(self.flat, heads), {k: _rows(v, heads) for k, v in self.levels.items()}
        )


def build_pyramid(images: Sequence[Array], zooms: Sequence[Sequence[float]]) -> Pyramid:
    """Build the pyramid: each head, of shape (x, y, z) and voxel edges in mm, at 2, 4 and 8 mm."""
    fine = [_limited(resample_cubic(image, z, 2.0)) for image, z in zip(images, zooms, strict=True)]
    middle = [resample_cubic(image, (2.0,) * 3, 4.0) for image in fine]
    low = [resample_cubic(image, (4.0,) * 3, 8.0) for image in middle]
    flat = [_flattened(image, 8.0) for image in low]
    return Pyramid(
        _stacked(flat, 8.0),
        {2: _stacked(fine, 2.0), 4: _stacked(middle, 4.0), 8: _stacked(low, 8.0)},
    )


def register(pyramid: Pyramid) -> Registration:
    """Register each head to the template, whatever its position and orientation."""
    best, searches = _best(pyramid, *SEARCHES[0]), np.ones(len(pyramid.flat.images), dtype=int)
    for further in SEARCHES[1:]:
        poor = np.flatnonzero(to_numpy(best.agreement) < GOOD_AGREEMENT)
        if len(poor):
            fit = _best(pyramid.only(poor), *further)
            best = _replace_where_better(best, fit, poor)
            searches[poor] += 1
    model = best.transforms
    best = fit_affine(
        pyramid.levels[4], best, target_at(model, 4, every=2), Schedule(20, robust=True)
    )
    best = fit_affine(
        pyramid.levels[2], best, target_at(model, 2, every=4), Schedule(4, robust=True)
    )
    brain = brain_agreement(pyramid, best)
    return Registration(best.transforms, to_numpy(best.agreement), to_numpy(brain), searches == 3)


def brain_agreement(pyramid: Pyramid, fit: Fit) -> Array:
    """Return the correlation inside the template's brain alone, at 2 mm, shape (problems,)."""
    target = target_at(fit.transforms, 2, "brain", "brain", order=3, every=4)
    return fit_affine(pyramid.levels[2], fit, target, Schedule(0)).agreement


def warp(stack: Stack, transforms: Array) -> Array:
    """Resample each head to the standard grid, shape (heads, *STANDARD_GRID.shape)."""
    xp = array_namespace(stack.images)
    points = like(load_template()[2].points_mm.reshape(3, -1), stack.images)
    heads = xp.arange(len(transforms), device=device(stack.images))
    values = sample(stack.images, heads, voxels_of(stack, heads, transforms, points))
    return xp.reshape(values, (-1, *STANDARD_GRID.shape))


def refine(
    scans: Sequence[Image],
    masks: Sequence[Mask],
    seen: Sequence[Mask],
) -> Registration:
    """Refine a registration by the brain alone, which skull and scalp can no longer mislead.

    Parameters
    ----------
    scans
        Heads on the standard grid, each of shape `STANDARD_GRID.shape`, without coil sensitivity.
    masks
        Their brains.
    seen
        What of the grid lies in their fields of view.

    Returns
    -------
    Registration
        From the template's millimetres to those the scans are in now.
    """
    brains = [_brain_alone(scan, mask) for scan, mask in zip(scans, masks, strict=True)]
    stack = _stacked([resample_cubic(brain, (2.0,) * 3, 4.0) for brain in brains], 4.0)
    heads = np.arange(len(brains))
    start = np.tile(np.eye(3, 4, dtype=np.float32), (len(brains), 1, 1))
    fit = Fit(start, np.zeros(len(brains), np.float32), heads)
    # At 2 mm the fit follows single gyri, which are nobody's but the template's (measured: worse).
    schedule = Schedule(30, robust=True, tolerance_mm=0.01, scale_prior=False)
    target = target_at(start, 4, "brain", "brain")
    # Around the brain there is nothing, seen or not; only brain that was not seen must not count.
    lost = [(m & ~s).astype(np.float32) for m, s in zip(masks, seen, strict=True)]
    hidden = _stacked(lost, 2.0)
    there = sample(hidden.images, heads, voxels_of(hidden, heads, start, target.points))
    target = replace(target, weights=target.weights * (there < 0.01))
    fit = fit_affine(stack, fit, target, schedule)
    near = warp(_stacked(brains, 2.0), fit.transforms)
    views = warp(hidden, fit.transforms) < 0.01
    bent = [_affine_when_bent(brain, view) for brain, view in zip(near, views, strict=True)]
    both = [compose(t, b) for t, b in zip(fit.transforms, bent, strict=True)]
    fit = replace(fit, transforms=np.stack(both).astype(np.float32))
    fit = fit_affine(stack, fit, target, Schedule(0))  # only to measure
    return Registration(fit.transforms, fit.agreement, fit.agreement, heads < 0)


def _affine_when_bent(brain: Image, seen: Mask) -> NDArray[np.float64]:
    """Return the affine part of what bends the template's brain into one that lies near it."""
    seen = away_from_edge(seen)
    return affine_part(displacement(brain, "brain", seen), seen)


def _brain_alone(flat: Image, mask: Mask) -> Image:
    """Return the brain of a bias-free scan with white matter at 0.8 and nothing around it."""
    level = load_template()[2]
    white = flat[(level.white > 0.85) & mask]
    limit = 1.25 * float(np.median(white)) if white.size else 1.0
    return np.where(mask, flat / limit, 0).clip(0, 1).astype(np.float32)


def compose(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the transform of shape (3, 4) that does `second`, then `first`."""
    both = first[:, :3].astype(np.float64) @ second
    both[:, 3] += first[:, 3]
    return np.asarray(both)


def _best(
    pyramid: Pyramid,
    turns: Sequence[coarse.Turn],
    starts: Sequence[Starts],
) -> Fit:
    """Try many starts and return one transform a head, judged by the fit of the brain."""
    model = pyramid.flat.images
    overall = target_at(model, 8, every=2)
    fits = []
    for some in starts:
        fit = coarse.search_rotations(
            pyramid.flat, turns, some.scale, some.weight, some.keep, some.cut
        )
        target = target_at(model, 8, weight=some.weight, every=2)
        fit = fit_affine(
            pyramid.levels[8], fit, target, Schedule(8, similarity=True, tolerance_mm=0.3)
        )
        fit = fit_affine(pyramid.levels[8], fit, target, Schedule(5, tolerance_mm=0.3))
        fits.append(fit_affine(pyramid.levels[8], fit, overall, Schedule(0)))
    candidates = _distinct(_together(fits), 4)
    candidates = fit_affine(
        pyramid.levels[4], candidates, target_at(model, 4, every=4), Schedule(8, tolerance_mm=0.2)
    )
    candidates = _distinct(candidates, 2)
    return _distinct(replace(candidates, agreement=brain_agreement(pyramid, candidates)), 1)


def _together(fits: Sequence[Fit]) -> Fit:
    xp = array_namespace(fits[0].transforms)
    return Fit(
        xp.concat([f.transforms for f in fits]),
        xp.concat([f.agreement for f in fits]),
        xp.concat([f.heads for f in fits]),
    )


def _distinct(fit: Fit, keep: int) -> Fit:
    """Keep each head's best few problems that differ from one another, best first, head by head."""
    agreement, heads = to_numpy(fit.agreement), to_numpy(fit.heads)
    transforms = to_numpy(fit.transforms)
    rows: list[int] = []
    for head in np.unique(heads):
        mine: list[int] = []
        for row in sorted(np.flatnonzero(heads == head), key=lambda r: -agreement[r]):
            apart = [_distance(transforms[row] - transforms[other]) for other in mine]
            if len(mine) < keep and all(distance > SAME_MM for distance in apart):
                mine.append(int(row))
        rows += mine
    return fit.take(np.array(rows))


def _distance(difference: NDArray[np.floating]) -> float:
    """Return about how far apart two transforms move a point of the brain's surface, mm."""
    return float(60 * np.linalg.norm(difference[:, :3]) + np.linalg.norm(difference[:, 3]))


def _replace_where_better(best: Fit, wide: Fit, rows: NDArray[np.integer]) -> Fit:
    """Take the further search's transform where it fits clearly better."""
    old, new = to_numpy(best.agreement), to_numpy(wide.agreement)
    order = np.arange(len(old))
    turned = [turned_degrees(t) > OTHER_WAY_DEGREES for t in to_numpy(wide.transforms)]
    better = new > old[rows] + np.where(turned, CLEARLY_BETTER, BETTER)
    order[rows[better]] = len(old) + np.flatnonzero(better)
    both = _together([best, replace(wide, heads=best.take(rows).heads)])
    return both.take(order)


def _limited(image: Array) -> Array:
    """Scale brightness so that 1 is `BRIGHT_LIMIT` medians of the head, and cut it there."""
    values = to_numpy(image)[::2, ::2, ::2].clip(0)
    head = values[values > 0.5 * _between_dark_and_bright(values)]
    limit = BRIGHT_LIMIT * float(np.median(head)) if head.size else 1.0
    return array_namespace(image).clip(image / limit, 0.0, 1.0)


def _between_dark_and_bright(values: Image) -> float:
    """Return the isodata threshold: the level half way between the means below and above it.

    However little of the field of view the head fills: a quantile would lie in the air's noise.

    References
    ----------
    Ridler & Calvard 1978, Picture thresholding using an iterative selection method,
    doi:10.1109/TSMC.1978.4310039.
    """
    values = values[values < np.quantile(values, 0.9995)]
    level = float(values.mean()) if values.size else 0.0
    for _ in range(20):
        bright = values > level
        if not 0 < bright.sum() < values.size:
            break
        level = float(values[bright].mean() + values[~bright].mean()) / 2
    return level


def _flattened(image: Array, step_mm: float) -> Array:
    """Divide by the mean brightness of the head round about."""
    xp = array_namespace(image)
    image = xp.clip(image, 0.0, BRIGHT)
    head = xp.astype(image > AIR, image.dtype)
    total, count = _smoothed(image * head, step_mm), _smoothed(head, step_mm)
    around = total / xp.maximum(count, 0 * count + 0.05)
    return xp.clip(image / (around + 0.05 * BRIGHT), 0.0, 2.0)


def _smoothed(image: Array, step_mm: float) -> Array:
    """Smooth with a Gaussian of `FLATTEN_MM`, nothing coming in from outside."""
    for axis, n in enumerate(image.shape):
        apart = (np.arange(n)[:, None] - np.arange(n)) * step_mm / FLATTEN_MM
        weights = np.exp(-0.5 * apart**2)
        image = apply_along(like(weights / weights.sum(axis=1).max(), image), image, axis)
    return image


def _stacked(images: Sequence[Array], step_mm: float) -> Stack:
    """Put images of different shapes into one array, zeros at the far ends."""
    xp = array_namespace(images[0])
    shapes = np.array([image.shape for image in images])
    full = xp.zeros(
        (len(images), *(int(n) for n in shapes.max(axis=0))),
        dtype=images[0].dtype,
        device=device(images[0]),
    )
    for row, image in enumerate(images):
        x, y, z = image.shape
        full[row, :x, :y, :z] = image
    return Stack(full, step_mm, like((shapes - 1) / 2, images[0]))


def _rows(stack: Stack, rows: NDArray[np.integer]) -> Stack:
    xp = array_namespace(stack.images)
    where = xp.asarray(rows, device=device(stack.images))
    return Stack(
        xp.take(stack.images, where, axis=0), stack.step_mm, xp.take(stack.centres, where, axis=0)
    )
