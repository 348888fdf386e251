"""The upload worker is shut in, and whatever ends a job, nothing of a patient stays behind."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import ClassVar

import httpx
import numpy as np
import pydicom
import pytest

from braincase.errors import ModelError, ScanError
from braincase.images.geometry import HALF_GRID
from braincase.web.intake.confined import Confinement
from braincase.web.intake.messages import Step, Task
from braincase.web.intake.worker_process import WorkerProcess
from markers import write_dicom
from web_service import API, ended, serving, settings_for, uploaded, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a sandbox of Linux")
MIB = 1 << 20
NAME = b"SECRETNAME"


def study(folder: Path, slices: int = 120, size: int = 256) -> bytes:
    """A zip of a T1w series that only the converter takes: its slices name two image types."""
    rng = np.random.default_rng(0)
    data = rng.integers(0, 900, (size, size, slices), dtype=np.int16)
    affine = np.diag([1.0, 1.0, 1.5, 1.0])
    write_dicom(folder, data, affine, PatientName="SECRETNAME^JANE")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number, path in enumerate(sorted(folder.iterdir())):
            header = pydicom.dcmread(path)
            header.ImageType = ["ORIGINAL", "PRIMARY", "M", "NORM" if number % 2 else "ND"]
            header.save_as(path)
            archive.write(path, path.name)
    return packed.getvalue()


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return study(tmp_path_factory.mktemp("study"))


def holding(place: Path) -> list[Path]:
    """The files that name the patient."""
    found = []
    for folder, _, names in os.walk(place):
        for name in names:
            try:
                content = Path(folder, name).read_bytes()
            except OSError:  # gone meanwhile
                continue
            if NAME in content:
                found.append(Path(folder, name))
    return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of this process and all that it starts."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    monkeypatch.setenv("TMPDIR", str(place))
    return place


def _stage(client: httpx.Client, job: str) -> str:
    return str(client.get(f"{API}/jobs/{job}").json()["stage"])


def test_a_study_cancelled_while_it_is_read_leaves_nothing(
    content: bytes, web_gallery: Path, web_model: Path, tmp_path: Path, here: Path
) -> None:
    name = {"X-Filename": "a.zip"}
    with serving(settings_for(web_gallery, tmp_path / "audit", web_model)) as client:
        for delay_s in (0.0, 0.6, 1.5):  # each costs the worker, and the next gets a new one
            job = client.post(f"{API}/uploads", content=content, headers=name).json()["job"]
            wait_for(lambda: _stage(client, job) not in ("queued", "loading", "unpacking"))  # noqa: B023
            time.sleep(delay_s)
            client.delete(f"{API}/jobs/{job}")
            ended(client, job)
            assert not holding(here), delay_s


def test_a_study_that_takes_too_long_leaves_nothing(
    content: bytes, web_gallery: Path, web_model: Path, tmp_path: Path, here: Path
) -> None:
    limits = {"job_s": 1.5}
    with serving(settings_for(web_gallery, tmp_path / "a", web_model, limits=limits)) as client:
        told = uploaded(client, content, "a.zip")
        assert "was stopped" in told["message"]
        assert not holding(here)


def test_out_of_memory_is_one_line_and_leaves_nothing(
    content: bytes, web_gallery: Path, web_model: Path, tmp_path: Path, here: Path
) -> None:
    limits = {"memory_bytes": 24 * MIB}
    with serving(settings_for(web_gallery, tmp_path / "a", web_model, limits=limits)) as client:
        told = uploaded(client, content, "a.zip")
        assert told["state"] == "failed"
        assert re.search("memory", told["message"]), told["message"]
        assert "\n" not in told["message"]
        assert not holding(here)
        assert client.get(f"{API}/health").status_code == 200


def test_a_killed_service_takes_its_worker_along_and_the_next_removes_the_rest(
    content: bytes, web_gallery: Path, web_model: Path, tmp_path: Path, here: Path
) -> None:
    command = [sys.executable, "-m", "braincase", "serve", str(web_gallery)]
    command += ["--model", str(web_model), "--port", "0", "--audit", str(tmp_path / "audit")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        address = re.search(r"http://\S+?(?=/)", service.stdout.readline())
        assert address
        with httpx.Client(base_url=address[0], timeout=60) as client:
            name = {"X-Filename": "a.zip", "Origin": address[0]}
            token = client.get(f"{API}/session").json().get("csrf_token", "")
            answer = client.post(
                f"{API}/uploads",
                content=content,
                headers={**name, "X-CSRF-Token": token},
            )
            assert answer.status_code == 202, answer.text
            job = answer.json()["job"]
            wait_for(lambda: _stage(client, job) not in ("queued", "loading", "unpacking"))
        family = _children(service.pid)
        service.kill()
        service.wait()
    assert holding(here), "it was killed too late to try anything"
    wait_for(lambda: not any(map(_runs, family)), 10)
    with serving(settings_for(web_gallery, tmp_path / "a", web_model)):
        assert not holding(here)


def _children(process: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *_children(child)]
    return found


def _runs(process: int) -> bool:
    try:
        command = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False
    return bool(command) and b"resource_tracker" not in command


def _try(action: object) -> str:
    try:
        action()  # type: ignore[operator]
    except OSError as error:
        return error.__class__.__name__
    return "done"


class Probe:
    """Stands for a model; looks around when it is asked for its grid, while an upload is read."""

    is_native = False
    recipe: ClassVar[dict[str, str]] = {}

    @property
    def grid(self) -> object:
        """Say what can be done now."""
        told = [_try(lambda: Path("/etc/shadow").read_bytes())]
        told += [_try(lambda: Path(os.environ["PATIENT"]).read_bytes()), _try(socket.socket)]
        raise ScanError("probe", " ".join(told))


def load_probe() -> Probe:
    """Try, while the model loads, what a worker may not do."""
    status = Path("/proc/self/status").read_text()
    tries = [_try(socket.socket), _try(lambda: Path(__file__ + "2").write_text("x"))]
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    if tries != ["PermissionError"] * 2:
        raise ModelError("probe", f"{tries}")
    return Probe()


def test_the_worker_has_no_network_and_no_files_but_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "patient").write_text("another's")
    monkeypatch.setenv("PATIENT", str(tmp_path / "patient"))
    folder = tmp_path / "jobs"
    (folder / "job" / "unpacked").mkdir(parents=True)
    (folder / "job" / "a.dcm").write_bytes(bytes(128) + b"DICM")
    shut = Confinement(os.getpid(), folder, 512 * MIB, 64 * MIB)
    worker = WorkerProcess(load_probe, shut, HALF_GRID)  # type: ignore[arg-type]
    worker.await_model(lambda: False)
    number = worker._process.pid
    limits = Path(f"/proc/{number}/limits").read_text()
    assert re.search(r"Max core file size +0", limits)
    assert re.search(rf"Max file size +{64 * MIB}", limits)
    assert not re.search(r"Max address space +unlimited", limits)
    assert os.getpgid(number or 0) == number
    worker.send(Task(folder / "job" / "a.dcm", folder / "job" / "unpacked", MIB, 10))
    assert isinstance(worker.receive(), Step)
    error = worker.receive()
    assert isinstance(error, ScanError)
    assert error.found == "PermissionError PermissionError PermissionError"
    worker.kill()
