"""The packed cache of a cohort: all volumes in few files, and one table of their labels.

::

    packed/volumes-000.npy ...  all volumes, by row
    packed/table.jsonl          one line a row: who, when, labels, hash of the voxels
    packed/packed.json          written last: digest of the files it was made from, grid, recipe

JSON lines and not a TSV, so that the text ``01`` and the number 1 stay what they are.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from braincase.cohort.derivatives import (
    FileStat,
    Recipe,
    image_of,
    read_image,
    resolution_of,
    scan_id_of,
    sidecar_path,
    write_dataset,
)
from braincase.cohort.shards import PackedVolumes, open_shards, write_shards
from braincase.cohort.sidecar import Sidecar, read_sidecar
from braincase.errors import CohortError, ScanError
from braincase.files import (
    check_regular,
    create_file,
    make_folder,
    read_json,
    write_json,
    write_text,
)
from braincase.images.geometry import Grid, grid_of_resolution
from braincase.json_values import parse_json
from braincase.labels import RESERVED_COLUMNS, Value
from braincase.progress import progress

#: Columns of the table that say which scan it is; all others are labels.
IDENTITY_COLUMNS = RESERVED_COLUMNS
#: Raise when `packed/` changes its meaning: older ones are then packed again.
PACKED_VERSION = 2
#: Environment variable that says where caches go, as on other systems of Linux.
CACHE = "XDG_CACHE_HOME"

#: One line of the table: `IDENTITY_COLUMNS` (text, or None for no session) and the labels.
Row: TypeAlias = Mapping[str, Value]
Dropped: TypeAlias = tuple[str, str]


class PackedJson(TypedDict):
    """The content of ``packed.json``; `scans` counts the volumes of each shard."""

    digest: str
    resolution_mm: int
    scans: Sequence[int]
    recipe: Recipe
    dropped: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Packed:
    """A packed cohort.

    Parameters
    ----------
    grid, recipe
        Shared by all its volumes.
    rows
        `IDENTITY_COLUMNS` and the labels of each volume.
    dropped
        Image and reason of each scan that could not be packed.
    volumes
        ``volumes[i]`` belongs to ``rows[i]``.
    """

    grid: Grid
    recipe: Recipe
    rows: tuple[Row, ...]
    dropped: tuple[Dropped, ...]
    volumes: PackedVolumes


def cohort_digest(files: Sequence[FileStat]) -> str:
    """Return a hash of a file list (path, size, time): equal as long as nothing changed."""
    return sha256(json.dumps([PACKED_VERSION, files]).encode()).hexdigest()


def open_packed(place: Path, digest: str) -> Packed | None:
    """Open what `pack` wrote to `place`, or return None where it is missing, damaged or stale."""
    try:
        about = cast(PackedJson, read_json(place / "packed.json", CohortError))
        if about["digest"] != digest:
            return None
        grid = grid_of_resolution(about["resolution_mm"])
        volumes = open_shards(place, about["scans"], grid.shape)
        with check_regular(place / "table.jsonl").open(encoding="utf-8") as lines:
            rows = tuple(parse_json(line) for line in lines)
    except (CohortError, OSError, ValueError, KeyError):
        return None
    if len(rows) != len(volumes):
        return None
    dropped = tuple((where, why) for where, why in about["dropped"])
    return Packed(grid, about["recipe"], rows, dropped, volumes)


def packing_place(folder: Path) -> Path:
    """Return where a cohort's packed volumes go: into it, or into a cache if it is read-only.

    Raises
    ------
    CohortError
        If neither can be written.
    """
    if is_writable(folder):
        return folder / "packed"
    name = sha256(os.fsencode(folder.resolve())).hexdigest()[:24]
    place = cache_folder() / "packed" / name
    try:
        make_folder(place, durable=False)
    except OSError as error:
        found = f"a read-only cohort, and no room for its packed volumes ({error.strerror})"
        advice = f"Set {CACHE} to a folder that can be written, or copy the cohort."
        raise CohortError(folder, found, f"a cache at {place}", advice) from error
    return place


def is_writable(folder: Path) -> bool:
    """Say whether files can be made in a cohort's folder for packed volumes."""
    place = folder / "packed" if (folder / "packed").is_dir() else folder
    try:
        with tempfile.TemporaryFile(dir=place):
            return True
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return False
        raise


def cache_folder() -> Path:
    """Return the folder for what can be made again: `XDG_CACHE_HOME`/braincase."""
    return Path(os.environ.get(CACHE) or Path.home() / ".cache") / "braincase"


