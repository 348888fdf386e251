"""Image formation: from a simulated visit to what a scanner would show of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from braincase.images.atlas import side_of
from braincase.images.geometry import Grid
from braincase.simulate.atrophy import (
    PARTS,
    ageing_years,
    base_change,
    deviations_factor,
    disease_of_ad,
    load_effects,
    of_parts,
    part_maps,
    pattern,
    velocity_of_changes,
    volumes_after,
)
from braincase.simulate.conditions import CONDITIONS, LesionKind
from braincase.simulate.fields import FIELD_GRID, Field, exponentiate, random_field
from braincase.simulate.lesions import LESION_GRID, draw_lesion
from braincase.simulate.people import USUAL_HEAD_ML, SimulatedPerson, SimulatedVisit
from braincase.simulate.scanners import SCANNERS, Scanner, template_on
from braincase.volumetry.regions import NAMES, mirrored_name, plain_name
from braincase.volumetry.registration import own_voxels, sample
from braincase.volumetry.template import FLUID_T1

Map = NDArray[np.float32]

#: People differ by fields of these smoothnesses and spreads (mm), beside their regions' volumes.
PERSON_FIELDS_MM = ((24.0, 1.8), (10.0, 0.35), (6.0, 0.15))
#: Below this intensity the template is background.
BACKGROUND = 0.03
#: Lesions of the white matter are as dark as grey matter; an old infarct is fluid.
WHITE_LESION_DARKER = 0.3
#: What registration leaves: shift (mm), turn (degrees) and scale of each scan, spread.
LEFT_MM, LEFT_DEG, LEFT_SCALE = 0.15, 0.2, 0.0015
#: How far the contrast of one scanner varies from scan to scan (log gamma, spread).
LEFT_GAMMA = 0.004
#: Medial temporal lobe and neocortex: what the subtypes of a disease prefer.
MEDIAL = ("hippocampus", "amygdala", "entorhinal", "parahippocampal", "inferior-horn")


@dataclass(frozen=True, eq=False)
class Simulated:
    """One simulated scan and its truth.

    Parameters
    ----------
    volume
        uint8 on the grid.
    volumes_mm3
        True volume of each region of `braincase.volumetry.regions.NAMES`, shape (regions,).
    lesion
        Where more than half of a voxel is lesion, on the grid; shape of `volume`, bool.
    lesion_mm3
        True volume of the lesions.
    """

    volume: NDArray[np.uint8]
    volumes_mm3: NDArray[np.float64]
    lesion: NDArray[np.bool_]
    lesion_mm3: float


def simulate_visit(visit: SimulatedVisit, grid: Grid, backward: Field | None = None) -> Simulated:
    """Deform the template to the visit's anatomy and image it on the visit's scanner.

    Parameters
    ----------
    visit
        Who, when and on which scanner.
    grid
        Of the volume.
    backward
        What `backward_of` gives for the visit, where that is known already.
    """
    backward = backward_of(visit) if backward is None else backward
    volumes = volumes_after(backward, part_maps()[: len(NAMES)])
    rng = np.random.default_rng((*visit.person.seed, 2, visit.number))
    scanner = SCANNERS[visit.scanner]
    place = left_by_registration(_came_from(backward, grid), scanner, rng)
    t1 = _sample(template_on(visit.scanner, grid.resolution_mm / 2), place, grid.resolution_mm / 2)
    lesion = _sample(lesions_of(visit), place, LESION_GRID.resolution_mm)
    image = with_lesions(t1, lesion, CONDITIONS[visit.person.diagnosis].lesions)
    volume = _image(image, t1 > BACKGROUND, scanner, grid, rng)
    lesion_mm3 = float(lesion.sum() * grid.resolution_mm**3)
    return Simulated(volume, volumes, lesion > 0.5, lesion_mm3)


def backward_of(visit: SimulatedVisit) -> Field:
    """Return the displacement (mm, on `FIELD_GRID`) from the visit's anatomy to the template."""
    return exponentiate(-_velocity(visit))


def lesions_of(visit: SimulatedVisit) -> Map:
    """Draw the person's lesions in the template's space (2 mm), the same at every visit."""
    rng = np.random.default_rng((*visit.person.seed, 3))
    kind = CONDITIONS[visit.person.diagnosis].lesions
    return draw_lesion(kind, rng, visit.age, visit.severity)


def log_changes(visit: SimulatedVisit) -> NDArray[np.float64]:
    """Return the log volume of `PARTS` that the visit asks for, over the template's; (parts,)."""
    effects, person = load_effects(), visit.person
    head = np.log(person.icv_ml / USUAL_HEAD_ML)
    change = base_change() + effects.per_year * ageing_years(visit.age)
    change = change + deviations_factor(PERSON_FIELDS_MM) @ np.array(person.deviations)
    # The standard grid has every head at one size: what grows less than the head looks smaller.
    change = change + (effects.icv_exponent - 1) * head
    change = change + effects.male * (0.5 if person.sex == "M" else -0.5)
    return of_parts(change) + visit.severity * disease_of(person)


