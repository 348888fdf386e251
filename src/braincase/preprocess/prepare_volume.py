"""Preprocess one T1-weighted scan to the standard volume: registration, brain extraction, N4."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from braincase.cohort.view import ViewChoice, ViewVolume
from braincase.errors import ParameterError
from braincase.images.geometry import STANDARD_GRID, Affine, Grid
from braincase.images.volume import Volume
from braincase.json_values import Json, JsonObject
from braincase.preprocess import bias
from braincase.preprocess.bias import bias_field
from braincase.preprocess.brain import brain_mask, is_skull_stripped, stripped_mask
from braincase.preprocess.extract import EXTRACTORS, extract_natively
from braincase.preprocess.intensity import NORMALISATIONS, WHITE_LEVEL
from braincase.preprocess.registration.affine import (
    Registration,
    build_pyramid,
    compose,
    refine,
    register,
    warp,
)
from braincase.preprocess.registration.coil import smooth_bias
from braincase.preprocess.space import standard
from braincase.preprocess.space.field_of_view import covered, seen_on_grid
from braincase.preprocess.space.sampling import Array, Image, Mask, to_numpy
from braincase.preprocess.space.view import view_of

#: What the numbers in a prepared volume depend on. Raise `chain` when they change.
RECIPE: JsonObject = MappingProxyType(
    {
        "chain": 3,
        "template": "MNI152NLin2009aSym",
        "affine": "12 parameters, head, brain, bent brain",
        "blur_mm2": standard.BLUR_MM2,
        "bias": "N4",
        "bias_iterations": list(bias.ITERATIONS),
        "bias_shrink": bias.SHRINK,
        "white_level": WHITE_LEVEL,
    }
)
#: Voxels finer than this are halved in number before anything is done: the standard is 2 mm.
FINEST_MM = 0.6
#: This quantile of a scan is taken for air.
AIR_QUANTILE = 0.01


@dataclass(frozen=True)
class Measured:
    """Measures that the chain takes on its way, for `braincase.preprocess.quality.verdict`.

    Parameters
    ----------
    head_agreement
        Weighted correlation of the scan with the template's head, -1 to 1.
    brain_agreement
        Correlation with the template inside its brain, before the second affine, -1 to 1.
    masked_agreement
        Weighted correlation of the extracted brain with the template's, -1 to 1.
    searched_wide
        Whether the usual position did not fit, so that every way up was tried.
    turned_degrees
        Angle between the header's axes and MNI152's.
    scales
        How much larger than the template the head is, along its three main axes, largest first.
    skull_stripped
        Whether the input had no skull and scalp.
    brain_ml
        Volume of the brain mask in native space.
    inside
        Share of the template's brain that the scan's field of view covers.
    """

    head_agreement: float
    brain_agreement: float
    masked_agreement: float
    searched_wide: bool
    turned_degrees: float
    scales: tuple[float, float, float]
    skull_stripped: bool
    brain_ml: float
    inside: float


@dataclass(frozen=True, eq=False)
class Prepared:
    """A preprocessed scan: the skull-stripped volume in MNI space, its mask and its transform.

    Parameters
    ----------
    volume
        The brain on the grid (the whole head where the recipe says so), 0 outside, 255 is 1.0.
    native_to_mni
        Native RAS+ mm to MNI152 RAS+ mm, shape (4, 4).
    mask
        The brain on the grid, as far as the scan's field of view reaches.
    head
        The whole scan on the grid, not masked and not cut at 1, brightness as in `volume`.
    measured
        What the chain saw.
    recipe
        How it was made; volumes are comparable when their recipes are equal.
    view
        The scan as it was, to look at, where that was wanted.
    """

    volume: NDArray[np.uint8]
    native_to_mni: Affine
    mask: Mask
    head: Image
    measured: Measured
    recipe: JsonObject
    view: ViewVolume | None = None


def recipe_of(
    grid: Grid = STANDARD_GRID,
    intensity: str = "white-matter",
    extraction: str = "watershed",
    strip: bool = True,
) -> dict[str, Json]:
    """Return the preprocessing recipe: all that a prepared volume's numbers depend on, as JSON.

    Without `strip` it says so in an entry of its own; others are as they were before there was one.

    Raises
    ------
    ParameterError
        If there is no such intensity or extraction.
    """
    _check_choice("intensity", intensity, NORMALISATIONS)
    _check_choice("extraction", extraction, EXTRACTORS)
    return {
        **RECIPE,
        "resolution_mm": grid.resolution_mm,
        "intensity": intensity,
        "extraction": extraction,
        **({} if strip else {"strip": False}),
    }


def prepare_volume(
    volume: Volume,
    grid: Grid = STANDARD_GRID,
    intensity: str = "white-matter",
    extraction: str = "watershed",
    strip: bool = True,
    view: ViewChoice | None = None,
) -> Prepared:
    """Bring one T1-weighted scan, whole head or skull-stripped, to the standard form.

    Parameters
    ----------
    volume
        The scan as it is.
    grid
        Where to.
    intensity
        ``white-matter`` or ``gamma18`` (see `braincase.preprocess.intensity`).
    extraction
        ``watershed``, or the name of an installed tool: ``hd-bet``, ``synthstrip``.
    strip
        Whether the skull is taken off; without, the volume shows the whole head, face included.
    view
        Which view volume is wanted too; it is none of what the recipe decides.

    Raises
    ------
    ParameterError
        If there is no such intensity or extraction, or the tool is not installed.
    """
    return prepare_batch([volume], grid, intensity, extraction, strip=strip, view=view)[0]


def prepare_batch(
    volumes: Sequence[Volume],
    grid: Grid = STANDARD_GRID,
    intensity: str = "white-matter",
    extraction: str = "watershed",
    device: str | None = None,
    strip: bool = True,
    view: ViewChoice | None = None,
) -> list[Prepared]:
    """Bring several scans to the standard form together, with the result of one by one.

    One thread does it, whatever the caller's limits: more only wait for each other (measured), and
    the numbers do not depend on how many there are. For several cores see `braincase.parallel`.

    Parameters
    ----------
    volumes, grid, intensity, extraction, strip, view
        As in `prepare_volume`.
    device
        Where registration and resampling run: None for NumPy, or a torch device (``cuda``).
    """
    recipe = recipe_of(grid, intensity, extraction, strip)
    with threadpool_limits(1):
        return _prepare(volumes, grid, recipe, device, view)


def _prepare(
    volumes: Sequence[Volume],
    grid: Grid,
    recipe: JsonObject,
    device: str | None,
    view: ViewChoice | None,
) -> list[Prepared]:
    """Register all scans together, then finish each by itself."""
    volumes = [_no_finer(volume) for volume in volumes]
    extraction = str(recipe["extraction"])
    put = _putter(device)
    images = [put(_from_zero(volume.data)) for volume in volumes]
    pyramid = build_pyramid(images, [tuple(volume.zooms_mm) for volume in volumes])
    first = register(pyramid)
    rough = to_numpy(warp(pyramid.levels[2], first.transforms))
    placed = [_placed(v, t) for v, t in zip(volumes, first.transforms, strict=True)]
    seen = [seen_on_grid(p, v.shape) for p, v in zip(placed, volumes, strict=True)]
    scans = [
        _Scan(volume, image, is_skull_stripped(scan, view), extract_natively(volume, extraction))
        for volume, image, scan, view in zip(volumes, images, rough, seen, strict=True)
    ]
    flat = [scan / smooth_bias(scan) for scan in rough]
    on_grid = zip(scans, rough, placed, seen, flat, strict=True)
    second = refine(flat, [scan.mask(*there) for scan, *there in on_grid], seen)
    return [_finish(s, row, first, second, grid, recipe, view) for row, s in enumerate(scans)]


@dataclass(frozen=True, eq=False)
class _Scan:
    """One scan on its way: as read, and what the first look told about its brain."""

    volume: Volume
    image: Array
    stripped: bool
    native_mask: Mask | None

    def mask(self, on_grid: Image, to_voxel: Affine, seen: Mask, flat: Image | None = None) -> Mask:
        """Return the brain on the standard grid, of a scan that is there already."""
        if self.native_mask is not None:
            native = self.native_mask.astype(np.float32)
            return np.asarray(standard.to_standard(native, self.volume.zooms_mm, to_voxel) > 0.5)
        extract = stripped_mask if self.stripped else brain_mask
        return extract(on_grid, seen, flat)

    def view(
        self, to_voxel: Affine, on_grid: Image, mask: Mask, choice: ViewChoice | None
    ) -> ViewVolume | None:
        """Return the view volume, where one is wanted."""
        if choice is None:
            return None
        zooms = self.volume.zooms_mm
        return view_of(self.image, zooms, to_voxel, on_grid, mask, choice, self.stripped)


def _placed(volume: Volume, transform: Array) -> Affine:
    """Return the affine from MNI mm to a scan's voxels, shape (4, 4)."""
    return standard.mni_to_voxel(to_numpy(transform), volume.shape, volume.zooms_mm)


