"""The benchmark's cohort: simulated where it is missing, and verified by published checksums."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

import pandas as pd

from braincase.bench.published import PUBLISHED, Checksums, SeedRole, role_of_seed
from braincase.bench.splits import Splits, check_splits, deal_people, splits_checksum
from braincase.cohort.cohort import Cohort
from braincase.errors import CohortError
from braincase.json_values import canonical_json
from braincase.simulate.cohort import simulate_cohort
from braincase.simulate.people import SIZES, draw_visits

#: What says who a person is, and when and where the scan was made.
PEOPLE_COLUMNS = ("subject", "session", "diagnosis", "age", "sex", "scanner", "design")
Verified = Literal[
    "published", "same people, other voxels", "same people, no voxels published", "unpublished"
]


@dataclass(frozen=True)
class Archive:
    """A cohort ready for the benchmark.

    Parameters
    ----------
    cohort, splits
        The scans, and who has which part.
    size, seed
        What it was simulated from.
    role
        What the seed is for.
    checksums
        Of this cohort.
    verified
        How they compare with the published ones.
    """

    cohort: Cohort
    splits: Splits
    size: str
    seed: int
    role: SeedRole
    checksums: Checksums
    verified: Verified


def open_archive(
    folder: Path,
    size: str = "bench",
    seed: int = 0,
    resolution_mm: int | None = None,
    workers: int = 0,
) -> Archive:
    """Simulate what is missing of a benchmark's cohort, deal its people, and verify both.

    Parameters
    ----------
    folder
        Of the cohort; an interrupted simulation goes on there.
    size, seed
        What is simulated.
    resolution_mm
        Voxel edge; by default that of the size, at which checksums of voxels are published.
    workers
        Processes; 0 means one a core.

    Raises
    ------
    CohortError
        If other people, or other splits, were published under this size and seed.
    LeakError
        If a person has two parts.
    """
    return archive_of(
        simulate_cohort(folder, size, seed, resolution_mm, workers=workers), size, seed
    )


def archive_of(cohort: Cohort, size: str, seed: int) -> Archive:
    """Deal the people of a cohort and verify it; see `open_archive`."""
    splits = deal_people(cohort.table, seed)
    check_splits(cohort, splits)
    checksums = Checksums(
        people=people_checksum(cohort.table),
        splits=splits_checksum(cohort.table, splits),
        images=images_checksum(cohort.table),
    )
    verified = _verify(cohort.folder, checksums, PUBLISHED.get((size, seed)))
    return Archive(cohort, splits, size, seed, role_of_seed(seed), checksums, verified)


def drawn_people(size: str, seed: int) -> pd.DataFrame:
    """Return who will be in a simulated cohort, with `PEOPLE_COLUMNS`, before any image is made."""
    visits = draw_visits(SIZES[size], seed)
    rows = [
        (v.person.subject, v.session, v.person.diagnosis, v.age, v.person.sex, v.scanner, v.design)
        for v in visits
    ]
    return pd.DataFrame(rows, columns=list(PEOPLE_COLUMNS))


def people_checksum(table: pd.DataFrame) -> str:
    """Return the SHA-256 of who is in a cohort, whatever the order of its rows."""
    columns = [name for name in PEOPLE_COLUMNS if name in table]
    rows = sorted("\t".join(map(str, row)) for row in table[columns].itertuples(index=False))
    return sha256(canonical_json(rows).encode()).hexdigest()


def images_checksum(table: pd.DataFrame) -> str:
    """Return the SHA-256 of all voxels and of whose they are, whatever the order of the rows."""
    rows = sorted(f"{i} {h}" for i, h in zip(table["scan_id"], table["image_hash"], strict=True))
    return sha256(canonical_json(rows).encode()).hexdigest()


def _verify(folder: Path, found: Checksums, published: Checksums | None) -> Verified:
    if published is None:
        return "unpublished"
    for what in ("people", "splits"):
        here, there = getattr(found, what), getattr(published, what)
        if here != there:
            raise CohortError(
                folder,
                f"{what} with the checksum {here[:12]}",
                f"{there[:12]}, as published for this size and seed",
                "Use a new folder, and the version of Braincase that the result is compared with.",
            )
    if not published.images:
        return "same people, no voxels published"
    return "published" if found.images == published.images else "same people, other voxels"
