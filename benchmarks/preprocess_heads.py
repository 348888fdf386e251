"""The heads that preprocessing is measured on, and the ways in which they are made difficult."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from braincase.images.geometry import STANDARD_GRID, Affine, apply_affine
from braincase.images.volume import Volume, read_volume
from braincase.preprocess.registration.coarse import turn
from braincase.preprocess.space.template import CENTRE_MM, load_template

DATA = Path(os.environ.get("BRAINCASE_DATA", Path(__file__).parents[2] / "shared" / "data"))

#: What the labels that ship with the heads call brain.
DEFINITIONS = {
    "IXI": "DLMUSE label > 0: tissue, ventricles and the fluid in the sulci",
    "aomic": "FreeSurfer brainmask > 0: tissue and some fluid and dura around it",
}


@dataclass(frozen=True)
class Head:
    """One real scan, and its label map where it has one."""

    name: str
    path: Path
    labels: Path | None = None


def labelled_heads() -> list[Head]:
    """Return the heads with a label map."""
    ixi = sorted((DATA / "heads-ixi2mm").glob("*_ds.nii.gz"))
    heads = [Head(p.name[:6], p, p.with_name(p.name.replace("_ds.", "_ds_DLMUSE."))) for p in ixi]
    aomic = DATA / "heads-other" / "aomic_sub-0001"
    return [*heads, Head("aomic", aomic / "orig.mgz", aomic / "brainmask.mgz")]


def raw_heads() -> list[Head]:
    """Return all whole heads."""
    other = [
        Head(n.split(".")[0], DATA / "heads-other" / n)
        for n in ("chris_t1.nii.gz", "T1w2mm.nii.gz")
    ]
    bids = sorted((DATA / "heads-bids").glob("sub-*/anat/*_T1w.nii.gz"))
    return labelled_heads() + other + [Head(f"ds11-{p.name[4:6]}", p) for p in bids]


def stripped_heads() -> list[Head]:
    """Return the skull-stripped scans."""
    paths = sorted((DATA / "brains-ds002748-2mm").glob("sub-*/anat/*_T1w.nii.gz"))
    return [Head(f"ds2748-{p.name[4:6]}", p) for p in paths]


def foreign_images() -> list[Head]:
    """Return images that are no T1w human head; those of several volumes in a file are left out."""
    paths = sorted((DATA / "not-a-t1w-head").glob("*.nii.gz"))
    return [Head(p.name.split(".")[0], p) for p in paths if p.name != "ct_perfusion.nii.gz"]


def on_grid(labels: Volume, native_to_mni: Affine) -> NDArray[np.bool_]:
    """Bring the map `labels > 0` to the standard grid: where it fills at least half a voxel."""
    brain = (labels.data > 0).astype(np.float32)
    to_voxel = np.linalg.inv(native_to_mni @ labels.affine)
    share = np.zeros(STANDARD_GRID.shape)
    for shift in product((-0.5, 0.5), repeat=3):
        points = STANDARD_GRID.points_mm() + np.array(shift).reshape(3, 1, 1, 1)
        voxels = np.moveaxis(apply_affine(to_voxel, np.moveaxis(points, 0, -1)), -1, 0)
        share += ndimage.map_coordinates(brain, voxels, order=1) / 8
    return np.asarray(share > 0.5)


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return the overlap of two masks, 0 to 1."""
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def displacement_mm(
    estimated: Affine, wanted: Affine, moved: Affine, mirrored: bool = False
) -> float:
    """Return the mean distance between two transforms' results over the template's brain.

    Parameters
    ----------
    estimated
        Native to MNI, of the perturbed scan.
    wanted
        Native to MNI, of the scan as it was.
    moved
        Where the perturbation took each native point, shape (4, 4).
    mirrored
        Count the left-right mirror image as right, where the perturbation hid the sides.
    """
    level = load_template()[4]
    points = (level.points_mm[:, level.mask].T + CENTRE_MM)[::20]
    ends = apply_affine(estimated @ moved @ np.linalg.inv(wanted), points)
    errors = [np.linalg.norm(ends * side - points, axis=1).mean() for side in _sides(mirrored)]
    return float(min(errors))


