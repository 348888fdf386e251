"""BIDS data set of simulated raw heads: begun, or gone on with where a run was interrupted."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np

from braincase.cohort.derivatives import sidecar_path
from braincase.errors import UsageError
from braincase.files import write_json
from braincase.images.volume import write_volume
from braincase.json_values import Json, JsonObject, parse_json
from braincase.simulate.head import SimulatedHead


def begin_heads(folder: Path, name: str, asked: JsonObject) -> None:
    """Begin a data set, or go on with one that was asked for in the same way.

    Parameters
    ----------
    folder
        A new folder, or that of an interrupted run.
    name
        Of the data set.
    asked
        All that its heads depend on.

    Raises
    ------
    UsageError
        If the folder holds anything else.
    """
    path = folder / "dataset_description.json"
    description: dict[str, Json] = {
        "Name": name, "BIDSVersion": "1.10.0", "DatasetType": "raw", "Simulation": dict(asked),
    }  # fmt: skip
    if folder.exists():
        before = None
        with suppress(OSError, ValueError):
            before = parse_json(path.read_text(encoding="utf-8"))
        if before != description:
            expected = "a new folder, or that of a run of the same command that was stopped"
            raise UsageError(folder, "exists already", expected)
        return
    write_json(path, description)


def is_written(image: Path) -> bool:
    """Tell whether a head is there: its sidecar is written last."""
    return sidecar_path(image).exists()


def write_simulated_head(image: Path, head: SimulatedHead, **truth: Json) -> None:
    """Write a head, and beside it what is true of it, with its affine to MNI152."""
    write_volume(image, np.rint(head.data).astype(np.int16), head.affine)
    told = {"Simulated": True, **truth, "NativeToMNI": head.native_to_mni.tolist()}
    write_json(sidecar_path(image), told)
