"""Power cuts: every acknowledged write was on the disk (fsync), its file and its folder (strace).

``python benchmarks/power_cut.py [SECONDS] [SEED]``. The worker of `kills.py` runs under ``strace``,
and each acknowledgement it prints is compared with the system calls before it: all bytes written
since were synced, a file was synced before it was renamed to its name, and its folder after. What
may be lost is left out: locks, shared memory, and what can be made again (what was learned, and a
cohort's tables, which are made of its sidecars).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from braincase.gallery import create_gallery
from braincase.web.security.users import add_user
from kills import MODEL

SECONDS = 20.0
CALLS = "openat,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,mkdir"
WRITTEN = re.compile(r"(?:write|pwrite64|ftruncate)\(\d+<([^>]*)>")
SYNCED = re.compile(r"f(?:data)?sync\(\d+<([^>]*)>\)\s+= 0")
RENAMED = re.compile(r'rename(?:at2?)?\((?:[^"]*)"([^"]*)",(?:[^"]*)"([^"]*)".*= 0')
MADE = re.compile(r'(?:mkdir\("([^"]*)".*= 0|openat\([^"]*"([^"]*)", [^,]*O_CREAT.*= \d+)')
ACKNOWLEDGED = re.compile(r'write\(1<[^>]*>, "(.*?)(?:\\n)?", \d+\)')
#: Names of what may be lost.
MAY_GO = ("-shm", ".lock", ".tsv")


class Disk:
    """What is written and not yet synced, below one folder."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.dirty: set[str] = set()
        self.there: set[str] = set()
        self.empty: set[str] = set()
        self.faults: Counter[str] = Counter()

    def _counts(self, path: str) -> bool:
        mine = path.startswith(self.place + "/") and "/learned" not in path
        return mine and not path.endswith(MAY_GO) and "lock" not in Path(path).name

    def saw(self, line: str) -> None:
        """Follow one system call."""
        if found := SYNCED.search(line):
            self.dirty.discard(found[1])
            self.empty = {path for path in self.empty if str(Path(path).parent) != found[1]}
        elif found := RENAMED.search(line):
            source, target = found[1], found[2]
            if self._counts(target):
                if source in self.dirty:
                    self.faults[f"renamed before it was synced: {Path(target).name}"] += 1
                self.dirty.discard(source)
                self.dirty.add(str(Path(target).parent))
                self.there.add(target)
        elif found := WRITTEN.search(line):
            if self._counts(found[1]):
                self.dirty.add(found[1])
                if found[1] in self.empty:  # an empty file may go
                    self.empty.discard(found[1])
                    self.dirty.add(str(Path(found[1]).parent))
        elif (found := MADE.search(line)) and self._counts(path := found[1] or found[2]):
            is_aside = Path(path).name.startswith(".writing-")
            if path not in self.there and not is_aside:
                self.there.add(path)
                if found[1]:
                    self.dirty.add(str(Path(path).parent))
                else:
                    self.empty.add(path)

    def acknowledge(self, what: str) -> None:
        """Note what an acknowledged operation has not synced."""
        for path in sorted(self.dirty):
            self.faults[f"{what}: not synced: {Path(path).name}"] += 1


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    seed = sys.argv[2] if len(sys.argv) > 2 else "0"
    with tempfile.TemporaryDirectory() as folder:
        place, trace = Path(folder) / "place", Path(folder) / "trace"
        place.mkdir()
        create_gallery(place / "gallery", MODEL, 4, 20).close()
        add_user(place / "users.json", "ada", "purple kettle moons 41", "reader")
        worker = str(Path(__file__).with_name("kills.py"))
        command = ["strace", "-f", "-y", "-s", "300", "-e", f"trace={CALLS}", "-o", str(trace)]
        command += [sys.executable, worker, "work", str(place), seed]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as child:
            time.sleep(seconds)
            os.killpg(child.pid, signal.SIGKILL)
        disk, done = Disk(str(place)), Counter[str]()
        disk.there.update(str(path) for path in place.rglob("*"))
        disk.there = {path for path in disk.there if "/gallery" in path and "sqlite3-" not in path}
        for line in trace.read_text("utf-8", "replace").splitlines():
            if said := ACKNOWLEDGED.search(line):
                text = said[1].replace('\\"', '"')
                if '"stage": "done"' in text:
                    what = str(json.loads(text)["what"])
                    done[what] += 1
                    disk.acknowledge(what)
            else:
                disk.saw(line)
    print(json.dumps({"seed": seed, "acknowledged": done, "faults": disk.faults.most_common(8)}))
    print(f"{done.total()} acknowledged: {disk.faults.total()} not on the disk")


if __name__ == "__main__":
    main()