def _finish(
    scan: _Scan,
    row: int,
    first: Registration,
    second: Registration,
    grid: Grid,
    recipe: JsonObject,
    view: ViewChoice | None,
) -> Prepared:
    """Resample, extract, remove the bias field and normalise one registered scan."""
    transform = compose(to_numpy(first.transforms[row]), to_numpy(second.transforms[row]))
    to_voxel = _placed(scan.volume, transform)
    native_to_mni = np.asarray(np.linalg.inv(scan.volume.affine @ to_voxel), np.float64)
    head = to_numpy(standard.to_standard(scan.image, scan.volume.zooms_mm, to_voxel))
    seen = seen_on_grid(to_voxel, scan.volume.shape)
    mask = scan.mask(head, to_voxel, seen) & seen
    as_scanned = scan.view(to_voxel, head, mask, view)
    normalise = NORMALISATIONS[str(recipe["intensity"])]
    head = normalise(np.divide(head, bias_field(head, mask)), mask)
    shown = np.where(mask | (not recipe.get("strip", True)), head.clip(0, 1), np.float32(0))
    measured = Measured(
        head_agreement=float(first.agreement[row]),
        brain_agreement=float(first.brain_agreement[row]),
        masked_agreement=float(second.agreement[row]),
        searched_wide=bool(first.searched_wide[row]),
        turned_degrees=standard.turned_degrees(native_to_mni),
        scales=standard.scales_of(scan.volume.affine @ to_voxel),
        skull_stripped=scan.stripped,
        brain_ml=float(mask.sum() * 8e-3 / abs(np.linalg.det(native_to_mni[:3, :3]))),
        inside=covered(to_voxel, scan.volume.shape),
    )
    return Prepared(
        np.rint(255 * standard.to_grid(shown.astype(np.float32), grid)).astype(np.uint8),
        native_to_mni,
        standard.to_grid(mask.astype(np.float32), grid) > 0.5,
        standard.to_grid(head, grid),
        measured,
        recipe,
        as_scanned,
    )


