"""The training set: scans, classes and people as tensors; the mean brain and the variance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from braincase.cohort.cohort import Cohort, class_names
from braincase.errors import UsageError

Rows = NDArray[np.int64]
#: The class of every scan where a model is trained without a label.
NO_LABEL = "unlabelled"
#: Volumes stay resident in memory while they take less than this share of what is free.
RESIDENT_SHARE = 0.5


@dataclass(frozen=True)
class TrainingSet:
    """The training scans as the loop needs them.

    Parameters
    ----------
    read
        Gives uint8 volumes (b, *shape) on the device for a tensor of positions.
    labels, subjects
        Class and person number of each position, on the device.
    classes
        Names of the classes in order of their numbers.
    mean
        The mean brain in [0, 1], shape (1, 1, *shape), on the CPU.
    variance
        Mean squared difference from it, over scans and voxels.
    """

    read: Callable[[Tensor], Tensor]
    labels: Tensor
    subjects: Tensor
    classes: tuple[str, ...]
    mean: Tensor
    variance: float

    def __len__(self) -> int:
        """Return the number of scans."""
        return len(self.labels)


def rows_of_classes(cohort: Cohort, label: str, classes: Sequence[str]) -> Rows:
    """Return the rows whose label is one of `classes`, or any at all where none are named.

    Without a label (empty) these are all rows.

    Raises
    ------
    UsageError
        If there is no such column, or a class has no scan.
    """
    if not label:
        return np.arange(len(cohort), dtype=np.int64)
    names = class_names(cohort.column(label))
    for name in classes:
        if not (names == name).any():
            values = ", ".join(sorted(set(names.dropna())))
            raise UsageError(cohort.folder, f"no scan with {label} {name!r}", f"some of {values}")
    if classes:
        return np.flatnonzero(names.isin(list(classes))).astype(np.int64)
    return np.flatnonzero(names.notna()).astype(np.int64)


def training_set(cohort: Cohort, rows: Rows, label: str, device: torch.device) -> TrainingSet:
    """Load the training scans: labels and, where they fit, 8-bit volumes on the device."""
    names = np.full(len(rows), NO_LABEL, dtype=object)
    if label:
        names = class_names(cohort.column(label)).iloc[rows].astype(str).to_numpy()
    classes, labels = np.unique(names, return_inverse=True)
    _, subjects = np.unique(cohort.table["subject"].iloc[rows].astype(str), return_inverse=True)
    read = _reader(cohort, rows, device)
    return TrainingSet(
        read,
        torch.from_numpy(labels).to(device),
        torch.from_numpy(subjects).to(device),
        tuple(str(c) for c in classes),
        *_mean_and_variance(read, len(rows), device),
    )


def _reader(cohort: Cohort, rows: Rows, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Return a function that gives volumes by position: from device memory, or from the disk."""
    needed = len(rows) * cohort.grid.size
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
    if needed < RESIDENT_SHARE * (free or psutil.virtual_memory().available):
        resident = torch.from_numpy(cohort.volumes[rows]).to(device)
        return lambda positions: resident[positions]
    return lambda positions: torch.from_numpy(cohort.volumes[rows[positions.cpu()]]).to(device)


def _mean_and_variance(
    read: Callable[[Tensor], Tensor], scans: int, device: torch.device, batch: int = 64
) -> tuple[Tensor, float]:
    """Return the mean volume in [0, 1], shape (1, 1, *shape), and the variance about it."""
    total, squares = torch.zeros((), dtype=torch.float64, device=device), 0.0
    for positions in torch.split(torch.arange(scans, device=device), batch):
        volumes = read(positions).double() / 255
        total = total + volumes.sum(0)
        squares += float(volumes.square().sum())
    mean = total / scans
    variance = squares / (scans * mean.numel()) - float(mean.square().mean())
    return mean.float()[None, None].cpu(), variance
