"""Memory-mapped shards: many 8-bit volumes in a few ``.npy`` files, read by row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from braincase.errors import CohortError
from braincase.files import atomic_write, check_regular
from braincase.images.geometry import Shape3, downsampled

#: Volumes in one file: 3 GB at 2 mm, small enough to copy and large enough to be few.
SHARD_SCANS = 5000


@dataclass(frozen=True)
class PackedVolumes:
    """Lazily read volumes by row, from memory-mapped shards.

    ``volumes[rows]`` gives a uint8 array of shape (len(rows), *shape) for any sequence of row
    numbers, slice or mask; ``volumes[3]`` gives one volume of shape `shape`.

    Parameters
    ----------
    paths
        The ``.npy`` files in row order.
    counts
        Number of volumes in each of them.
    shape
        Shape of one volume.
    edge
        Cubes of so many stored voxels are averaged to one as they are read.
    """

    paths: tuple[Path, ...]
    counts: tuple[int, ...]
    shape: Shape3
    edge: int = 1

    def __len__(self) -> int:
        """Return the number of volumes."""
        return sum(self.counts)

    def __getitem__(self, rows: ArrayLike | slice) -> NDArray[np.uint8]:
        """Read volumes from disk: one for a row number, an array of them for many."""
        wanted = self._row_numbers(rows)
        if wanted.ndim == 0:
            return np.asarray(self[wanted[None]][0])
        volumes = np.empty((len(wanted), *self.shape), np.uint8)
        shards = np.searchsorted(self._ends, wanted, side="right")
        for shard in np.unique(shards):
            here = np.flatnonzero(shards == shard)
            start = self._ends[shard] - self.counts[shard]
            # In the order on disk, so that a spinning or remote disk reads forwards.
            here = here[np.argsort(wanted[here], kind="stable")]
            for place in here:
                stored = self._shards[shard][wanted[place] - start]
                volumes[place] = downsampled(stored, self.edge)
        return volumes

    def __getstate__(self) -> dict[str, object]:
        """Leave out the open memory maps."""
        # A pickled memory map would carry the volumes themselves to every worker process.
        return {
            "paths": self.paths, "counts": self.counts, "shape": self.shape, "edge": self.edge,
        }  # fmt: skip

    @cached_property
    def _shards(self) -> list[NDArray[np.uint8]]:
        return [np.load(path, mmap_mode="r", allow_pickle=False) for path in self.paths]

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.array(list(accumulate(self.counts)), np.int64)

    def _row_numbers(self, rows: ArrayLike | slice) -> NDArray[np.int64]:
        everything = np.arange(len(self))
        if isinstance(rows, slice):
            return everything[rows]
        index = np.asarray(rows)
        if index.size == 0 and index.dtype != bool:
            return np.empty(0, np.int64)
        return np.asarray(everything[index])  # masks, negative numbers and the bounds check


def write_shards(
    folder: Path,
    volumes: Iterable[NDArray[np.uint8]],
    shape: Shape3,
    shard_scans: int = SHARD_SCANS,
) -> PackedVolumes:
    """Write volumes as they come into ``folder/volumes-000.npy``, ``volumes-001.npy``, ...

    Only one volume is in memory at a time, and their number need not be known beforehand. Shards of
    an earlier packing are removed first.

    Parameters
    ----------
    folder
        Where the files go.
    volumes
        uint8 arrays of shape `shape`.
    shape
        Shape of one volume.
    shard_scans
        Largest number of volumes in one file.
    """
    for old in (*folder.glob("volumes-*.npy"), *folder.glob(".writing-*-volumes-*.npy")):
        old.unlink()  # the second kind is left behind by kill -9
    paths: list[Path] = []
    counts: list[int] = []
    rest = iter(volumes)
    while (first := next(rest, None)) is not None:
        paths.append(folder / f"volumes-{len(paths):03d}.npy")
        counts.append(_write_shard(paths[-1], chain([first], islice(rest, shard_scans - 1)), shape))
    return PackedVolumes(tuple(paths), tuple(counts), shape)


def open_shards(folder: Path, counts: Sequence[int], shape: Shape3) -> PackedVolumes:
    """Open what `write_shards` wrote.

    Raises
    ------
    CohortError
        If a file is missing or does not have the size that its volumes need.
    """
    paths = tuple(folder / f"volumes-{i:03d}.npy" for i in range(len(counts)))
    packed = PackedVolumes(paths, tuple(counts), shape)
    for path, count in zip(paths, counts, strict=True):
        try:
            shard = np.load(check_regular(path), mmap_mode="r", allow_pickle=False)
        # NumPy parses a header as Python, and passes on whatever its tokens lead to.
        except Exception as error:
            raise CohortError(path, f"cannot be opened ({error})", "packed volumes") from None
        if shard.shape != (count, *shape) or shard.dtype != np.uint8:
            raise CohortError(path, f"{shard.dtype} {shard.shape}", f"uint8 {(count, *shape)}")
    return packed


def _write_shard(path: Path, volumes: Iterable[NDArray[np.uint8]], shape: Shape3) -> int:
    # Plain writes and not a writable memory map: on a full disk a map kills the process (SIGBUS)
    # where a write raises OSError.
    count = 0
    with atomic_write(path) as aside, aside.open("wb") as file:
        _write_header(file, 0, shape)
        for volume in volumes:
            file.write(np.ascontiguousarray(volume, np.uint8).data)
            count += 1
        file.seek(0)
        _write_header(file, count, shape)
    return count


def _write_header(file: BinaryIO, count: int, shape: Shape3) -> None:
    # NumPy pads the header so that the first axis can grow without moving the data.
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
    np.lib.format.write_array_header_1_0(file, header)
