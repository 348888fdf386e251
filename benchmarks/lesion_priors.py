"""Measure size, number and place of real lesions for the simulation's generative models.

Reads 1,449 masks of ischaemic stroke (`soop-lesions-2mm/`), 30 of multiple sclerosis
(`ms-lit-mni/`) and two maps of white-matter hyperintensities (`wmh-prior/`), and writes smoothed
maps and numbers that describe all of them together. No single mask is written.

    python benchmarks/lesion_priors.py DATA src/braincase/simulate/measured
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel
import numpy as np
from nibabel.affines import apply_affine
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

from braincase.files import write_json
from braincase.images.geometry import HALF_GRID, STANDARD_GRID, Affine, mean_of_blocks

#: Strokes are told apart by size (ml): each class has its own places.
STROKE_CLASSES_ML = (4.0, 30.0)
#: Smaller strokes leave no cavity that a T1-weighted image at 2 mm shows.
SMALLEST_STROKE_ML = 0.5
#: Sizes are kept as these quantiles: neither strokes nor MS lesions are quite log-normal.
LEVELS = np.append(np.linspace(0.005, 0.995, 45), 0.9995)
#: The same of the volume of all lesions of a person with MS.
LOAD_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
#: Smoothing of the maps (mm, standard deviation), so that no single lesion can be seen in one.
SMOOTHING_MM = {"stroke": 6.0, "ms": 5.0, "wmh": 2.0}


def main(data: Path, folder: Path) -> None:
    """Write `lesion_maps.npz` (4 mm, uint8) and `lesions.json` into a folder."""
    stroke, stroke_maps = measure_stroke(data / "soop-lesions-2mm" / "lesions_2mm.npz")
    ms, ms_map = measure_ms(data / "ms-lit-mni" / "lesions")
    maps = stroke_maps | {"ms": ms_map, "wmh": measure_wmh(data / "wmh-prior")}
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "lesion_maps.npz", **{k: as_bytes(m) for k, m in maps.items()})
    write_json(folder / "lesions.json", {"stroke": stroke, "ms": ms})
    print(stroke, ms, sep="\n")


def measure_stroke(path: Path) -> tuple[dict[str, object], dict[str, NDArray[np.float64]]]:
    """Return the sizes of strokes, and by class of size where they lie and where their centres."""
    packed = np.load(path)
    shape = tuple(packed["shape"])
    affine = packed["affine"]
    shares = [np.zeros(STANDARD_GRID.shape) for _ in range(3)]
    centres = [np.zeros(STANDARD_GRID.shape) for _ in range(3)]
    volumes = []
    for bits in packed["bits"]:
        mask = np.unpackbits(bits)[: np.prod(shape)].reshape(shape).astype(bool)
        millilitres = mask.sum() * 8 / 1000
        if millilitres < SMALLEST_STROKE_ML:
            continue
        volumes.append(millilitres)
        size = int(np.searchsorted(STROKE_CLASSES_ML, millilitres))
        voxels = voxels_of(mask, affine)
        np.add.at(shares[size], tuple(voxels.T), 1 / len(voxels))
        centres[size][tuple(np.rint(voxels.mean(axis=0)).astype(int))] += 1
    numbers = {
        "people": len(volumes),
        "quartiles_ml": np.round(np.quantile(volumes, (0.25, 0.5, 0.75)), 2).tolist(),
        "levels": np.round(LEVELS, 4).tolist(),
        "level_ml": np.round(np.quantile(volumes, LEVELS), 3).tolist(),
        "classes_ml": list(STROKE_CLASSES_ML),
        "right_share": round(float(sum(c[40:].sum() for c in centres) / len(volumes)), 4),
    }
    maps = {f"stroke_share_{i}": smooth(m, "stroke") for i, m in enumerate(shares)}
    maps |= {f"stroke_centre_{i}": smooth(m, "stroke") for i, m in enumerate(centres)}
    return numbers, maps


def measure_ms(folder: Path) -> tuple[dict[str, object], NDArray[np.float64]]:
    """Return number and sizes of the lesions of each person, and where they lie."""
    total = np.zeros(STANDARD_GRID.shape)
    counts, sizes, loads = [], [], []
    paths = sorted(folder.glob("*.nii.gz"))
    for path in paths:
        image = nibabel.load(path)
        mask = np.asarray(image.dataobj) > 0.5
        parts, _ = label(mask)
        voxel_ml = abs(np.linalg.det(image.affine[:3, :3])) / 1000
        millilitres = np.bincount(parts.ravel())[1:] * voxel_ml
        kept = millilitres[millilitres >= 0.01]
        counts.append(len(kept))
        sizes += kept.tolist()
        loads.append(float(kept.sum()))
        # 1 mm voxels: eight of them are one of ours.
        np.add.at(total, tuple(voxels_of(mask, image.affine).T), voxel_ml * 1000 / 8)
    numbers = {
        "people": len(paths),
        "count_quartiles": np.quantile(counts, (0.25, 0.5, 0.75)).tolist(),
        "load_quartiles_ml": np.round(np.quantile(loads, (0.25, 0.5, 0.75)), 2).tolist(),
        "levels": np.round(LEVELS, 4).tolist(),
        "level_ml": np.round(np.quantile(sizes, LEVELS), 4).tolist(),
        "load_levels": list(LOAD_LEVELS),
        "load_ml": np.round(np.quantile(loads, LOAD_LEVELS), 2).tolist(),
    }
    return numbers, smooth(total / len(paths), "ms")


def measure_wmh(folder: Path) -> NDArray[np.float64]:
    """Return where white-matter hyperintensities occur: the mean of two maps, peak 1."""
    maps = []
    for name in ("cat_wmh.nii.gz", "cat_wmh_miccai2017.nii.gz"):
        image = nibabel.load(folder / name)
        points = STANDARD_GRID.points_mm().reshape(3, -1).T
        voxels = np.rint(apply_affine(np.linalg.inv(image.affine), points)).astype(int)
        data = np.asarray(image.dataobj, np.float64)
        inside = ((voxels >= 0) & (voxels < data.shape)).all(axis=1)
        values = np.zeros(len(points))
        values[inside] = data[tuple(voxels[inside].T)]
        maps.append(values.reshape(STANDARD_GRID.shape) / values.max())
    return smooth(np.mean(maps, axis=0), "wmh")


def voxels_of(mask: NDArray[np.bool_], affine: Affine) -> NDArray[np.int64]:
    """Return the voxels of the standard grid in which those of a mask lie, (n, 3)."""
    points = apply_affine(affine, np.argwhere(mask))
    voxels = np.rint(apply_affine(np.linalg.inv(STANDARD_GRID.affine), points)).astype(np.int64)
    return voxels[((voxels >= 0) & (voxels < STANDARD_GRID.shape)).all(axis=1)]


def smooth(volume: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """Smooth a map on the standard grid and average it to 4 mm."""
    sigma = SMOOTHING_MM[kind] / STANDARD_GRID.resolution_mm
    return mean_of_blocks(gaussian_filter(volume, sigma), 2).astype(np.float64)


def as_bytes(volume: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Scale a map to 0 to 255 by its root, which keeps small values; only their ratio counts."""
    assert volume.shape == HALF_GRID.shape
    return np.rint(255 * np.sqrt(np.clip(volume / volume.max(), 0, 1))).astype(np.uint8)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
