"""What a confined process cannot do, tried by real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dcm2niix
import pytest

from braincase.errors import ScanError
from braincase.sources import dicom_converter
from braincase.sources.dicom_converter import convert_series
from braincase.sources.dicom_files import open_files
from braincase.sources.sandbox import SYSTEM, ProcessLimits, python_places, run_confined
from markers import marker, write_dicom
from refusals import refused

MIB = 1 << 20
LIMITS = ProcessLimits(memory_bytes=512 * MIB, file_bytes=MIB, cpu_s=5)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a sandbox of Linux")


def confined(
    code: str, folder: Path, limits: ProcessLimits = LIMITS, timeout_s: float = 30
) -> subprocess.CompletedProcess[str]:
    readable = [*SYSTEM, *python_places(), str(folder)]
    command = [os.path.realpath(sys.executable), "-I", "-S", "-c", code]
    return run_confined(command, limits, readable, [str(folder)], timeout_s)


def test_it_reads_and_writes_its_own_folder(tmp_path: Path) -> None:
    code = f"p={str(tmp_path / 'a')!r}; open(p, 'w').write('text'); print(open(p).read())"
    done = confined(code, tmp_path)
    assert (done.returncode, done.stdout) == (0, "text\n"), done.stderr


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import socket; socket.socket()", "PermissionError"),
        ("import socket; socket.socket(socket.AF_UNIX)", "PermissionError"),
        ("open('/etc/passwd')", "PermissionError"),
        ("open({other!r})", "PermissionError"),
        ("open({other!r} + '2', 'w')", "PermissionError"),
        ("import os; os.unlink({other!r})", "PermissionError"),
        ("import os; os.listdir('/root'); os.listdir('/home')", "PermissionError"),
        ("import os; os.fork()", "PermissionError|BlockingIOError"),
        ("import threading; threading.Thread(target=print).start()", "start new thread"),
        ("bytearray(1 << 30)", "MemoryError"),
        ("import os; print(os.environ['SECRET'])", "KeyError"),
        ("import os; os.kill(os.getppid(), 0)", "PermissionError"),
    ],
)
def test_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, error: str) -> None:
    monkeypatch.setenv("SECRET", "x")
    folder, other = tmp_path / "mine", tmp_path / "other"
    folder.mkdir()
    other.write_text("patient")
    done = confined(code.format(other=str(other)), folder)
    assert done.returncode == 1, done
    assert any(word in done.stderr for word in error.split("|")), done.stderr
    assert other.read_text() == "patient"


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("open('a', 'wb').write(bytes(2 << 20))", signal.SIGXFSZ),
        ("while True: pass", signal.SIGXCPU),
    ],
)
def test_files_and_time_are_limited(tmp_path: Path, code: str, number: int) -> None:
    limits = ProcessLimits(memory_bytes=512 * MIB, file_bytes=MIB, cpu_s=1)
    plain = "import os, signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)"
    code = f"{plain}; os.chdir({str(tmp_path)!r})\n{code}"
    assert confined(code, tmp_path, limits).returncode in (-number, -signal.SIGKILL)


def test_a_sleeper_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        confined("import time; time.sleep(60)", tmp_path, timeout_s=1)


def test_it_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    sleep = f"import time; open({str(tmp_path / 'up')!r}, 'w').write('1'); time.sleep(60)"
    code = (
        "import sys, os; from braincase.sources.sandbox import *; print(os.getpid(), flush=True)\n"
        f"run_confined([os.path.realpath(sys.executable), '-I', '-S', '-c', {sleep!r}],"
        f" ProcessLimits(), [*SYSTEM, *python_places()], [{str(tmp_path)!r}], 60)"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 30
    while not (tmp_path / "up").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    children = Path(f"/proc/{starter.pid}/task/{starter.pid}/children").read_text().split()
    starter.kill()
    starter.communicate()
    assert len(children) == 1
    while Path(f"/proc/{children[0]}").exists() and not _is_zombie(children[0]):
        assert time.monotonic() < until
        time.sleep(0.05)


def _is_zombie(process: str) -> bool:
    try:
        return " Z " in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return True


def _program(path: Path, code: str) -> str:
    path.write_text(f"#!{os.path.realpath(sys.executable)} -IS\n{code}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import os; os.kill(os.getpid(), 11)", "dcm2niix died of SIGSEGV (try)"),
        ("import time; time.sleep(60)", "dcm2niix did not end within 2 seconds (try)"),
        ("print('Error: no')", "no volumes by dcm2niix (Error: no)"),
    ],
)
def test_however_the_converter_ends_it_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, says: str
) -> None:
    places = [str(Path(place)) for place in python_places()]
    system = (*SYSTEM, *places)
    # The stand-in is a Python program.
    monkeypatch.setattr("braincase.sources.sandbox.SYSTEM", system)
    monkeypatch.setattr(dcm2niix, "bin", _program(tmp_path / "dcm2niix", code))
    monkeypatch.setattr(dicom_converter, "TIMEOUT_S", 2)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = write_dicom(tmp_path / "s", *marker((8, 8, 8), (4.0, 4.0, 4.0)))
    with open_files(folder) as files, pytest.raises(ScanError) as caught:
        convert_series(files, files.names, "try")
    assert caught.value.found == says
    assert not list(tmp_path.glob("braincase-*"))


def test_a_program_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dcm2niix, "bin", str(tmp_path / "gone"))
    folder = write_dicom(tmp_path / "s", *marker((8, 8, 8), (4.0, 4.0, 4.0)))
    with open_files(folder) as files, refused(ScanError, "did not run"):
        convert_series(files, files.names, "try")