def _sides(mirrored: bool) -> list[NDArray[np.float64]]:
    return [np.array([1.0, 1, 1]), np.array([-1.0, 1, 1])][: 1 + mirrored]


@dataclass(frozen=True)
class Perturbed:
    """A scan made difficult, and where each native point went."""

    what: str
    volume: Volume
    moved: Affine
    mirrored: bool = False


def posed(volume: Volume, native_to_mni: Affine, rng: np.random.Generator) -> Perturbed:
    """Turn the head by up to 40 degrees about each axis, shift it by 60 mm, scale it 0.8 to 1.2.

    The image is resampled at 2 mm into a field of view that holds all there was of it.
    """
    angles, shift = rng.uniform(-40, 40, 3), rng.uniform(-60, 60, 3)
    scale = rng.uniform(0.8, 1.2)
    centre = apply_affine(np.linalg.inv(native_to_mni), np.array(CENTRE_MM))
    moved = np.eye(4)
    moved[:3, :3] = scale * turn(*np.radians(angles))
    moved[:3, 3] = centre - moved[:3, :3] @ centre + shift
    corners = np.array(list(product(*([0, n - 1] for n in volume.shape))))
    ends = apply_affine(moved @ volume.affine, corners)
    low, high = ends.min(axis=0), ends.max(axis=0)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = low
    shape = tuple(np.ceil((high - low) / 2).astype(int) + 1)
    back = np.linalg.inv(moved @ volume.affine) @ affine
    data = ndimage.affine_transform(volume.data, back[:3, :3], back[:3, 3], shape, order=1)
    what = (
        f"turned {np.rint(angles).astype(int)}, shifted {np.rint(shift).astype(int)}, x{scale:.2f}"
    )
    return Perturbed(what, Volume(data, affine), moved)


def mislabelled(volume: Volume) -> Iterator[Perturbed]:
    """Store the array in all 48 ways under a header that always says RAS, origin at a corner."""
    for order in permutations(range(3)):
        for signs in product((1, -1), repeat=3):
            data = volume.data.transpose(order)[tuple(slice(None, None, s) for s in signs)]
            to_old = np.zeros((4, 4))
            to_old[3, 3] = 1
            for new, old in enumerate(order):
                to_old[old, new] = signs[new]
                to_old[old, 3] = 0 if signs[new] > 0 else volume.shape[old] - 1
            affine = np.diag([*volume.zooms_mm[list(order)], 1.0])
            moved = affine @ np.linalg.inv(volume.affine @ to_old)
            what = "axes " + "".join(
                "+-"[s < 0] + "RAS"[o] for o, s in zip(order, signs, strict=True)
            )
            yield Perturbed(what, Volume(np.ascontiguousarray(data), affine), moved, mirrored=True)


def wrong_headers(volume: Volume, rng: np.random.Generator) -> Iterator[Perturbed]:
    """Keep the voxels and replace the header by one that is missing, shifted, turned or skewed."""
    centre = (np.array(volume.shape) - 1) / 2
    middle = apply_affine(volume.affine, centre)

    def about_middle(linear: NDArray[np.float64]) -> Affine:
        affine = np.eye(4)
        affine[:3, :3] = linear
        affine[:3, 3] = middle - linear @ centre
        return affine

    zooms = np.diag(volume.zooms_mm)
    shifted = volume.affine.copy()
    shifted[:3, 3] += rng.uniform(-500, 500, 3)
    headers = {
        "no header: 1 mm, origin at a corner": np.diag([*volume.zooms_mm, 1.0]),
        "origin up to 500 mm off": shifted,
        "header turned 40 degrees": about_middle(turn(0.7, 0, 0) @ zooms),
        "header turned askew": about_middle(turn(*rng.uniform(-0.7, 0.7, 3)) @ zooms),
    }
    for what, affine in headers.items():
        yield Perturbed(what, Volume(volume.data, affine), affine @ np.linalg.inv(volume.affine))


def read(head: Head) -> Volume:
    """Read one of the heads."""
    return read_volume(head.path)
