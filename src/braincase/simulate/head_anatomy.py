"""A digital phantom of a whole human head, drawn layer over layer in MNI space.

The brain is the ICBM152 2009a symmetric template that nilearn carries (Fonov et al. 2011). All that
surrounds it is invented but plausible: cerebrospinal fluid, skull with marrow, scalp, face, eyes,
airways, neck and spine, mostly as functions of the distance to the brain. Each is painted over what
lies behind it, so a tissue can be given any intensity and the same head can be seen as T1w, T2w,
FLAIR, proton density or CT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from braincase.images.geometry import STANDARD_GRID
from braincase.images.icbm152 import read_icbm152

Array = NDArray[np.float32]

TISSUES = ("air", "csf", "gm", "wm", "bone", "marrow", "fat", "muscle", "skin", "eye")
#: Signal of each tissue, white matter 1 (CT: Hounsfield units). Plausible, not measured.
CONTRASTS: Mapping[str, Mapping[str, float]] = {
    name: dict(zip(TISSUES, signals, strict=True))
    for name, signals in {
        "T1w": (0, 0.25, 0.68, 1, 0.08, 0.65, 1.25, 0.5, 0.6, 0.25),
        "T2w": (0, 2.2, 1.3, 1, 0.08, 0.6, 1.1, 0.45, 0.5, 2.2),
        "FLAIR": (0, 0.12, 1.25, 1, 0.08, 0.5, 1.1, 0.6, 0.5, 0.12),
        "PD": (0, 1.15, 1.22, 1, 0.1, 0.6, 1.0, 0.8, 0.7, 1.15),
        "CT": (-1000, 8, 37, 29, 1100, 450, -90, 55, 40, 15),
    }.items()
}

#: The box of MNI space in which people differ from the template: first corner and edge, mm.
FIELD_FROM_MM = np.array([-124.0, -156.0, -180.0])
FIELD_STEP_MM = 4.0
FIELD_SHAPE = (63, 73, 75)


@dataclass(frozen=True)
class Template:
    """The template brain at 1 mm: tissue shares, brain mask, signed distance to its edge in mm."""

    gm: Array
    wm: Array
    brain: Array
    distance: Array
    corner_mm: NDArray[np.float64]


@dataclass(frozen=True)
class HeadAnatomy:
    """The anatomy of one invented head: where the anatomy lies and how thick its layers are.

    Parameters
    ----------
    displacement
        What to add to an MNI position to find the template's, shape (3, *FIELD_SHAPE), mm.
    fluid, skull, scalp
        Thickness of the layers around the brain, shape `FIELD_SHAPE`, mm.
    lumps
        Texture of the soft tissue, shape `FIELD_SHAPE`, about -2 to 2.
    neck_radius_mm
        Half the width of the neck.
    painted
        Lesions, and ventricles larger than the template's: a tissue, and how much of each voxel
        of the standard 2 mm grid it fills in the template's space.
    """

    displacement: Array
    fluid: Array
    skull: Array
    scalp: Array
    lumps: Array
    neck_radius_mm: float
    painted: tuple[tuple[str, Array], ...] = ()


@cache
def load_template() -> Template:
    """Load the template brain at 1 mm (Fonov et al. 2011; ships with nilearn)."""
    (t1, affine), (gm, _), (wm, _) = (read_icbm152(kind) for kind in ("t1", "gm", "wm"))
    inner = _box(t1 > 0)
    brain = np.zeros(t1.shape, bool)
    brain[inner] = ndimage.binary_fill_holes(t1[inner] > 0)
    outside = ndimage.distance_transform_edt(~brain)
    inside = np.zeros(t1.shape)
    inside[inner] = ndimage.distance_transform_edt(brain[inner])
    return Template(
        gm=gm,
        wm=wm,
        brain=brain.astype(np.float32),
        distance=(np.maximum(outside - 0.5, 0) - np.maximum(inside - 0.5, 0)).astype(np.float32),
        corner_mm=affine[:3, 3],
    )


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Return the smallest box with a margin of one voxel that holds a mask."""
    (found,) = ndimage.find_objects(mask.astype(np.uint8))
    return tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in found)


def invent_person(rng: np.random.Generator) -> HeadAnatomy:
    """Draw one person's anatomy; the same generator state gives the same person."""
    warp = [2.6 * _field(rng, 24) + 0.8 * _field(rng, 10) + 0.3 * _field(rng, 6) for _ in range(3)]
    return replace(invent_layers(rng), displacement=np.stack(warp))


