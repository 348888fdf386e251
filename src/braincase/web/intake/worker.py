"""The worker process that prepares and embeds uploaded scans: it alone has the model.

It is a process and not a thread so that a job can be cancelled for good: the process is killed and
another one started. It also keeps the memory of a hostile file away from the service.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable

import numpy as np

from braincase.errors import BraincaseError, ScanError, UsageError
from braincase.models.encoder import Encoder
from braincase.sources.scratch import use_temporary
from braincase.web.intake.archives import opened
from braincase.web.intake.channel import Channel
from braincase.web.intake.messages import (
    SHOWN_LABELS,
    Embedded,
    OfferedSeries,
    Ready,
    Report,
    SeriesChoice,
    Step,
    Task,
    decode_task,
    encode_report,
)


def work(
    load: Callable[[], Encoder], channel: Channel, shut_in: Callable[[], None] | None = None
) -> None:
    """Load the model, then prepare and embed every `Task` that comes through the channel.

    Parameters
    ----------
    load
        Loads the model.
    channel
        To the service.
    shut_in
        Called between the model and the first task: takes away what only the model needed.
    """

    def report(message: Report) -> None:
        channel.send(*encode_report(message))

    try:
        encoder = load()
    except BraincaseError as error:
        report(error)
        return
    if shut_in is not None:
        shut_in()
    report(Ready(encoder.recipe))
    while True:
        try:
            task = decode_task(channel.receive()[0])
        except EOFError:
            return
        report(_outcome(encoder, task, report))


def _outcome(encoder: Encoder, task: Task, report: Callable[[Report], None]) -> Report:
    try:
        return embed_upload(encoder, task, lambda step: report(Step(step)))
    except UsageError as error:  # of a file that holds no or several scans
        if choice := _choice(task):
            return choice
        return ScanError("scan", error.found, error.expected, error.advice)
    except BraincaseError as error:
        return error
    except MemoryError:
        return ScanError("scan", "larger than this machine's memory", "", "Resample it first.")
    except Exception as error:  # one file nobody thought of must not end the service
        traceback.print_exc()
        return ScanError("scan", f"cannot be used ({type(error).__name__})", "a T1-weighted MRI")


def _choice(task: Task) -> SeriesChoice | None:
    """Return the series of an unpacked DICOM study to choose from, where nobody has chosen yet."""
    from braincase.sources.dicom import series_to_choose
    from braincase.sources.find import recognise

    is_study = task.series is None and any(task.folder.iterdir())
    if not is_study or recognise(task.folder) != "dicom":
        return None
    offered = [
        OfferedSeries(
            int(one.number("SeriesNumber") or 0),
            str(one.header.get("SeriesDescription") or one.header.get("ProtocolName") or ""),
            len(one.places),
        )
        for one in series_to_choose(task.folder)
    ]
    return SeriesChoice(tuple(offered)) if offered else None


def embed_upload(encoder: Encoder, task: Task, tell: Callable[[str], None]) -> Embedded:
    """Unpack, prepare and embed one uploaded file."""
    from braincase.search.pipeline import code_of
    from braincase.search.read_query import native_form, read_query

    use_temporary(task.source.parent)  # what is written goes when the job's folder goes
    tell("unpacking")
    path = opened(task.source, task.folder, task.most_bytes, task.most_files)
    native = native_form(encoder)
    scan = read_query(
        path, encoder.grid, encoder.recipe, tell,
        series=task.series, native=native, view=task.view,
    )  # fmt: skip
    code = code_of(encoder, scan)
    if not np.isfinite(code).all():
        raise ScanError("scan", "the model gave numbers that are not finite")
    labels = {name: scan.labels[name] for name in SHOWN_LABELS if name in scan.labels}
    view = scan.view.voxels if scan.view else None
    return Embedded(scan.volume, code, labels, scan.notes, view=view)
