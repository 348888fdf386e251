"""One image a visit, and images that are the same."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

from braincase.sources.scan import Scan

SAMPLE_BYTES = 1 << 16
Dropped = list[tuple[str, str]]


def one_a_session(ranked: Iterable[tuple[Any, Scan]]) -> tuple[list[Scan], Dropped]:
    """Keep the best-ranked scan of each subject and session; say which one was kept instead.

    Parameters
    ----------
    ranked
        A sortable rank, lowest is best, and the scan.
    """
    best: dict[str, tuple[Any, Scan]] = {}
    others: list[Scan] = []
    for rank, scan in ranked:
        held = best.get(scan.scan_id)
        if held is None or (rank, str(scan.path)) < (held[0], str(held[1].path)):
            best[scan.scan_id] = (rank, scan)
            others += [held[1]] if held else []
        else:
            others.append(scan)
    dropped = [
        (
            str(scan.path),
            f"another T1w of the same visit is used ({best[scan.scan_id][1].path.name})",
        )
        for scan in others
    ]
    return [scan for _, scan in best.values()], dropped


def image_marks(scans: Sequence[Scan]) -> list[Hashable]:
    """Return a mark for each scan that two scans share only if their files are the same.

    Files are compared by size, then by three samples, then whole; folders are never read.
    """
    marks: list[Hashable] = [_size(scan.path) for scan in scans]
    for refine in (_samples, _whole):
        groups = defaultdict(list)
        for row, mark in enumerate(marks):
            groups[mark].append(row)
        for rows in groups.values():
            for row in rows if len(rows) > 1 else ():
                marks[row] = refine(scans[row].path)
    return marks


def _size(path: Path) -> Hashable:
    return path.stat().st_size if path.is_file() else str(path)


def _samples(path: Path) -> Hashable:
    if not path.is_file():
        return str(path)
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode())
    with path.open("rb") as file:
        for start in (0, size // 2, max(size - SAMPLE_BYTES, 0)):
            file.seek(start)
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


def _whole(path: Path) -> Hashable:
    if not path.is_file():
        return str(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