def invent_layers(rng: np.random.Generator) -> HeadAnatomy:
    """Draw the layers around the template's own brain, which is not displaced."""
    fluid, skull, scalp = rng.uniform([1.5, 4.5, 4.0], [4.0, 8.0, 9.0])
    return HeadAnatomy(
        displacement=np.zeros((3, *FIELD_SHAPE), np.float32),
        fluid=np.maximum(fluid + 0.8 * _field(rng, 20), 0.4),
        skull=np.maximum(skull + 1.0 * _field(rng, 25), 2.5),
        scalp=np.maximum(scalp + 1.2 * _field(rng, 30), 2.0),
        lumps=_field(rng, 5),
        neck_radius_mm=float(rng.uniform(50, 64)),
    )


def _field(rng: np.random.Generator, sigma_mm: float) -> Array:
    """Return a smooth random field of zero mean and unit variance, shape `FIELD_SHAPE`."""
    noise = rng.standard_normal(FIELD_SHAPE).astype(np.float32)
    smooth = ndimage.gaussian_filter(noise, sigma_mm / FIELD_STEP_MM, mode="wrap")
    return np.asarray((smooth - smooth.mean()) / smooth.std(), np.float32)


def template_points(person: HeadAnatomy, points_mm: Array) -> Array:
    """Return where in the template a person's points lie; both of shape (3, ...), MNI mm."""
    steps = _field_steps(points_mm)
    return np.stack([p + _look_up(d, steps) for p, d in zip(points_mm, person.displacement,
                                                            strict=True)])  # fmt: skip


def brain_share(points_mm: Array) -> Array:
    """Return how much brain is at template points of shape (3, ...): 0 to 1."""
    template = load_template()
    return _look_up(template.brain, points_mm - _column(template.corner_mm, points_mm), outside=0)


def paint(
    person: HeadAnatomy, points_mm: Array, contrast: Mapping[str, float], edge_mm: float = 1.0
) -> tuple[Array, Array]:
    """Return signal and brain share at template points of shape (3, ...).

    Parameters
    ----------
    person
        Whose layers are drawn.
    points_mm
        Template positions, as `template_points` gives them.
    contrast
        The signal of each tissue, one of `CONTRASTS`.
    edge_mm
        Over which distance one layer goes over into the next (partial volume).
    """
    flat = points_mm.reshape(3, -1)
    distance = _distance(flat)
    body = _body(person, flat, distance)
    near = np.flatnonzero(body < edge_mm)  # the rest is air, more than half of most scans
    image = np.full(flat.shape[1], contrast["air"], np.float32)
    brain = np.zeros(flat.shape[1], np.float32)
    image[near], brain[near] = _paint_body(
        person, flat[:, near], contrast, edge_mm, distance[near], body[near]
    )
    return image.reshape(points_mm.shape[1:]), brain.reshape(points_mm.shape[1:])


def _paint_body(
    person: HeadAnatomy,
    points_mm: Array,
    contrast: Mapping[str, float],
    edge_mm: float,
    distance: Array,
    body: Array,
) -> tuple[Array, Array]:
    """Paint layer over layer at points of shape (3, n), given their distances to brain and skin."""
    image = np.full(len(distance), contrast["air"], np.float32)

    def put(tissue: str, signed_mm: NDArray[np.floating]) -> None:
        image[...] += np.clip(0.5 - signed_mm / edge_mm, 0, 1) * (contrast[tissue] - image)

    steps = _field_steps(points_mm)
    fluid, skull, lumps = (
        _look_up(field, steps) for field in (person.fluid, person.skull, person.lumps)
    )
    put("skin", body)
    put("fat", body + 1.8)
    put("muscle", np.maximum(body + 5, 2 * lumps - 2.5))
    for tissue, part in _face_and_throat(points_mm):
        put(tissue, np.maximum(part, body + 3))
    put("bone", distance - fluid - skull)
    put("marrow", np.abs(distance - fluid - skull / 2) - skull / 5)
    for tissue, part in _spine(points_mm):
        put(tissue, part)
    put("csf", distance - fluid)
    brain = brain_share(points_mm)
    within = np.flatnonzero(brain)
    signal = _brain_signal(points_mm[:, within], contrast)
    for tissue, share in person.painted:
        signal += _painted_share(share, points_mm[:, within]) * (contrast[tissue] - signal)
    image[within] += brain[within] * (signal - image[within])
    return image, brain


def _brain_signal(points_mm: Array, contrast: Mapping[str, float]) -> Array:
    """Mix the tissues' signals; the template's blurred shares are sharpened first."""
    template = load_template()
    steps = points_mm - _column(template.corner_mm, points_mm)
    gm, wm = (_look_up(share, steps, outside=0) for share in (template.gm, template.wm))
    shares = [share**2 for share in (np.clip(1 - gm - wm, 0, 1), gm, wm)]
    total = np.maximum(sum(shares), np.float32(1e-6))
    signals = (contrast["csf"], contrast["gm"], contrast["wm"])
    mixed = sum(share * signal for share, signal in zip(shares, signals, strict=True))
    return np.asarray(mixed / total, np.float32)


