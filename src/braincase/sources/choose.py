"""Deduplication: the best image of each visit, and images that are the same file."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from braincase.sources.scan import Scan

SAMPLE_BYTES = 1 << 16
#: What was left out: where, and the reason.
Dropped: TypeAlias = list[tuple[str, str]]
#: A sort key of images of one visit, each reader's own; the lowest is the best.
Rank: TypeAlias = tuple[int | str, ...]


def one_a_session(ranked: Iterable[tuple[Rank, Scan]]) -> tuple[list[Scan], Dropped]:
    """Keep the best-ranked scan of each subject and session; say which one is used instead.

    Parameters
    ----------
    ranked
        The rank, lowest is best, and the scan.
    """
    best: dict[str, tuple[Rank, Scan]] = {}
    others: list[Scan] = []
    for rank, scan in ranked:
        if scan.scan_id not in best:
            best[scan.scan_id] = (rank, scan)
            continue
        best_rank, best_scan = best[scan.scan_id]
        if (rank, str(scan.path)) < (best_rank, str(best_scan.path)):
            best[scan.scan_id] = (rank, scan)
            others.append(best_scan)
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
    """Fingerprint each scan's file: two scans share a mark only if their files are the same.

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
