"""A worker that a file has taken over: no answer of it runs code or ends the service."""

from __future__ import annotations

import json
import os
import pickle
import socket
import struct
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from braincase.errors import ScanError
from braincase.gallery import open_gallery
from braincase.images.atlas import N_CELLS
from braincase.images.geometry import HALF_GRID
from braincase.models.encoder import Encoder
from braincase.web.intake import channel
from braincase.web.intake.channel import PREFIX, Channel
from braincase.web.intake.messages import (
    Embedded,
    MessageError,
    OfferedSeries,
    Ready,
    Report,
    SeriesChoice,
    Step,
    decode_report,
    encode_report,
    largest_payload,
)
from braincase.web.service_settings import ServiceSettings
from web_service import API, serving, settings_for, uploaded

SCAN = Embedded(
    np.arange(HALF_GRID.size, dtype=np.uint8).reshape(HALF_GRID.shape),
    np.linspace(-1, 1, N_CELLS, dtype=np.float32),
    {"age": 71, "sex": "F", "scanner": None, "field_strength": 1.5},
    ("a note",),
)


class Bomb:
    """Unpickled, it writes a file: what a file's exploit would do with the service's rights."""

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, (f"touch {os.environ['BOMB']}",))


def sent(content: bytes, payload: bytes = b"") -> bytes:
    return PREFIX.pack(len(content), len(payload)) + content + payload


def changed(**fields: object) -> bytes:
    """The answer of a sound worker, but for some fields."""
    content, payload = encode_report(SCAN)
    return sent(json.dumps({**json.loads(content), **fields}).encode(), payload)


def pickled() -> bytes:
    """As `multiprocessing.Connection.send` would write it."""
    content = pickle.dumps(Bomb())
    return struct.pack("!i", len(content)) + content


ARRAYS = [["|u1", [40, 48, 40]], ["<f4", [150]]]
HOSTILE = {
    "series": lambda: sent(b'{"kind": "SeriesChoice", "series": [[1, "a", 9], [2, 3, "b"]]}'),
    "one series": lambda: sent(b'{"kind": "SeriesChoice", "series": [[1, "a", 9]]}'),
    "a pickle": pickled,
    "a pickle in a frame": lambda: sent(pickle.dumps(Bomb())),
    "too long": lambda: PREFIX.pack(2**31, 0) + b"x" * 10,
    "too long arrays": lambda: PREFIX.pack(10, 2**32 - 1) + b"x" * 10,
    "python objects": lambda: changed(arrays=[["|O", [40, 48, 40]], ARRAYS[1]]),
    "another type": lambda: changed(arrays=[["<f8", [40, 48, 40]], ARRAYS[1]]),
    "another shape": lambda: changed(arrays=[["|u1", [40, 48, 40, 1]], ARRAYS[1]]),
    "fewer bytes than the shape": lambda: sent(encode_report(SCAN)[0], b"xy"),
    "another field": lambda: changed(recipe={"intensity": "mine"}),
    "a label of a name": lambda: changed(labels={"name": "x"}),
    "a label beyond floats": lambda: changed(labels={"age": 10**400}),
    "a label in a list": lambda: changed(labels={"age": [1]}),
    "a million notes": lambda: changed(notes=["x"] * 1000),
    "deep JSON": lambda: sent(b"[" * 100_000),
    "not a number": lambda: changed(labels={"age": float("nan")}),
    "a code of no numbers": lambda: sent(
        encode_report(SCAN)[0], b"\xff" * largest_payload(HALF_GRID)
    ),
    "a class that is no error": lambda: sent(b'{"kind": "Path", "texts": ["a", "", "", ""]}'),
    "the module's own name": lambda: sent(b'{"kind": "__name__", "texts": ["a", "", "", ""]}'),
}