def _painted_share(share: Array, points_mm: Array) -> Array:
    corner = _column(STANDARD_GRID.affine[:3, 3], points_mm)
    steps = (points_mm - corner) / np.float32(STANDARD_GRID.resolution_mm)
    return _look_up(share, steps, outside=0)


def _distance(points_mm: Array) -> Array:
    """Return the signed distance to the brain's edge, also beyond the template's box, mm."""
    template = load_template()
    steps = points_mm - _column(template.corner_mm, points_mm)
    last = _column(np.array(template.distance.shape) - 1.0, points_mm)
    boxed = np.clip(steps, 0, last).astype(np.float32)
    beyond = np.sqrt(((steps - boxed) ** 2).sum(axis=0))
    return np.asarray(_look_up(template.distance, boxed) + beyond, np.float32)


def _body(person: HeadAnatomy, points_mm: Array, distance: Array) -> Array:
    """Return the signed distance to the skin: the union of cranium, face and neck, mm."""
    x, y, z = points_mm
    calvaria = distance - _look_up(person.fluid + person.skull + person.scalp,
                                   _field_steps(points_mm))  # fmt: skip
    face = _ellipsoid(points_mm, (0, 38, -62), (64, 58, 66))
    radius = person.neck_radius_mm
    neck = np.sqrt(x**2 + ((y + 34 - 0.25 * (z + 110)) * 0.9) ** 2) - radius
    neck = np.maximum(neck, z + 50)
    return _smooth_min(_smooth_min(calvaria, face), neck)


def _face_and_throat(points_mm: Array) -> list[tuple[str, Array]]:
    """Return jaw, airways and eyes from back to front: tissue and signed distance in mm."""
    x = points_mm[0]
    side = np.stack([np.abs(x), *points_mm[1:]])
    throat = np.hypot(x, points_mm[1] - 2) - 8
    return [
        ("bone", np.abs(_ellipsoid(points_mm, (0, 32, -92), (50, 48, 26))) - 4),
        ("air", np.maximum(throat, points_mm[2] + 70)),
        ("air", _ellipsoid(side, (9, 52, -52), (6, 28, 18))),
        ("air", _ellipsoid(side, (28, 46, -58), (12, 16, 14))),
        ("air", _ellipsoid(points_mm, (0, 78, -8), (16, 5, 9))),
        ("fat", _ellipsoid(side, (31, 50, -34), (17, 27, 16))),
        ("muscle", _ellipsoid(side, (31, 40, -34), (3, 18, 3))),
        ("eye", _ellipsoid(side, (32, 62, -34), (12, 12, 12))),
    ]


def _spine(points_mm: Array) -> list[tuple[str, Array]]:
    """Return vertebrae, canal and cord below the brain, from back to front."""
    x, y, z = points_mm
    below = z + 72
    cord = np.hypot(x, y + 45 - 0.1 * below)
    body = np.hypot(x, y + 25 - 0.1 * below)
    gap = 6 - np.abs(np.mod(z, 18) - 9)
    return [
        ("bone", np.maximum(body - 13, below + 8)),
        ("marrow", np.maximum(np.maximum(body - 11, -gap), below + 9)),
        ("bone", np.maximum(cord - 14, below + 8)),
        ("csf", np.maximum(cord - 9, below)),
        ("wm", np.maximum(cord - 5.5, below)),
    ]


def _ellipsoid(points_mm: Array, centre: tuple[float, ...], radii: tuple[float, ...]) -> Array:
    """Return the approximate signed distance to an ellipsoid, mm."""
    scaled = (points_mm - _column(np.array(centre), points_mm)) / _column(
        np.array(radii), points_mm
    )
    return np.asarray((np.sqrt((scaled**2).sum(axis=0)) - 1) * min(radii), np.float32)


def _smooth_min(a: Array, b: Array, blend_mm: float = 12.0) -> Array:
    """Return the smaller of two distances, rounded where they meet (Quilez' polynomial)."""
    weight = np.clip(0.5 + 0.5 * (b - a) / blend_mm, 0, 1)
    return np.asarray(b + (a - b) * weight - blend_mm * weight * (1 - weight), np.float32)


def _field_steps(points_mm: Array) -> Array:
    return np.asarray((points_mm - _column(FIELD_FROM_MM, points_mm)) / FIELD_STEP_MM, np.float32)


def _column(values: NDArray[np.float64], like: Array) -> Array:
    column: Array = np.asarray(values, np.float32)
    return column.reshape(3, *([1] * (like.ndim - 1)))


def _look_up(field: Array, steps: Array, outside: float | None = None) -> Array:
    """Interpolate linearly at array positions of shape (3, ...)."""
    mode, value = ("nearest", 0.0) if outside is None else ("constant", outside)
    values = ndimage.map_coordinates(field, steps, order=1, mode=mode, cval=value, prefilter=False)
    return np.asarray(values, np.float32)
