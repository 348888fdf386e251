"""View volumes of simulated people: their own brain, imaged finer, in one of a few painted heads.

The brain is that of the standard volume: the same deformation, lesions, scanner, contrast, shading
and what registration leaves, so that it lies where the standard volume has it; only the noise is
drawn anew. Skull, scalp and face are painted (`braincase.simulate.head_anatomy`) around the
template's brain for `HEADS` invented heads and deformed with the person's brain: to paint them for
each person would take ten times as long.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter, map_coordinates

from braincase.cohort.view import SLOPE, ViewChoice, ViewVolume
from braincase.images.geometry import VIEW_GRIDS, Grid
from braincase.simulate.conditions import CONDITIONS
from braincase.simulate.fields import FIELD_GRID, Field
from braincase.simulate.head_anatomy import CONTRASTS, invent_layers, paint
from braincase.simulate.imaging import (
    BACKGROUND,
    Map,
    drawn_by,
    left_by_registration,
    lesions_of,
    with_lesions,
)
from braincase.simulate.lesions import LESION_GRID
from braincase.simulate.people import SimulatedVisit
from braincase.simulate.scanners import SCANNERS, template_on

#: How many heads are painted.
HEADS = 4
#: Heads are painted on this grid: larger than a view's by what a deformation moves.
HEAD_GRID = Grid(2, 24)
#: Signal of the template's white matter, for which tissues' contrasts have 1.
WHITE = 0.9
#: Voxel edge of the template's brain, mm.
BRAIN_MM = 1.0


def simulate_view(visit: SimulatedVisit, backward: Field, choice: ViewChoice) -> ViewVolume:
    """Return the view volume of a simulated visit; the same arguments give the same bits.

    Parameters
    ----------
    visit
        Who, when and on which scanner.
    backward
        What `braincase.simulate.imaging.backward_of` gives for it.
    choice
        What is wanted.
    """
    grid, scanner = VIEW_GRIDS[choice.resolution_mm], SCANNERS[visit.scanner]
    rng = np.random.default_rng((*visit.person.seed, 2, visit.number))  # as the standard volume has
    place = left_by_registration(_came_from(backward, grid), scanner, rng)
    head, brain = _painted(visit, place.reshape(3, -1), choice.brain_only)
    gamma, shading = drawn_by(scanner, rng)
    image = np.power(head, gamma, where=head > 0, out=head).reshape(grid.shape)
    image = gaussian_filter(image, scanner.blur_mm / grid.resolution_mm / 2)
    image *= np.exp(_finer(shading, grid)[0])
    noise = np.random.default_rng((*visit.person.seed, 6, visit.number))
    real, imaginary = scanner.noise * noise.standard_normal((2, *grid.shape), dtype=np.float32)
    image = np.hypot(image + real, imaginary)
    if choice.brain_only:
        image *= brain.reshape(grid.shape)
    level = 255 / SLOPE / np.percentile(image.ravel()[brain], 99)
    voxels = np.rint((image * np.float32(level)).clip(0, 255)).astype(np.uint8)
    return ViewVolume(voxels, grid, choice.brain_only, choice.brain_only)


def _came_from(backward: Field, grid: Grid) -> Map:
    """Return where in the template (mm from the standard field's corner) each voxel came from."""
    own = np.indices(grid.shape, dtype=np.float32)
    own += np.float32(0.5 - grid.around_mm / grid.resolution_mm)
    own *= grid.resolution_mm
    return np.asarray(own + _finer(backward, grid), np.float32)


def _finer(field: Field, grid: Grid) -> Map:
    """Interpolate a field of `FIELD_GRID`, shape (n, x, y, z), on a view grid, edges continued."""
    for axis in range(3):
        moved = np.moveaxis(field, axis + 1, -1)
        field = np.moveaxis(moved @ _weights(grid, axis).T, -1, axis + 1)
    return np.ascontiguousarray(field, np.float32)


@cache
def _weights(grid: Grid, axis: int) -> Map:
    """Return the weights of linear interpolation along an axis, (view voxels, field voxels)."""
    n = FIELD_GRID.shape[axis]
    own_mm = (np.arange(grid.shape[axis]) + 0.5) * grid.resolution_mm - grid.around_mm
    steps = np.clip(own_mm / FIELD_GRID.resolution_mm - 0.5, 0, n - 1)
    weights = np.clip(1 - np.abs(steps[:, None] - np.arange(n)), 0, None)
    return np.asarray(weights, np.float32)


def _painted(
    visit: SimulatedVisit, place_mm: Map, brain_only: bool
) -> tuple[Map, NDArray[np.bool_]]:
    """Return signal at places of the template, shape (3, n), and where the brain is."""
    number = int(np.random.default_rng((*visit.person.seed, 5)).integers(HEADS))
    head = np.zeros(place_mm.shape[1], np.float32)
    part = _at(_body(number), HEAD_GRID, place_mm)
    layers = np.flatnonzero((part == _AROUND) | (part == _EDGE))
    near = np.flatnonzero(part >= _EDGE)
    if not brain_only:
        steps = (place_mm[:, layers] + HEAD_GRID.around_mm) / HEAD_GRID.resolution_mm - 0.5
        head[layers] = _sampled(_head(number), steps)
    there = place_mm[:, near]
    t1 = _sampled(_brain_on(visit.scanner), there / np.float32(BRAIN_MM) - np.float32(0.5))
    lesions = lesions_of(visit)
    ill = np.flatnonzero(_at(binary_dilation(lesions > 0), LESION_GRID, there))
    lesion = _sampled(lesions, there[:, ill] / LESION_GRID.resolution_mm - 0.5)
    t1[ill] = with_lesions(t1[ill], lesion, CONDITIONS[visit.person.diagnosis].lesions)
    t1 = np.clip(t1, 0, 1)
    head[near] = np.maximum(head[near], t1)
    brain = np.zeros(len(head), bool)
    brain[near] = t1 > BACKGROUND
    return head, brain


@cache
def _brain_on(scanner: str) -> Map:
    return template_on(scanner, BRAIN_MM)


@cache
def _head(number: int) -> Map:
    """Paint the layers around the template's brain, and fluid in its place, on `HEAD_GRID`."""
    contrast = {**CONTRASTS["T1w"]}
    contrast["gm"] = contrast["wm"] = contrast["csf"]
    layers = invent_layers(np.random.default_rng([number, 7]))
    image, _ = paint(layers, HEAD_GRID.points_mm(), contrast, edge_mm=2.0)
    return image * np.float32(WHITE)


#: What `_body` calls the layers around the brain, its edge, and its inside; air is 0.
_AROUND, _EDGE, _INSIDE = 1, 2, 3


@cache
def _body(number: int) -> NDArray[np.uint8]:
    """Return which voxels of `HEAD_GRID` are air, head, the brain's edge and its inside."""
    body = np.where(binary_dilation(_head(number) > 0), _AROUND, 0)
    t1 = template_on(next(iter(SCANNERS)), HEAD_GRID.resolution_mm)
    brain = np.pad(t1 > BACKGROUND, HEAD_GRID.around_mm // HEAD_GRID.resolution_mm)
    body[binary_dilation(brain, iterations=2)] = _EDGE
    body[binary_erosion(brain, iterations=2)] = _INSIDE
    return np.asarray(body, np.uint8)


def _at(labels: NDArray[np.generic], grid: Grid, place_mm: Map) -> NDArray[np.uint8]:
    """Return the labels of the voxels of a grid in which places lie."""
    index = np.zeros(place_mm.shape[1], np.int32)
    for axis, n in enumerate(grid.shape):
        steps = (place_mm[axis] + np.float32(grid.around_mm)) / np.float32(grid.resolution_mm)
        index = index * np.int32(n) + np.clip(steps.astype(np.int32), 0, n - 1)
    return np.asarray(labels.ravel()[index], np.uint8)


def _sampled(image: Map, steps: NDArray[np.floating]) -> Map:
    return np.asarray(map_coordinates(image, steps, order=1, prefilter=False), np.float32)
