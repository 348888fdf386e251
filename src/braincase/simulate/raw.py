"""Simulated raw heads as a BIDS data set, to try ``braincase prepare`` where no scan is at hand.

Each head is imaged in the next of the ways of `WAYS`: most are what a scanner gives on a good
day, some are not, so that the quality page has something to show.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from braincase.errors import ParameterError
from braincase.files import write_text
from braincase.parallel import run_all
from braincase.simulate.head import Scanning, random_pose, simulate_head
from braincase.simulate.heads_folder import begin_heads, is_written, write_simulated_head

#: How the heads are imaged, in this order and again from the start. All claim to be T1w.
WAYS: Mapping[str, Scanning] = MappingProxyType(
    {
        "usual": Scanning(zooms_mm=(1, 1.2, 1.2)),
        "sagittal, strong bias field": Scanning(zooms_mm=(1.2, 1, 1), orientation="PIR", bias=0.3),
        "defaced": Scanning(zooms_mm=(1.2, 1.2, 1.2), defaced=True),
        "thick slices": Scanning(zooms_mm=(1, 1, 3)),
        "skull-stripped": Scanning(zooms_mm=(1.5, 1.5, 1.5), stripped=True),
        "moved by 8 mm": Scanning(zooms_mm=(1.2, 1.2, 1.2), motion_mm=8),
        "top of the head cut off": Scanning(zooms_mm=(1.2, 1.2, 1.2), cut_mm=(0, 0, 0, 0, 0, 80)),
        "T2w": Scanning("T2w", zooms_mm=(1.2, 1.2, 1.2)),
    }
)


def simulate_raw(folder: Path, count: int, seed: int = 0, workers: int = 0) -> list[Path]:
    """Write whole heads in random poses as a BIDS data set, and return the images.

    The sidecar of each image says how it was made, and its true affine: ``NativeToMNI``, shape
    (4, 4), native RAS+ mm to MNI152 RAS+ mm.

    Parameters
    ----------
    folder
        A new folder, or that of an interrupted run, which goes on.
    count
        How many heads.
    seed
        The same seed gives the same bits.
    workers
        Processes; 0 means one a core.

    Raises
    ------
    UsageError
        If the count is not positive or the folder holds something else.
    """
    if count < 1:
        raise ParameterError("raw", str(count), "at least 1")
    begin_heads(folder, "Simulated raw heads", {"raw": count, "seed": seed})
    ways = [list(WAYS)[k % len(WAYS)] for k in range(count)]
    rows = [f"sub-{k + 1:02d}\t{way}" for k, way in enumerate(ways)]
    write_text(folder / "participants.tsv", "\n".join(["participant_id\tway", *rows, ""]))
    write = partial(_write_head, folder, seed)
    for head in run_all(write, list(enumerate(ways)), "simulating", workers):
        if head.error:
            raise head.error
    return sorted(folder.glob("sub-*/anat/*.nii.gz"))


def _write_head(folder: Path, seed: int, numbered: tuple[int, str]) -> None:
    number, way = numbered
    path = folder / f"sub-{number + 1:02d}" / "anat" / f"sub-{number + 1:02d}_T1w.nii.gz"
    if is_written(path):
        return
    pose = random_pose(np.random.default_rng([seed, number]), 0.5)
    head = simulate_head(1000 * seed + number, pose, WAYS[way])
    write_simulated_head(path, head, Way=way)
