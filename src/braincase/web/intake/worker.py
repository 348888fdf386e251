"""The worker process that prepares and embeds uploaded scans: it alone has the model.

It is a process and not a thread so that a job can be cancelled for good: the process is killed and
another one started. It also keeps the memory of a hostile file away from the service.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braincase.errors import BraincaseError, ScanError, UsageError
from braincase.json_values import JsonObject
from braincase.labels import Value
from braincase.models.encoder import Encoder
from braincase.sources.scratch import use_temporary
from braincase.web.intake.archives import opened

#: Labels of a DICOM scan that are passed on; nothing that names a person or an examination.
SHOWN_LABELS = ("age", "sex", "scanner", "field_strength", "t1w")
#: Share of the whole work that is done when a step begins.
PROGRESS = {"unpacking": 0.0, "reading": 0.05, "looking": 0.2, "preparing": 0.3, "judging": 0.8}


@dataclass(frozen=True)
class Task:
    """One upload to work on: the file, an empty folder to unpack into, and what it may become."""

    source: Path
    folder: Path
    most_bytes: int
    most_files: int


@dataclass(frozen=True)
class Step:
    """One step has begun; `progress` of the whole is done."""

    name: str
    progress: float


@dataclass(frozen=True, eq=False)
class Embedded:
    """An uploaded scan, prepared and embedded.

    Parameters
    ----------
    volume
        uint8 on the model's grid.
    code
        Shape (n_dimensions,).
    labels
        What the file tells: age, sex, scanner.
    image_hash
        SHA-256 of the volume.
    notes
        What the user should know about it.
    recipe
        How it was prepared.
    """

    volume: NDArray[np.uint8]
    code: NDArray[np.float32]
    labels: Mapping[str, Value]
    image_hash: str
    notes: tuple[str, ...]
    recipe: JsonObject


@dataclass(frozen=True)
class Ready:
    """The model is loaded: the worker takes tasks."""


Report = Ready | Step | Embedded | BraincaseError


def work(
    load: Callable[[], Encoder], pipe: Connection, shut_in: Callable[[], None] | None = None
) -> None:
    """Load the model, then prepare and embed every `Task` that comes through the pipe.

    Parameters
    ----------
    load
        Loads the model.
    pipe
        To the service.
    shut_in
        Called between the model and the first task: takes away what only the model needed.
    """
    try:
        encoder = load()
    except BraincaseError as error:
        pipe.send(error)
        return
    if shut_in is not None:
        shut_in()
    pipe.send(Ready())
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        pipe.send(_outcome(encoder, task, pipe))


def _outcome(encoder: Encoder, task: Task, pipe: Connection) -> Report:
    try:
        return embed_upload(encoder, task, lambda step: pipe.send(Step(step, PROGRESS[step])))
    except UsageError as error:  # of a file that holds no or several scans
        return ScanError("scan", error.found, error.expected, error.advice)
    except BraincaseError as error:
        return error
    except MemoryError:
        return ScanError("scan", "larger than this machine's memory", "", "Resample it first.")
    except Exception as error:  # one file nobody thought of must not end the service
        traceback.print_exc()
        return ScanError("scan", f"cannot be used ({type(error).__name__})", "a T1-weighted MRI")


def embed_upload(encoder: Encoder, task: Task, tell: Callable[[str], None]) -> Embedded:
    """Unpack, prepare and embed one uploaded file."""
    from braincase.search.pipeline import code_of
    from braincase.search.query_scan import native_form, read_query

    use_temporary(task.source.parent)  # what is written goes when the job's folder goes
    tell("unpacking")
    path = opened(task.source, task.folder, task.most_bytes, task.most_files)
    native = native_form(encoder)
    scan = read_query(path, encoder.grid, encoder.recipe, tell, native=native)
    code = code_of(encoder, scan)
    if not np.isfinite(code).all():
        raise ScanError("scan", "the model gave numbers that are not finite")
    labels = {name: scan.labels[name] for name in SHOWN_LABELS if name in scan.labels}
    return Embedded(scan.volume, code, labels, scan.image_hash, scan.notes, encoder.recipe)
