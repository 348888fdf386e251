"""A cohort on disk: a BIDS-derivatives folder, and beside it all volumes packed for training.

The images and their sidecars are the truth. What is derived from them, the table and the packed
volumes in ``packed/``, is made again whenever an image or a sidecar is new, gone or changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braincase.cohort.derivatives import (
    IMAGE_ENDING,
    FileStat,
    Recipe,
    check_format,
    image_path,
    list_files,
    sidecar_path,
    write_image,
)
from braincase.cohort.packing import (
    IDENTITY_COLUMNS,
    Dropped,
    Packed,
    Row,
    cohort_digest,
    mark_packed,
    open_packed,
    pack,
    packing_lock,
    packing_place,
)
from braincase.cohort.shards import PackedVolumes
from braincase.cohort.sidecar import read_sidecar, write_sidecar
from braincase.cohort.view import ViewVolume, remove_views, write_view
from braincase.errors import CohortError, ScanError, UsageError
from braincase.files import did_you_mean, read_json, write_json
from braincase.images.geometry import Grid
from braincase.json_values import canonical_json, to_json, to_json_object
from braincase.sources.census import Census, census_from_json, take_census
from braincase.sources.scan import Scan


@dataclass(frozen=True)
class PreparedScan:
    """One prepared scan on its way to disk.

    Parameters
    ----------
    scan
        Who, when, and all labels.
    volume
        uint8 array of shape `grid.shape`, background 0.
    sidecar
        What preprocessing tells: Transform, Quality, Recipe, ...
    view
        The scan as it was, to look at; with None the case has none, nor one from before.
    """

    scan: Scan
    volume: NDArray[np.uint8]
    sidecar: Mapping[str, object]
    view: ViewVolume | None = None


@dataclass(frozen=True)
class Cohort:
    """Prepared scans of one grid and one preprocessing recipe.

    Parameters
    ----------
    folder
        Where they lie.
    grid
        The voxel grid of all volumes.
    recipe
        The preprocessing recipe of all volumes.
    table
        One row a scan, sorted by scan_id: scan_id, subject, session, image (relative path),
        image_hash (SHA-256 of the voxels), and a column for every label.
    volumes
        Row i of the table belongs to ``volumes[i]``.
    """

    folder: Path
    grid: Grid
    recipe: Recipe
    table: pd.DataFrame
    volumes: PackedVolumes

    def __len__(self) -> int:
        """Return the number of scans."""
        return len(self.table)

    def __repr__(self) -> str:
        """Name it in one line, without table and volumes."""
        return f"Cohort({self.folder}, {len(self)} scans, {self.grid.resolution_mm} mm)"

    def column(self, name: str) -> pd.Series[Any]:
        """Return one column of the table.

        Raises
        ------
        UsageError
            If there is no such column; names those that exist.
        """
        if name not in self.table.columns:
            columns = ", ".join(self.table.columns)
            raise UsageError(self.folder, f"no column {name!r}", f"one of {columns}")
        return self.table[name]

    def rows_with(self, name: str, values: Sequence[object]) -> NDArray[np.int64]:
        """Return the rows, ascending, whose column `name` holds one of `values`.

        Raises
        ------
        UsageError
            If there is no such column.
        """
        return np.flatnonzero(self.column(name).isin(list(values)).to_numpy()).astype(np.int64)


def class_names(column: pd.Series[Any]) -> pd.Series[str]:
    """Return a column as names of classes: text, 0 and not 0.0, NaN where nothing is known.

    A column of whole numbers with gaps is one of floats in pandas; its classes are whole numbers.
    """
    names = column.map(_class_name, na_action="ignore").astype(object)
    missing = column.isna() | names.isin(["", "n/a", "nan", "None"])
    return names.mask(missing)


def _class_name(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def write_case(folder: Path, grid: Grid, case: PreparedScan) -> Path:
    """Write one prepared scan into a cohort folder and return the path of its image.

    The sidecar is written last: image and sidecar together mean that the scan is complete.

    Raises
    ------
    UsageError
        If a label has the name of one of Braincase's own columns.
    ScanError
        If the volume does not fit the grid, or subject or session are no BIDS names.
    """
    if taken := [name for name in case.scan.labels if name in IDENTITY_COLUMNS]:
        own = ", ".join(IDENTITY_COLUMNS)
        raise UsageError(f"label {taken[0]!r}", "a name that the cohort uses itself", f"not {own}")
    path = image_path(folder, grid, case.scan)
    if case.volume.shape != grid.shape or case.volume.dtype != np.uint8:
        found = f"a volume of {case.volume.dtype} {case.volume.shape}"
        raise ScanError(case.scan.path, found, f"uint8 {grid.shape}")
    sidecar_path(path).unlink(missing_ok=True)  # never an old sidecar beside a new image
    write_image(path, case.volume, grid)
    if case.view is None:
        remove_views(path)  # never an old view beside a new image
    else:
        write_view(path, case.view)
    write_sidecar(path, case.scan, grid, case.sidecar)
    return path


def has_case(folder: Path, grid: Grid, scan: Scan, recipe: Recipe) -> bool:
    """Return whether `scan` is in the cohort already, complete and made by this recipe."""
    path = image_path(folder, grid, scan)
    try:
        return path.exists() and read_sidecar(sidecar_path(path)).recipe == canonical_json(recipe)
    except ScanError:
        return False


def update_labels(folder: Path, grid: Grid, scan: Scan) -> None:
    """Bring the sidecar of a prepared scan up to date with the labels its source gives now.

    Raises
    ------
    ScanError
        If the scan is not in the cohort.
    """
    path = image_path(folder, grid, scan)
    content = read_json(sidecar_path(path), ScanError, "Prepare this scan again.")
    evidence = content.get("Evidence", [])
    if content["Labels"] != to_json(scan.labels) or (
        scan.evidence and evidence != [*scan.evidence]
    ):
        own = ("Labels", "Evidence")
        write_sidecar(path, scan, grid, {k: v for k, v in content.items() if k not in own})


def finish_cohort(
    folder: Path,
    grid: Grid,
    recipe: Recipe,
    census: Census,
    label_column: str = "diagnosis",
) -> Cohort:
    """Make a folder of written cases whole: BIDS tables, packed volumes and ``census.json``.

    Parameters
    ----------
    folder, grid, recipe
        What the cases were written with.
    census
        The census of the sources; the scans that it dropped stay listed.
    label_column
        The label that the census counts.

    Raises
    ------
    CohortError
        If there is no usable scan, or there are scans of another grid or recipe.
    """
    packed = _packed(folder)
    if packed.grid != grid:
        found, expected = (f"{g.resolution_mm} mm" for g in (packed.grid, grid))
        raise CohortError(folder, f"scans at {found}", expected, "Use a new folder.")
    _check_recipe(folder, packed.recipe, recipe)
    _write_census(folder, folder, packed, census.dropped, label_column)
    return _cohort(folder, packed)


def open_cohort(folder: str | Path, recipe: Recipe | None = None) -> Cohort:
    """Open a cohort; pack its volumes first if that was never done or scans have changed since.

    Parameters
    ----------
    folder
        A folder that `write_case` filled.
    recipe
        The preprocessing recipe the scans must have been made by; None accepts any.

    Raises
    ------
    CohortError
        If the folder is missing, holds no usable scan, mixes grids or recipes, or was made by
        another recipe than `recipe`.
    """
    folder = Path(folder)
    packed = _packed(folder)
    if recipe is not None:
        _check_recipe(folder, packed.recipe, recipe)
    return _cohort(folder, packed)


def read_census(folder: Path) -> Census:
    """Return the census of a finished cohort.

    Raises
    ------
    CohortError
        If there is none.
    """
    try:
        return census_from_json(read_json(_census_file(folder), CohortError))
    except (CohortError, KeyError, TypeError):
        raise CohortError(folder, "no readable census.json", "a finished cohort") from None


def prepared_scans(folder: Path) -> list[Scan]:
    """Return the scans of a cohort as their sidecars say, with the evidence of who they are."""
    paths = (folder / name for name, _, _ in list_files(folder) if name.endswith(".json"))
    scans = [read_sidecar(path).scan for path in paths]
    return sorted(scans, key=lambda scan: scan.scan_id)


def _packed(folder: Path) -> Packed:
    if not folder.is_dir():
        raise CohortError(folder, "no such folder", "a cohort", did_you_mean(folder))
    check_format(folder)
    files = list_files(folder)
    if not files:
        raise CohortError(folder, "no prepared scans", "a cohort", "Run braincase prepare first.")
    digest = cohort_digest(files)
    packed = open_packed(folder / "packed", digest)
    if packed is not None:
        return packed
    place = packing_place(folder)
    with packing_lock(place):
        # Another process (a rank of the same training) may have packed while this one waited.
        return open_packed(place, digest) or _pack_anew(folder, place, files, digest)


def _pack_anew(folder: Path, place: Path, files: Sequence[FileStat], digest: str) -> Packed:
    packed = pack(folder, place, files)
    dropped_before, label_column = _census_before(folder)
    # What an earlier packing dropped may be mended; what preparation dropped stands only there.
    dropped = [(where, why) for where, why in dropped_before if not _is_prepared_image(where)]
    _write_census(folder, _census_place(folder, place), packed, dropped, label_column)
    mark_packed(place, packed, digest)
    return packed


def _census_file(folder: Path) -> Path:
    """Return the census of the scans as they are: that of the cache where it was packed anew."""
    files = list_files(folder) if folder.is_dir() else []
    if files and open_packed(folder / "packed", cohort_digest(files)) is None:
        place = _census_place(folder, packing_place(folder)) / "census.json"
        if place.exists():
            return place
    return folder / "census.json"


def _census_place(folder: Path, place: Path) -> Path:
    """Return where the census goes: beside the packed volumes if the cohort is read-only."""
    return folder if place.parent == folder else place


def _write_census(
    folder: Path,
    to: Path,
    packed: Packed,
    dropped: Sequence[tuple[str, str]],
    label_column: str,
) -> None:
    scans = [_scan_of(folder, row) for row in packed.rows]
    hashes = [row["image_hash"] for row in packed.rows]
    census = take_census(scans, (*dropped, *packed.dropped), label_column, hashes)
    write_json(
        to / "census.json", {"label_column": label_column, **to_json_object(census.to_json())}
    )


def _scan_of(folder: Path, row: Row) -> Scan:
    labels = {name: value for name, value in row.items() if name not in IDENTITY_COLUMNS}
    session = None if row["session"] is None else str(row["session"])
    return Scan(folder / str(row["image"]), str(row["subject"]), session, labels)


def _census_before(folder: Path) -> tuple[list[Dropped], str]:
    """Return what an earlier census dropped, and the column that it counted."""
    try:
        content = read_json(folder / "census.json", CohortError)
    except CohortError:
        content = {}
    return content.get("dropped", []), content.get("label_column", "diagnosis")


def _is_prepared_image(where: str) -> bool:
    return where.startswith("sub-") and where.endswith(IMAGE_ENDING)


def _cohort(folder: Path, packed: Packed) -> Cohort:
    columns = dict.fromkeys(name for row in packed.rows for name in row)
    table = pd.DataFrame(list(packed.rows), columns=list(columns))
    return Cohort(folder, packed.grid, packed.recipe, table, packed.volumes)


def _check_recipe(folder: Path, found: Recipe, expected: Recipe) -> None:
    if canonical_json(found) == canonical_json(expected):
        return
    here, there = to_json_object(found), to_json_object(expected)
    names = [name for name in {**there, **here} if here.get(name) != there.get(name)]
    raise CohortError(
        folder,
        "another preprocessing recipe (" + _some_settings(here, names) + ")",
        _some_settings(there, names),
        "Prepare the scans again into a new folder.",
    )


def _some_settings(recipe: Recipe, names: Sequence[str]) -> str:
    some = ", ".join(f"{name}={recipe.get(name)!r}" for name in names[:3])
    return f"{some}, ..." if len(names) > 3 else some
