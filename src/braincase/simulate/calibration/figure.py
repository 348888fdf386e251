"""The figure of a calibration: coronal slices of healthy people above ill ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braincase.cohort.cohort import Cohort
from braincase.files import atomic_write

#: The coronal plane of the figure, MNI mm.
HIPPOCAMPUS_Y_MM = -22.0


def draw_groups(cohort: Cohort, path: Path, shown: int = 4) -> None:
    """Draw coronal slices through the hippocampi of CN above AD, each the group's middle people."""
    from matplotlib.figure import Figure  # heavy, and only needed here

    figure = Figure(figsize=(2.0 * shown, 5.2), facecolor="black", layout="constrained")
    axes = figure.subplots(2, shown)
    y_voxel = round(np.linalg.inv(cohort.grid.affine)[1] @ (0, HIPPOCAMPUS_Y_MM, 0, 1))
    for group, line in zip(("CN", "AD"), axes, strict=True):
        people = cohort.table[cohort.table["diagnosis"] == group].drop_duplicates("subject")
        table = people.sort_values("true_severity")
        middle = len(table) // 2 - shown // 2
        for row, ax in zip(table.index[middle : middle + shown], line, strict=True):
            entry = table.loc[row]
            # Radiological convention: the subject's right is on the left of the picture.
            slice_ = np.rot90(cohort.volumes[row][::-1, y_voxel])
            ax.imshow(slice_, cmap="gray", vmin=0, vmax=255)
            title = f"{group}, {entry['age']:.0f} y, severity {entry['true_severity']:.2f}"
            ax.set_title(title, color="white", fontsize=8)
            ax.axis("off")
    figure.suptitle(
        "Simulated, coronal at the hippocampi, R on the left", color="white", fontsize=9
    )
    with atomic_write(path) as aside:
        figure.savefig(aside, dpi=110)
