"""Kills (SIGKILL) over whole commands and the service: run again, they end as if nothing had been.

``python benchmarks/kills_commands.py [KILLS] [SEED]``. Simulated people. `simulate`, `prepare`,
`train` and `index` are killed at random moments, each time either with all their processes or the
first process alone, and run again in the same folder until they come to their end: every image,
table and weight must then be, byte for byte, that of a run that nobody killed. The service is
killed while scans are uploaded, searched with and put into its gallery: what it acknowledged is in
the gallery of the next one, and nothing of an upload stays in the temporary folder. One line a
kill; a table at the end.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import psutil

from braincase.gallery import open_gallery
from braincase.gallery.gallery import SAVED
from braincase.web.security.audit_chain import verify_chain
from braincase.workflows.gallery_upkeep import verify_gallery

KILLS, SEED = 100, 0
HEADS, EPOCHS = 3, 6
BRAINCASE = (sys.executable, "-m", "braincase")
#: Locks are empty, times of training and packing differ, a gallery has a name of its own: its cases
#: are compared, and it is verified.
UNLIKE = (
    *(".lock", "packed.json", "card.md", "model.json", "state.json"),
    *("gallery.sqlite3", "gallery.sqlite3-wal", "gallery.sqlite3-shm"),
)
#: What a killed process had not finished; it is removed some time after, and counted at the end.
UNFINISHED = ".writing-"
API = "/api/v1"


@dataclass(frozen=True)
class Command:
    """A command that writes: its name, its words and the folder that it fills."""

    name: str
    words: tuple[str, ...]
    out: str


COMMANDS = (
    Command("simulate", ("simulate", "{out}", "--size", "tiny", "--resolution", "4"), "people"),
    Command(
        "prepare",
        ("prepare", "{place}/heads", "{out}", "--resolution", "4", "--view", "2mm"),
        "prepared",
    ),
    Command("train", ("train", "{place}/people", "--out", "{out}", "--epochs", str(EPOCHS)), "net"),
    Command("index", ("index", "{place}/people", "--gallery", "{out}"), "gallery"),
)


def started(words: list[str], place: Path) -> subprocess.Popen[str]:
    """Start the program in a session of its own, with a temporary folder of this run."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(place / "tmp")}
    with (place / "messages.txt").open("w") as messages:
        return subprocess.Popen(
            [*BRAINCASE, *words],
            stdout=messages,
            stderr=messages,
            text=True,
            env=environment,
            start_new_session=True,
        )


