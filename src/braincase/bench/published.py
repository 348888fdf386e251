"""Published seeds and checksums (SHA-256) of the benchmark's cohorts and splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

SeedRole = Literal["development", "report", "other"]
#: Settings are chosen on these cohorts.
DEVELOPMENT_SEEDS = (0, 1, 2)
#: Results are reported on these; nothing may ever be chosen by looking at them.
REPORT_SEEDS = (1001, 1002, 1003)


@dataclass(frozen=True)
class Checksums:
    """Checksums of one cohort, each a SHA-256 in hexadecimal.

    Parameters
    ----------
    people
        Of who is in it: the same on every machine.
    splits
        Of who trains, who can be found and who asks: the same on every machine.
    images
        Of all voxels; a processor that rounds otherwise can give another. Empty where unknown.
    """

    people: str
    splits: str
    images: str = ""


#: (size, seed) -> checksums.
PUBLISHED: Mapping[tuple[str, int], Checksums] = MappingProxyType({})


def role_of_seed(seed: int) -> SeedRole:
    """Return what a seed is for."""
    if seed in DEVELOPMENT_SEEDS:
        return "development"
    return "report" if seed in REPORT_SEEDS else "other"
