"""Deduplication: the best image of each visit, and images that are the same file."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from braincase.sources.listing import damage
from braincase.sources.scan import Scan

SAMPLE_BYTES = 1 << 16
#: What was left out: where, and the reason.
Dropped: TypeAlias = list[tuple[str, str]]
#: A sort key of images of one visit, each reader's own; the lowest is the best.
Rank: TypeAlias = tuple[int | str, ...]


def one_a_session(ranked: Iterable[tuple[Rank, Scan]]) -> tuple[list[Scan], Dropped]:
    """Keep the best scan of each subject and session that can be read; say which is used instead.

    Where a visit has several images, a damaged one gives way to the next; where all are damaged,
    the best stays, and preparing it says why it cannot be used.

    Parameters
    ----------
    ranked
        The rank, lowest is best, and the scan.
    """
    visits: dict[str, list[tuple[Rank, str, Scan]]] = defaultdict(list)
    for rank, scan in ranked:
        visits[scan.scan_id].append((rank, str(scan.path), scan))
    chosen: list[Scan] = []
    dropped: Dropped = []
    for images in visits.values():
        scans = [scan for _, _, scan in sorted(images, key=lambda image: image[:2])]
        best, damaged = _first_whole(scans)
        whole = [s for s in scans if s is not best and str(s.path) not in damaged]
        chosen.append(replace(best, runs=tuple(whole)))
        for scan in scans:
            if scan is not best:
                reason = f"another T1w of the same visit is used ({_name(best, scan)})"
                dropped.append((str(scan.path), damaged.get(str(scan.path)) or reason))
    return chosen, dropped


def _first_whole(scans: Sequence[Scan]) -> tuple[Scan, dict[str, str]]:
    """Return the first scan whose file is whole, and the reasons against those before it."""
    damaged: dict[str, str] = {}
    if len(scans) == 1:
        return scans[0], damaged
    for scan in scans:
        reason = damage(scan.path)
        if not reason:
            used = f"; {scan.path.name} of the same visit is used"
            return scan, {path: why + used for path, why in damaged.items()}
        damaged[str(scan.path)] = reason
    return scans[0], {}


def _name(used: Scan, other: Scan) -> str:
    """Return what to call the image that is used; with its folder where both have one name."""
    if used.path.name != other.path.name:
        return used.path.name
    return f"{used.path.parent.name}/{used.path.name}"


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