def disease_of(person: SimulatedPerson) -> NDArray[np.float64]:
    """Return what the person's condition does at severity 1: log volume changes, (parts,)."""
    condition = CONDITIONS[person.diagnosis]
    change = condition.of_ad * disease_of_ad() + pattern(condition.percent)
    if person.mirrored:
        change = change[_mirror()]
    medial, side = _preferences()
    return np.asarray(change * np.exp(person.subtype * medial + person.side * side))


@cache
def _mirror() -> NDArray[np.intp]:
    """Return where the other side of each part stands."""
    return np.array([PARTS.index(mirrored_name(name)) for name in PARTS])


@cache
def _preferences() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return +1 for the medial temporal lobe and -1 elsewhere, and +1 for left, -1 for right."""
    medial = np.array([1.0 if plain_name(name) in MEDIAL else -1.0 for name in PARTS])
    left = {"left": 1.0, "right": -1.0}
    return medial, np.array([left.get(side_of(name)[0], 0.0) for name in PARTS])


def _velocity(visit: SimulatedVisit) -> Field:
    """The person's own smooth fields plus the prescribed changes of volume (mm)."""
    rng = np.random.default_rng((*visit.person.seed, 1))  # the same at every visit
    velocity = velocity_of_changes(log_changes(visit))
    for smoothness_mm, spread_mm in PERSON_FIELDS_MM:
        velocity = velocity + random_field(rng, smoothness_mm, spread_mm)
    return velocity


def _came_from(backward: Field, grid: Grid) -> Map:
    """Return where in the template (mm from the grid's corner) each voxel of `grid` came from."""
    displacement = sample(backward, _to_field_index(grid))
    own_mm = (own_voxels(grid.shape) + 0.5) * grid.resolution_mm
    return np.asarray(own_mm + displacement, np.float32)


def left_by_registration(place: Map, scanner: Scanner, rng: np.random.Generator) -> Map:
    """Move, turn and stretch a scan by the little that registration and the scanner leave."""
    turn = Rotation.from_euler("xyz", rng.normal(0, LEFT_DEG, 3), degrees=True).as_matrix()
    scale = np.exp(rng.normal(0, LEFT_SCALE, 3)) * (1 + np.array(scanner.stretch))
    matrix = (turn * scale).astype(np.float32)
    middle = np.array([80, 96, 80], np.float32)[:, None]
    flat = matrix @ (place.reshape(3, -1) - middle) + middle
    flat += rng.normal(0, LEFT_MM, (3, 1)).astype(np.float32)
    return np.asarray(flat.reshape(place.shape), np.float32)


def _sample(template: Map, place_mm: Map, resolution_mm: float) -> Map:
    """Interpolate a map at places in mm from the grid's corner; 0 outside."""
    voxels = place_mm / resolution_mm - 0.5
    return np.asarray(map_coordinates(template, voxels, order=1, prefilter=False), np.float32)


@cache
def _to_field_index(grid: Grid) -> Map:
    """Where each voxel of `grid` lies in voxels of `FIELD_GRID`, shape (3, *grid.shape)."""
    ratio = grid.resolution_mm / FIELD_GRID.resolution_mm
    return np.asarray(own_voxels(grid.shape) * ratio + (ratio - 1) / 2, dtype=np.float32)


def with_lesions(t1: Map, lesion: Map, kind: LesionKind) -> Map:
    """Draw lesions into an image: fluid in an old infarct, darker white matter elsewhere."""
    if kind == "stroke":
        return t1 * (1 - lesion) + np.float32(FLUID_T1) * lesion
    return t1 * (1 - np.float32(WHITE_LESION_DARKER) * lesion)


@cache
def _coil(scanner: Scanner) -> Field:
    """Return the log of the receive field that all scans of a scanner share, (1, x, y, z), 4 mm."""
    seed = round(1000 * scanner.shading) + round(1e6 * scanner.noise)
    return random_field(np.random.default_rng(seed), 40.0, scanner.shading, components=1)


def drawn_by(scanner: Scanner, rng: np.random.Generator) -> tuple[np.float32, Field]:
    """Draw a scan's contrast (gamma) and the log of its receive field, (1, x, y, z), 4 mm."""
    gamma = np.float32(np.exp(scanner.log_gamma + rng.normal(0, LEFT_GAMMA)))
    return gamma, _coil(scanner) + random_field(rng, 40.0, 0.3 * scanner.shading, components=1)


def _image(
    t1: Map, brain: NDArray[np.bool_], scanner: Scanner, grid: Grid, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Apply contrast, blur, shading and Rician noise; scale the brightest percent to 1."""
    gamma, shading = drawn_by(scanner, rng)
    image = np.clip(t1, 0, 1) ** gamma
    image = gaussian_filter(image, scanner.blur_mm / grid.resolution_mm / 2)
    image *= np.exp(sample(shading, _to_field_index(grid))[0])
    real, imaginary = rng.normal(0, scanner.noise, (2, *grid.shape)).astype(np.float32)
    image = np.hypot(image + real, imaginary) * brain
    image /= np.percentile(image[image > 0], 99)
    return np.asarray(np.round(255 * np.clip(image, 0, 1)), dtype=np.uint8)
