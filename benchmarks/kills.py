"""Kills (SIGKILL) over writing operations: what was acknowledged is there, nothing is half there.

``python benchmarks/kills.py [KILLS] [SEED]``. A process of its own adds, updates, removes, erases
cases of a gallery, backs it up and relocates it, indexes a cohort, writes prepared images, lines of
an audit log, API tokens and states, and says before and after each operation what it does. It is
killed at a random moment, and everything it has acknowledged is compared with what is on the disk;
then the next process goes on in the same folders. Whole commands and the service:
`kills_commands.py`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from braincase.cohort.cohort import PreparedScan, open_cohort, write_case
from braincase.cohort.derivatives import image_path, read_image
from braincase.errors import UnknownCaseError
from braincase.files import write_json
from braincase.gallery import NewCase, create_gallery, open_gallery
from braincase.gallery.opening import exists
from braincase.images.geometry import HALF_GRID
from braincase.models.encoder import Encoder
from braincase.sources.scan import Scan
from braincase.web.security.audit import AuditLog
from braincase.web.security.audit_chain import verify_chain
from braincase.web.security.users import add_token, add_user, read_users, revoke_token
from braincase.workflows.gallery_upkeep import backup_gallery, verify_gallery
from braincase.workflows.index_cohort import index_cohort
from braincase.workflows.relocation import relocate_gallery

KILLS, CASES, MODEL = 60, 12, "k" * 64
#: The operations, some more often than others.
WHAT = (
    *("put", "put", "put", "remove", "erase", "image", "audit"),
    *("backup", "relocate", "index", "token", "state"),
)
LATEST_S = 1.0
Done = dict[str, object]


def volume_of(number: int) -> np.ndarray:
    """Return the volume that an image of this number has."""
    return np.random.default_rng(number).integers(0, 255, HALF_GRID.shape, dtype=np.uint8)


def work(place: Path, seed: int) -> None:
    """Write without an end, and say so: one JSON line before each operation, one after."""
    rng = random.Random(seed)
    gallery, audit = open_gallery(place / "gallery"), AuditLog(place / "audit.jsonl")
    print("ready", flush=True)
    for number in range(10**6):
        what = rng.choice(WHAT)
        # Never the content of an erased case, which a gallery rightly leaves out.
        name, value = f"{rng.randrange(CASES)}", seed * 10_000 + number
        told = {"what": what, "name": name, "value": value}
        print(json.dumps({**told, "stage": "begin"}), flush=True)
        if what == "put":
            code = np.random.default_rng(value).normal(size=20)
            with suppress(UnknownCaseError):  # it was not erased
                gallery.readmit([f"sub-{name}"])
            gallery.update([NewCase(f"sub-{name}", name, code, labels={"value": value})], MODEL)
        elif what in ("remove", "erase"):
            if gallery.find([f"sub-{name}"]):
                gallery.remove([f"sub-{name}"], erase=what == "erase")
        elif what == "image":
            scan = Scan(Path(), name, None, {"value": value})
            write_case(place / "cohort", HALF_GRID, PreparedScan(scan, volume_of(value), {}))
        elif what == "audit":
            audit.write("kills", "search", where=f"{seed}-{number}")
            told["name"] = f"{seed}-{number}"
        else:
            told["name"] = other_operation(place, what, value, told)
        print(json.dumps({**told, "stage": "done"}), flush=True)


def other_operation(place: Path, what: str, value: int, told: Done) -> str:
    """Run an operation that leaves a whole file or folder; return its name."""
    if what == "backup":
        shutil.rmtree(place / "backup", ignore_errors=True)
        backup_gallery(place / "gallery", place / "backup")
        return "backup"
    if what == "relocate":
        relocate_gallery(place / "gallery")
        return "relocate"
    if what == "token":
        users = place / "users.json"
        new = add_token(users, "ada").split("_")[1]
        # Not the one before either: it was acknowledged, and this is not yet.
        for key in list(read_users(users)["ada"].tokens)[:-2]:
            revoke_token(users, key)
        return new
    if what == "state":
        write_json(place / "state.json", {"value": value, "filling": "x" * 20_000})
        return str(value)
    scan = Scan(Path(), "indexed", None, {"value": value})
    write_case(place / "small", HALF_GRID, PreparedScan(scan, volume_of(value), {}))
    cohort = open_cohort(place / "small")
    code = np.random.default_rng(value).normal(size=20).astype(np.float32)

    def embed(volumes: np.ndarray) -> np.ndarray:
        return np.repeat(code[None], len(volumes), axis=0)

    encoder = Encoder(embed, cohort.grid, cohort.recipe, MODEL, length=20)
    index_cohort(place / "indexed", cohort, encoder)
    return str(value)


def other_faults(place: Path, done: list[Done]) -> list[str]:
    """Compare what the other operations left with what they have acknowledged."""
    found = []
    newest = {str(event["what"]): event for event in done}
    users = read_users(place / "users.json")["ada"].tokens
    if "token" in newest and str(newest["token"]["name"]) not in users:
        found.append("an acknowledged token is lost")
    state = place / "state.json"
    if state.exists() and len(json.loads(state.read_text())["filling"]) != 20_000:
        found.append("state.json is half there")
    if exists(place / "indexed"):
        found += verify_gallery(place / "indexed", False).problems
    if "index" in newest:
        with closing(open_gallery(place / "indexed")) as gallery:
            value = gallery.get("sub-indexed").labels["value"]
            if float(str(value)) < float(str(newest["index"]["name"])):
                found.append("an acknowledged index is lost")
    return found


def killed(place: Path, seed: int, after_s: float) -> list[Done]:
    """Start a worker, kill it after a while, and return what it has said."""
    command = [sys.executable, __file__, "work", str(place), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(after_s)
        os.kill(child.pid, signal.SIGKILL)
        lines = [line for line in child.stdout if line.endswith("\n")]
    return [json.loads(line) for line in lines]


def faults(
    place: Path, cases: dict[str, int | None], images: dict[str, int], open_: Done
) -> list[str]:
    """Compare what was acknowledged with what is there; the open operation may be either."""
    found = []
    gallery = open_gallery(place / "gallery")
    live = gallery.find([f"sub-{number}" for number in range(CASES)])
    for name, value in cases.items():
        case = live.get(f"sub-{name}")
        there = None if case is None else case.labels["value"]
        may_differ = open_.get("name") == name and open_.get("what") in ("put", "remove", "erase")
        if there != value and not may_differ:
            found.append(f"sub-{name} is {there}, acknowledged was {value}")
        cases[name] = there if there is None else int(there)  # type: ignore[arg-type]
    gallery.close()
    found += verify_gallery(place / "gallery", False).problems
    for name, value in images.items():
        path = image_path(place / "cohort", HALF_GRID, Scan(Path(), name))
        volume = read_image(path, HALF_GRID)
        if not np.array_equal(volume, volume_of(value)):
            if open_.get("what") == "image" and open_.get("name") == name:
                images[name] = int(str(open_["value"]))
                if np.array_equal(volume, volume_of(images[name])):
                    continue
            found.append(f"image {name} is not {value}")
    return found


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:]]
    kills, seed = (*numbers, *(KILLS, 0)[len(numbers) :])[:2]
    rng, counts = random.Random(seed), Counter[str]()
    cases: dict[str, int | None] = {}
    images: dict[str, int] = {}
    lines: set[str] = set()
    bad: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        create_gallery(place / "gallery", MODEL, 4, 20).close()
        add_user(place / "users.json", "ada", "purple kettle moons 41", "reader")
        for number in range(kills):
            said = killed(place, seed * 1000 + number, rng.uniform(0, LATEST_S))
            done = [event for event in said if event["stage"] == "done"]
            is_open = bool(said) and said[-1]["stage"] == "begin"
            for event in done:
                name, value = str(event["name"]), int(str(event["value"]))
                if event["what"] in ("backup", "relocate", "index", "token", "state"):
                    continue
                if event["what"] == "image":
                    images[name] = value
                elif event["what"] == "audit":
                    lines.add(name)
                else:
                    cases[name] = value if event["what"] == "put" else None
            counts.update(str(event["what"]) for event in done)
            counts["in flight"] += is_open
            print(f"{number + 1:4d} {said[-1] if said else 'at start'}", file=sys.stderr)
            bad += faults(place, cases, images, said[-1] if is_open else {})
            bad += other_faults(place, done)
            if lines:
                verify_chain(place / "audit.jsonl")
                text = (place / "audit.jsonl").read_text()
                bad += [f"audit line {line} is lost" for line in lines if f'"{line}"' not in text]
        left = [path.name for path in place.rglob(".writing-*")]
    print(json.dumps({"kills": kills, "seed": seed, **counts, "faults": bad[:5]}))
    print(f"{kills} kills: {len(bad)} faults; {len(left)} unfinished files left aside")


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