def kill(process: subprocess.Popen[str], with_children: bool) -> list[str]:
    """Kill a program; return who of its children outlives it by more than ten seconds."""
    children: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):  # it has ended by itself
        children = psutil.Process(process.pid).children(recursive=True)
    with suppress(ProcessLookupError):
        (os.killpg if with_children else os.kill)(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    names = [f"process {child.pid} outlived a killed {process.args[3]}" for child in alive]  # type: ignore[index]
    for child in alive:
        child.kill()
    return names


def contents(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a folder, by its name there."""
    files = [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.name not in UNLIKE
        and path.parent.name != "learned"
        and not path.name.startswith(UNFINISHED)
    ]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def cases_of(folder: Path) -> list[tuple[str, str, bytes]]:
    """Return what a gallery holds, case by case: its labels and its code."""
    with closing(open_gallery(folder)) as gallery:
        return [
            (case.scan_id, json.dumps(dict(case.labels)), case.code.tobytes())
            for case in gallery.cases()
        ]


def varied(head: Path, seed: int) -> bytes:
    """Return a head with noise of its own, so that no two uploads are the same image."""
    image = nib.load(head)
    assert isinstance(image, nib.Nifti1Image)
    voxels = np.asarray(image.dataobj)
    noise = np.random.default_rng(seed).integers(0, 3, voxels.shape, dtype=voxels.dtype)
    return gzip.compress(nib.Nifti1Image(voxels + noise, image.affine).to_bytes(), 1)


def run_to_its_end(words: list[str], place: Path) -> float:
    """Run a command that nobody kills; return its seconds."""
    began = time.monotonic()
    process = started(words, place)
    if process.wait() != 0:
        raise SystemExit(f"{words[0]}: {(place / 'messages.txt').read_text()[-400:]}")
    return time.monotonic() - began


class Commands:
    """The commands under way: each has a folder, and is killed there until it ends."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.seconds: dict[str, float] = {}
        self.whole: dict[str, dict[str, str]] = {}
        self.round = Counter[str]()

    def words(self, command: Command, out: Path) -> list[str]:
        """Return the command's words for a folder."""
        return [word.format(place=self.place, out=out) for word in command.words]

    def prepare(self) -> None:
        """Make what the commands read, and their folders as they are when nobody kills."""
        run_to_its_end(["simulate", str(self.place / "heads"), "--raw", str(HEADS)], self.place)
        for command in COMMANDS:
            out = self.place / command.out
            self.seconds[command.name] = run_to_its_end(self.words(command, out), self.place)
            self.whole[command.name] = contents(out)
            print(f"{command.name}: {self.seconds[command.name]:.1f} s", file=sys.stderr)

    def one_kill(self, command: Command, rng: random.Random) -> tuple[str, list[str]]:
        """Kill a command once; return what it was doing, and the faults."""
        out = self.folder(command)
        process = started(self.words(command, out), self.place)
        time.sleep(rng.uniform(0, self.seconds[command.name]))
        code = process.poll()
        outlived = kill(process, rng.random() < 0.5)
        if code is None:
            return "in flight", outlived
        self.round[command.name] += 1
        return "ended", outlived + self.faults(command, out, code)

    def folder(self, command: Command) -> Path:
        """Return where a command writes now: always of one name, which is in some of its files."""
        folder = self.place / f"round-{self.round[command.name]}"
        folder.mkdir(exist_ok=True)
        return folder / command.out

    def finish(self, command: Command) -> list[str]:
        """Let a killed command come to its end; return the faults."""
        out = self.folder(command)
        self.round[command.name] += 1
        return self.faults(command, out, started(self.words(command, out), self.place).wait())

    def faults(self, command: Command, out: Path, code: int) -> list[str]:
        """Return what is wrong with a command that came to its end, and with its folder."""
        # Killed between its last file and its end: it says that all is there.
        was_done = command.name == "train" and "exists already" in self.messages()
        failed = code != 0 and not was_done
        told = [f"{command.name} after a kill: {self.messages()}"] if failed else []
        return told + self.differences(command, out)

    def messages(self) -> str:
        """Return the end of what the last command said."""
        return (self.place / "messages.txt").read_text()[-300:]

    def differences(self, command: Command, out: Path) -> list[str]:
        """Compare a folder that was killed on the way with that of an undisturbed run."""
        now, whole = contents(out), self.whole[command.name]
        names = [n for n in sorted(now.keys() | whole.keys()) if now.get(n) != whole.get(n)]
        faults = [f"{command.name}: {name} differs" for name in names]
        if command.name == "index":
            faults += verify_gallery(out, False).problems
            if cases_of(out) != cases_of(self.place / command.out):
                faults.append("index: the cases differ")
        return faults


class Service:
    """The service under way: uploads into one gallery, through one kill after the other."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.gallery = place / "served"
        self.acknowledged: list[str] = []
        self.serial = 0

    def prepare(self) -> None:
        """Make its gallery."""
        run_to_its_end(
            ["index", str(self.place / "people"), "--gallery", str(self.gallery)], self.place
        )

    def one_kill(self, rng: random.Random) -> tuple[str, list[str]]:
        """Serve, upload and keep until killed; return what went on, and the faults."""
        words = ["serve", str(self.gallery), "--port", "0", "--audit", str(self.place / "audit")]
        process = started([*words, "--view", "2mm"], self.place)
        url = self.address(process)
        stages: list[str] = ["started"]
        client = threading.Thread(target=self.uploads, args=(url, stages), daemon=True)
        client.start()
        time.sleep(rng.uniform(0.5, 25.0))
        outlived = kill(process, rng.random() < 0.5)
        client.join(timeout=60)
        return stages[-1], outlived + self.faults()

    def address(self, process: subprocess.Popen[str]) -> str:
        """Wait for the service to say where it listens."""
        for _ in range(600):
            for line in (self.place / "messages.txt").read_text().splitlines():
                if "http://" in line:
                    return "http://" + line.split("http://")[1].split()[0].rstrip("/.")
            if process.poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit(f"the service did not start: {(self.place / 'messages.txt').read_text()}")

    def uploads(self, url: str, stages: list[str]) -> None:
        """Upload heads, search with them and keep each as a case, until nobody answers."""
        heads = sorted((self.place / "heads").rglob("*_T1w.nii.gz"))
        with (
            suppress(httpx.HTTPError),
            httpx.Client(base_url=url + API, timeout=60, headers={"Origin": url}) as client,
        ):
            while True:
                self.serial += 1
                subject = f"kept{self.serial:04d}"
                stages.append("uploading")
                answer = client.post(
                    "/uploads",
                    content=varied(heads[self.serial % len(heads)], self.serial),
                    headers={"X-Filename": "head.nii.gz"},
                )
                job = answer.raise_for_status().json()["job"]
                stages.append("preparing")
                state = "queued"
                while state in ("queued", "running"):
                    time.sleep(0.2)
                    state = client.get(f"/jobs/{job}").json()["state"]
                if state != "done":
                    raise SystemExit(f"upload: {client.get(f'/jobs/{job}').text}")
                stages.append("searching")
                client.post("/searches", json={"upload": job, "k": 3}).raise_for_status()
                stages.append("keeping")
                case = {"upload": job, "subject": subject, "scan_id": f"sub-{subject}"}
                kept = client.post("/cases", json=case)
                self.acknowledged += kept.raise_for_status().json()["added"]
                stages.append("deleting")
                client.delete(f"/jobs/{job}").raise_for_status()

    def faults(self) -> list[str]:
        """Compare what was acknowledged with the gallery, and look for what was left behind."""
        faults = list(verify_gallery(self.gallery, False).problems)
        with closing(open_gallery(self.gallery)) as gallery:
            there = gallery.find(self.acknowledged)
            shown = {case.image for case in gallery.cases()}
        kept = set((self.gallery / SAVED).rglob("*_desc-brain_T1w.nii.gz"))
        faults += [f"image {path.name} of no case" for path in kept - shown]
        faults += [f"kept case {name} is lost" for name in self.acknowledged if name not in there]
        verify_chain(self.place / "audit")
        return faults

    def left_behind(self) -> list[str]:
        """Start once more, and return what of the dead ones is still in the temporary folder."""
        process = started(["serve", str(self.gallery), "--port", "0"], self.place)
        self.address(process)
        time.sleep(3.0)
        names = [
            str(path.relative_to(self.place))
            for path in (self.place / "tmp").rglob("*")
            if path.is_file() and path.suffix in (".gz", ".nii", ".zip", ".npy", ".part")
        ]
        kill(process, True)
        return [f"left behind: {name}" for name in names]


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:]]
    kills, seed = (*numbers, *(KILLS, SEED)[len(numbers) :])[:2]
    rng, counts, bad = random.Random(seed), Counter[str](), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "tmp").mkdir()
        commands, service = Commands(place), Service(place)
        commands.prepare()
        service.prepare()
        for number in range(kills):
            if number % 5 == 4:
                what = "serve"
                stage, faults = service.one_kill(rng)
            else:
                command = COMMANDS[number % 5]
                what = command.name
                stage, faults = commands.one_kill(command, rng)
            counts[f"{what}, {stage}"] += 1
            bad += faults
            print(f"{number + 1:4d} {what}, {stage}  {'; '.join(faults)}", flush=True)
        for command in COMMANDS:
            bad += commands.finish(command)
        bad += service.left_behind()
        left = [path.name for path in place.rglob(f"{UNFINISHED}*") if "tmp" not in path.parts]
    print(json.dumps({"kills": kills, "seed": seed, **counts, "faults": bad[:20]}))
    print(f"{kills} kills: {len(bad)} faults; {len(left)} unfinished files left aside")


if __name__ == "__main__":
    main()