class TakenOver:
    """Stands for a model; sends bytes of its own as soon as an upload is read."""

    fingerprint = "0" * 64
    is_native = False
    recipe: ClassVar[dict[str, str]] = {}

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    @property
    def grid(self) -> object:
        """Answer in place of the worker, on its connection to the service."""
        for number in map(int, os.listdir("/proc/self/fd")):
            with suppress(OSError):  # the listing's own descriptor
                if os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
                    os.set_blocking(number, True)
                    os.write(number, self.answer)
        time.sleep(60)
        return HALF_GRID


def load_taken_over(answer: Path) -> Encoder:
    return TakenOver(answer.read_bytes())  # type: ignore[return-value]


def settings_of(gallery: Path, folder: Path, load: partial[Encoder]) -> ServiceSettings:
    fingerprint = open_gallery(gallery).fingerprint
    return settings_for(gallery, folder / "audit", load=load, fingerprint=fingerprint)


@pytest.fixture
def bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the bomb writes."""
    monkeypatch.setenv("BOMB", str(tmp_path / "bomb"))
    return tmp_path / "bomb"


def test_a_taken_over_worker_is_refused_in_one_line_and_the_service_lives(
    web_gallery: Path, tmp_path: Path, bomb: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answer = tmp_path / "answer"
    answer.write_bytes(pickled())
    load = partial(load_taken_over, answer)
    settings = settings_of(web_gallery, tmp_path, load)
    with serving(settings) as client:
        for name in ("a pickle", "ready again"):
            told = uploaded(client, bytes(128) + b"DICM", "a.dcm")
            assert told["state"] == "failed"
            assert told["message"].startswith("The scan could not be prepared"), name
            assert "\n" not in told["message"]
            assert client.get(f"{API}/health").status_code == 200
            answer.write_bytes(sent(*encode_report(Ready({}))))  # sound, but not at this place
    assert not bomb.exists()
    assert "may have taken it over" in caplog.text


@pytest.mark.parametrize("name", HOSTILE)
def test_no_hostile_answer_is_taken_for_a_report(name: str, bomb: Path) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        sender = threading.Thread(target=_send, args=(theirs, HOSTILE[name]()), daemon=True)
        sender.start()
        with pytest.raises((MessageError, EOFError)):
            decode_report(*Channel(ours).receive(largest_payload(HALF_GRID)), HALF_GRID)
        ours.close()
        sender.join()
    assert not bomb.exists()


def _send(end: socket.socket, content: bytes) -> None:
    with suppress(OSError):  # the service has closed its end
        end.sendall(content)
        end.shutdown(socket.SHUT_WR)


def test_a_message_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "MESSAGE_S", 0.2)
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(PREFIX.pack(100, 0) + b"{")
        with pytest.raises(MessageError, match="does not end"):
            Channel(ours).receive()
        ours.close()


@pytest.mark.parametrize(
    "report",
    [
        SCAN,
        Step("looking"),
        Ready({"chain": 3, "intensity": "white-matter"}),
        SeriesChoice((OfferedSeries(3, "axial", 99), OfferedSeries(4, "vol", 1))),
        ScanError("a", "b\x1b[2J", "c", "d"),
    ],
)
def test_a_sound_report_arrives_as_it_was(report: Report) -> None:
    back = decode_report(*encode_report(report), HALF_GRID)
    assert type(back) is type(report)
    if isinstance(back, Embedded) and isinstance(report, Embedded):
        assert np.array_equal(back.volume, report.volume)
        assert np.array_equal(back.code, report.code)
        assert (dict(back.labels), back.notes) == (dict(report.labels), report.notes)
    elif isinstance(back, ScanError):
        assert (back.where, back.found) == ("a", "b?[2J")
    else:
        assert back == report


def test_the_worker_cannot_lead_the_service_to_write_elsewhere(
    web_gallery: Path, tmp_path: Path
) -> None:
    """What the service writes of an upload lies where the worker has no access."""
    settings = settings_of(web_gallery, tmp_path, partial(load_taken_over, tmp_path))
    with serving(settings) as client:
        queue = client.app.state.service.queue  # type: ignore[attr-defined]
        upload = queue.open_folder("a", ".nii.gz")
        assert queue._work not in upload.volume.parents
        assert queue._work not in upload.source.parents
