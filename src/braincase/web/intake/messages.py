"""Message protocol (records, JSON and raw arrays) of the upload worker; every answer is validated.

The worker reads hostile files, so what it answers is judged like anything from outside: nothing is
unpickled, and sizes, types, shapes, names and order are checked before a value is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from braincase import errors
from braincase.cohort.view import ViewChoice
from braincase.errors import BraincaseError
from braincase.gallery.record.record import MOST_DIMENSIONS
from braincase.images.geometry import VIEW_GRIDS, Grid
from braincase.json_values import Json, JsonObject, to_json_object
from braincase.labels import BRAIN_ML, Value

#: Labels of a DICOM scan that are passed on; nothing that names a person or an examination.
SHOWN_LABELS = ("age", "sex", BRAIN_ML, "scanner", "field_strength", "t1w")
#: Share of the whole work that is done when a step begins.
PROGRESS = {"unpacking": 0.0, "reading": 0.05, "looking": 0.2, "preparing": 0.3, "judging": 0.8}
#: Letters of a text, notes of a scan, and bytes of the JSON of a message.
MOST_TEXT, MOST_NOTES, MOST_JSON = 2000, 50, 1 << 18
#: Series that are offered for choice at most.
MOST_SERIES = 50
#: The only numbers that arrays on the wire may have.
VOXEL, NUMBER = np.dtype("u1"), np.dtype("<f4")


class MessageError(Exception):
    """A message that the other side, as it was written, does not send."""


@dataclass(frozen=True)
class Task:
    """One upload to work on: the file, an empty folder to unpack into, and what it may become.

    `series` is the number of the DICOM series to take, where somebody has chosen one; `view` the
    view volume that is wanted too.
    """

    source: Path
    folder: Path
    most_bytes: int
    most_files: int
    series: int | None = None
    view: ViewChoice | None = None

    @property
    def view_grid(self) -> Grid | None:
        """The grid of the view volume that is wanted."""
        return VIEW_GRIDS[self.view.resolution_mm] if self.view else None


@dataclass(frozen=True)
class Step:
    """One step of `PROGRESS` has begun."""

    name: str

    @property
    def progress(self) -> float:
        """The share of the whole work that is done."""
        return PROGRESS[self.name]


@dataclass(frozen=True, eq=False)
class Embedded:
    """An uploaded scan, prepared and embedded.

    Parameters
    ----------
    volume
        uint8 on the model's grid.
    code
        Shape (n_cells,), finite.
    labels
        What the file tells: age, sex, scanner.
    notes
        What the user should know about it.
    recipe
        How it was prepared; never sent, as the worker has said it before it read any upload.
    view
        Voxels of the view volume, uint8, where the task asked for one.
    """

    volume: NDArray[np.uint8]
    code: NDArray[np.float32]
    labels: Mapping[str, Value]
    notes: tuple[str, ...]
    recipe: JsonObject = field(default_factory=dict)
    view: NDArray[np.uint8] | None = None

    @property
    def image_hash(self) -> str:
        """SHA-256 of the voxels, as cohorts and galleries keep it."""
        return sha256(self.volume.tobytes()).hexdigest()


@dataclass(frozen=True)
class OfferedSeries:
    """A DICOM series that may be the scan: its number, what it calls itself, and its slices."""

    number: int
    description: str
    slices: int


@dataclass(frozen=True)
class SeriesChoice:
    """The upload holds several series that may be the scan, and a person has to choose."""

    series: tuple[OfferedSeries, ...]


@dataclass(frozen=True)
class Ready:
    """The model is loaded: the worker takes tasks, and prepares them by this recipe."""

    recipe: JsonObject


Report = Ready | Step | Embedded | SeriesChoice | BraincaseError


def largest_payload(grid: Grid, view: Grid | None = None) -> int:
    """Return the most bytes of the arrays of an `Embedded`; no message has more."""
    return grid.size + (view.size if view else 0) + MOST_DIMENSIONS * NUMBER.itemsize


def encode_task(task: Task) -> bytes:
    """Return a task as JSON."""
    return json.dumps(to_json_object(task)).encode()


def decode_task(content: bytes) -> Task:
    """Return the task in the JSON of `encode_task`; it comes from the service."""
    told = json.loads(content)
    places = Path(told["source"]), Path(told["folder"])
    view = ViewChoice(**told["view"]) if told["view"] else None
    return Task(*places, told["most_bytes"], told["most_files"], told["series"], view)


def encode_report(report: Report) -> tuple[bytes, bytes]:
    """Return a report as JSON and the bytes of its arrays."""
    payload = b""
    content: dict[str, object] = {"kind": type(report).__name__}
    match report:
        case Ready(recipe):
            content["recipe"] = recipe
        case Step(name):
            content["name"] = name
        case SeriesChoice(series):
            rows = [[s.number, _short(s.description), s.slices] for s in series[:MOST_SERIES]]
            content["series"] = rows
        case Embedded(volume, code, labels, notes, _, view):
            views = () if view is None else (np.ascontiguousarray(view),)
            arrays = np.ascontiguousarray(volume), code.astype(NUMBER), *views
            content["arrays"] = [[a.dtype.str, list(a.shape)] for a in arrays]
            content |= {"labels": labels, "notes": [_short(n) for n in notes[:MOST_NOTES]]}
            payload = b"".join(array.tobytes() for array in arrays)
        case BraincaseError():
            content["texts"] = [_short(str(text)) for text in report.args]
    return json.dumps(to_json_object(content)).encode(), payload


def _short(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 3]}..."


def decode_report(content: bytes, payload: bytes, grid: Grid, view: Grid | None = None) -> Report:
    """Return the report of a worker, checked.

    Parameters
    ----------
    content, payload
        The JSON, and the bytes of the arrays.
    grid
        The grid that volumes must have.
    view
        The grid that a view volume must have, where one was asked for.

    Raises
    ------
    MessageError
        If it is no report that a worker sends.
    """
    try:
        told = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise MessageError("no JSON") from None
    if not isinstance(told, dict):
        raise MessageError("no JSON object")
    kind = told.pop("kind", None)
    fields = {
        "Ready": {"recipe"},
        "Step": {"name"},
        "Embedded": {"arrays", "labels", "notes"},
        "SeriesChoice": {"series"},
    }
    is_error = isinstance(kind, str) and kind not in fields
    wanted = {"texts"} if is_error else fields.get(kind, set()) if isinstance(kind, str) else set()
    if set(told) != wanted or (payload and kind != "Embedded"):
        raise MessageError("other fields than a report has")
    match kind:
        case "Ready":
            return _ready(told["recipe"])
        case "Step":
            return _step(told["name"])
        case "Embedded":
            return _embedded(told, payload, grid, view)
        case "SeriesChoice":
            return _choice(told["series"])
    return _error(kind, told["texts"])


def _refuse_constant(word: str) -> NoReturn:
    raise MessageError(f"the number {word}")


def _ready(recipe: Json) -> Ready:
    if not isinstance(recipe, dict):
        raise MessageError("a recipe that is no object")
    return Ready(recipe)


def _step(name: Json) -> Step:
    if not isinstance(name, str) or name not in PROGRESS:
        raise MessageError("a step that does not exist")
    return Step(name)


def _embedded(
    told: Mapping[str, Json], payload: bytes, grid: Grid, view_grid: Grid | None
) -> Embedded:
    arrays = told["arrays"]
    has_view = view_grid is not None and isinstance(arrays, list) and len(arrays) == 3
    n_view = view_grid.size if view_grid and has_view else 0
    n_numbers = (len(payload) - grid.size - n_view) // NUMBER.itemsize
    expected = [[VOXEL.str, list(grid.shape)], [NUMBER.str, [n_numbers]]]
    expected += [[VOXEL.str, list(view_grid.shape)]] if view_grid and has_view else []
    if arrays != expected or not 1 <= n_numbers <= MOST_DIMENSIONS:
        raise MessageError("arrays of another type or shape")
    if len(payload) != grid.size + n_numbers * NUMBER.itemsize + n_view:
        raise MessageError("arrays of another size than their shape")
    volume = np.frombuffer(payload, VOXEL, grid.size).reshape(grid.shape)
    code = np.frombuffer(payload, NUMBER, n_numbers, grid.size)
    view = None
    if view_grid and has_view:
        view = np.frombuffer(payload, VOXEL, n_view, len(payload) - n_view)
        view = view.reshape(view_grid.shape)
    if not np.isfinite(code).all():
        raise MessageError("a code with numbers that are not finite")
    labels, notes = told["labels"], told["notes"]
    if not isinstance(labels, dict) or not set(labels) <= set(SHOWN_LABELS):
        raise MessageError("labels that are not shown")
    return Embedded(
        volume,
        code.astype(np.float32),
        {name: _label(value) for name, value in labels.items()},
        tuple(_texts(notes, MOST_NOTES)),
        view=view,
    )


def _choice(rows: Json) -> SeriesChoice:
    if not isinstance(rows, list) or not 2 <= len(rows) <= MOST_SERIES:
        raise MessageError("another list of series than a choice has")
    return SeriesChoice(tuple(map(_offered, rows)))


def _offered(row: Json) -> OfferedSeries:
    match row:
        case [int(number), str(description), int(slices)] if (
            min(number, slices) >= 0 and max(number, slices) < 2**31
        ):
            return OfferedSeries(number, _text(description), slices)
    raise MessageError("a series that is none")


def _label(value: Json) -> Value:
    if isinstance(value, bool | list | dict):
        raise MessageError("a label that is no text and no number")
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int) and abs(value) > 2**53:
        raise MessageError("a label that is no usual number")
    if isinstance(value, float) and not isfinite(value):  # 1e999
        raise MessageError("a label that is not finite")
    return value


def _error(kind: object, texts: Json) -> BraincaseError:
    known = getattr(errors, kind, None) if isinstance(kind, str) else None
    if not (isinstance(known, type) and issubclass(known, BraincaseError)):
        raise MessageError("a kind of report that does not exist")
    words = _texts(texts, 4)
    if len(words) != 4:
        raise MessageError("an error without its four texts")
    return known(*words)


def _texts(value: Json, most: int) -> Sequence[str]:
    if not isinstance(value, list) or len(value) > most:
        raise MessageError("another list of texts than a report has")
    return [_text(text) for text in value]


def _text(value: Json) -> str:
    """Return a text, of any letters that can be printed."""
    if not isinstance(value, str) or len(value) > MOST_TEXT:
        raise MessageError("a text that is none, or too long")
    return "".join(letter if letter.isprintable() else "?" for letter in value)