def pack(folder: Path, place: Path, files: Sequence[FileStat]) -> Packed:
    """Read every scan once, in order of scan_id, and write everything that is derived from them.

    A scan that cannot be used is left out with its reason and never stops the others. The result
    counts as packed only after `mark_packed`.

    Parameters
    ----------
    folder
        The cohort.
    place
        Where the packed volumes go; see `packing_place`.
    files
        From `list_files`.

    Raises
    ------
    CohortError
        If there is no usable scan, or scans of several grids or recipes.
    """
    (place / "packed.json").unlink(missing_ok=True)
    grid = _only_grid(folder, files)
    dropped: list[Dropped] = []
    sidecars = _read_sidecars(folder, files, dropped)
    recipe = _only_recipe(folder, sidecars)
    rows: list[Row] = []
    label = "packing"
    if place.parent != folder:
        label += f" into {place}, for the cohort is read-only"
    usable = _usable(label, folder, grid, sidecars, rows, dropped)
    volumes = write_shards(place, usable, grid.shape)
    if not rows:
        where, why = dropped[0]
        raise CohortError(folder, f"no usable scan ({where}: {why})", "at least one")
    write_text(place / "table.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    if place.parent == folder:  # a read-only cohort keeps the tables that it has
        write_dataset(folder, [sidecar.scan for sidecar in sidecars])
    return Packed(grid, parse_json(recipe), tuple(rows), tuple(dropped), volumes)


def mark_packed(place: Path, packed: Packed, digest: str) -> None:
    """Declare the packing whole; the last thing to be written."""
    about: PackedJson = {
        "digest": digest,
        "resolution_mm": packed.grid.resolution_mm,
        "scans": packed.volumes.counts,
        "recipe": packed.recipe,
        "dropped": packed.dropped,
    }
    write_json(place / "packed.json", about)


@contextmanager
def packing_lock(place: Path) -> Iterator[None]:
    """Hold the file lock of packing: one process of this machine packs at a time.

    Without flock (Windows) the user is trusted.
    """
    make_folder(place)
    create_file(place / ".lock")
    with (place / ".lock").open("w") as lock:
        try:
            import fcntl
        except ImportError:
            pass
        else:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _only_grid(folder: Path, files: Sequence[FileStat]) -> Grid:
    sizes = sorted({resolution_of(path) for path, _, _ in files})
    if len(sizes) > 1:
        found = f"scans of {len(sizes)} resolutions ({' and '.join(map(str, sizes))} mm)"
        raise CohortError(folder, found, "one", "Keep each resolution in a folder of its own.")
    return grid_of_resolution(sizes[0])


def _only_recipe(folder: Path, sidecars: Sequence[Sidecar]) -> str:
    examples = {sidecar.recipe: sidecar.scan.scan_id for sidecar in reversed(sidecars)}
    if len(examples) > 1:
        found = f"scans of {len(examples)} preprocessing recipes ({', '.join(examples.values())})"
        advice = "Prepare them all again, or keep each recipe in a folder of its own."
        raise CohortError(folder, found, "one", advice)
    return next(iter(examples), "{}")


def _read_sidecars(
    folder: Path, files: Sequence[FileStat], dropped: list[Dropped]
) -> list[Sidecar]:
    """Return what the readable sidecars say, by scan_id; list the others in `dropped`."""
    sidecars = []
    for image in sorted({image_of(path) for path, _, _ in files}, key=scan_id_of):
        try:
            sidecar = read_sidecar(sidecar_path(folder / image))
            if sidecar.scan.scan_id != scan_id_of(image):
                found = f"the sidecar of {sidecar.scan.scan_id}"
                raise ScanError(folder / image, found, f"that of {scan_id_of(image)}")
            sidecars.append(sidecar)
        except ScanError as error:
            dropped.append((image, _reason(error)))
    return sidecars


def _usable(
    label: str,
    folder: Path,
    grid: Grid,
    sidecars: Sequence[Sidecar],
    rows: list[Row],
    dropped: list[Dropped],
) -> Iterator[NDArray[np.uint8]]:
    """Yield one volume after the other; note its row of the table, or why it was dropped."""
    with progress(label, len(sidecars)) as advance:
        for scan in (sidecar.scan for sidecar in sidecars):
            advance()
            image = scan.path.relative_to(folder).as_posix()
            try:
                volume = read_image(scan.path, grid)
            except ScanError as error:
                dropped.append((image, _reason(error)))
                continue
            image_hash = sha256(volume.tobytes()).hexdigest()
            own = (scan.scan_id, scan.subject, scan.session, image, image_hash)
            rows.append({**dict(zip(IDENTITY_COLUMNS, own, strict=True)), **scan.labels})
            yield volume


def _reason(error: ScanError) -> str:
    return f"{error.found}; expected {error.expected}" if error.expected else error.found
