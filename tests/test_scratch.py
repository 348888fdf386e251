"""Temporary folders: gone when their process ends well, else at the next start of any other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from braincase.sources.scratch import make_scratch, remove_orphans, scratch_folder

HOLD = """
import time
from pathlib import Path
from braincase.sources.scratch import make_scratch
folder = make_scratch("dicom")
(folder / "slice.dcm").write_text("PatientName")
print(folder, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_a_folder_is_private_and_gone_afterwards(here: Path) -> None:
    with scratch_folder("dicom") as folder:
        assert folder.stat().st_mode & 0o077 == 0
        (folder / "a").mkdir()
        (folder / "a" / "b").write_text("x")
    assert not list(here.iterdir())


def test_folders_of_the_killed_are_removed_and_those_of_the_living_are_not(here: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        mine = make_scratch("dicom")
        os.utime(theirs, (0, 0))  # however old it looks
        remove_orphans()
        assert (theirs / "slice.dcm").exists()
        other.kill()
        other.wait()
    remove_orphans()
    assert not theirs.exists()
    assert mine.exists()


def test_folders_of_earlier_versions_go_when_they_can_be_nobodys(here: Path) -> None:
    def make(name: str, *inside: str, age_s: float = 7200.0) -> Path:
        for entry in inside:
            (here / name / entry).mkdir(parents=True)
        os.utime(here / name, (time.time() - age_s,) * 2)
        return here / name

    dead = [make("braincase-abc_d123", "in", "out"), make("braincase-web-999999999-uploads-x", "a")]
    alive = [
        make("braincase-abc_d124", "in", "out", age_s=60),
        make(f"braincase-web-{os.getppid()}-uploads-y", "job"),
        make("braincase-my-demo", "gallery"),
        make("braincase-gallerys", "in", "out", "more"),
    ]
    remove_orphans()
    assert not any(folder.exists() for folder in dead)
    assert all(folder.exists() for folder in alive)


COMMAND = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
from braincase.cli import main
from braincase.sources.scratch import scratch_folder
@main.app.command()
def hold() -> None:
    with scratch_folder("dicom") as folder:
        print(folder, flush=True)
        time.sleep(60)
sys.argv = ["braincase", "hold"]
main.main()
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["term", "int"]
)
def test_a_command_that_is_stopped_cleans_up(here: Path, number: int, code: int) -> None:
    with subprocess.Popen([sys.executable, "-c", COMMAND], stdout=subprocess.PIPE) as command:
        assert command.stdout is not None
        folder = Path(command.stdout.readline().decode().strip())
        assert folder.is_dir()
        command.send_signal(number)
        assert command.wait(20) == code
    assert not list(here.iterdir())
