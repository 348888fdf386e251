"""Region volumes of a whole cohort: measured on the images once, and kept in a file beside it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braincase.cohort.cohort import Cohort
from braincase.cohort.shards import PackedVolumes
from braincase.files import atomic_write
from braincase.images.geometry import Grid
from braincase.parallel import run_all
from braincase.volumetry.measure import region_volumes
from braincase.volumetry.regions import NAMES

#: What holds them, in a cohort's folder.
REGION_VOLUMES = "region-volumes.npz"
#: Scans measured before the file is written.
CHUNK = 200
Volumes = NDArray[np.float32]


def cohort_region_volumes(
    cohort: Cohort, file: Path, workers: int = 0, rows: NDArray[np.intp] | None = None
) -> Volumes:
    """Measure the region volumes (mm3) of scans; what the file has is not measured again.

    Parameters
    ----------
    cohort
        The prepared scans.
    file
        Where they are kept, by the hash of each image (``.npz``).
    workers
        Processes; 0 means one a core.
    rows
        Which rows of the cohort's table; None means all.

    Returns
    -------
    float32 of shape (scans, regions), in the order of `braincase.volumetry.regions.NAMES`.
    """
    hashes = cohort.table["image_hash"].to_numpy(dtype=str)
    measured = _read(file)
    wanted = np.arange(len(hashes)) if rows is None else rows
    todo = [int(row) for row in wanted if hashes[row] not in measured]
    for start in range(0, len(todo), CHUNK):
        measure = partial(_measure, cohort.volumes, cohort.grid)
        for done in run_all(measure, todo[start : start + CHUNK], "region volumes", workers):
            if done.error:
                raise done.error
            assert done.result is not None
            measured[hashes[done.item]] = done.result
        _write(file, measured)
    return np.stack([measured[name] for name in hashes[wanted]])


def _measure(volumes: PackedVolumes, grid: Grid, row: int) -> Volumes:
    return region_volumes(volumes[row], grid)


def _read(file: Path) -> dict[str, Volumes]:
    """Return the volumes by the hash of the image; none of a file of other regions."""
    if not file.is_file():
        return {}
    with np.load(file, allow_pickle=False) as kept:
        if list(kept["regions"]) != list(NAMES):
            return {}
        return dict(zip(map(str, kept["images"]), kept["volumes"], strict=True))


def _write(file: Path, measured: Mapping[str, Volumes]) -> None:
    with atomic_write(file) as aside:
        volumes = np.stack([*measured.values()])
        np.savez(aside, regions=list(NAMES), images=list(measured), volumes=volumes)