def _no_finer(volume: Volume) -> Volume:
    """Take the means of two voxels along each axis finer than `FINEST_MM`."""
    data, affine = volume.data, volume.affine
    for axis, zoom in enumerate(volume.zooms_mm):
        if zoom < FINEST_MM and data.shape[axis] > 1:
            along = np.moveaxis(data, axis, 0)
            even = along.shape[0] // 2 * 2
            mean = np.add(along[0:even:2], along[1:even:2])
            mean *= np.float32(0.5)
            data = np.moveaxis(mean, 0, axis)
            step = np.eye(4)
            step[axis, axis], step[axis, 3] = 2, 0.5
            affine = affine @ step
    if data is volume.data:
        return volume
    return replace(volume, data=np.ascontiguousarray(data), affine=affine)


def _from_zero(image: Image) -> Image:
    """Shift brightness so that the air around the head is near 0; some exports add an offset."""
    air = np.quantile(image[::4, ::4, ::4], AIR_QUANTILE)
    return image - np.float32(air) if air else image


def _putter(device: str | None) -> Callable[[Image], Array]:
    """Return what brings a NumPy array to where the work is done; only here torch may be met."""
    if device is None:
        return lambda image: image
    import torch

    return lambda image: torch.from_numpy(np.ascontiguousarray(image)).to(device)


def _check_choice(parameter: str, name: str, choices: Mapping[str, object]) -> None:
    if name not in choices:
        raise ParameterError(parameter, repr(name), " or ".join(choices))
