"""Fairness of writers: two writers and two readers of one gallery, each a process, and their waits.

``python benchmarks/writers.py [SECONDS]``. Each writer adds one case after another, each reader
searches. What counts: errors, and the longest that one write, or one search, has waited.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from braincase.gallery import NewCase, create_gallery, open_gallery

SECONDS, MODEL, LENGTH = 60.0, "w" * 64, 150


def work(folder: Path, name: str, seconds: float) -> None:
    """Write or search until the time is over, and print the number and the longest wait."""
    gallery, rng = open_gallery(folder), np.random.default_rng(len(name))
    until, waits = time.monotonic() + seconds, [0.0]
    while time.monotonic() < until:
        began, code = time.monotonic(), rng.normal(size=LENGTH)
        if name.startswith("writer"):
            scan = f"{name}-{len(waits)}"
            gallery.add([NewCase(scan, scan, code, labels={"age": 60.0})], MODEL)
        else:
            gallery.nearest(code, 5)
        waits.append(time.monotonic() - began)
    print(json.dumps({"who": name, "done": len(waits) - 1, "longest_s": round(max(waits), 3)}))


def main() -> None:
    seconds = sys.argv[1] if len(sys.argv) > 1 else str(SECONDS)
    names = ("writer", "writer2", "reader", "reader2")
    with tempfile.TemporaryDirectory() as place:
        gallery = create_gallery(Path(place) / "g", MODEL, 4, LENGTH)
        gallery.add([NewCase("first", "first", np.ones(LENGTH))], MODEL)
        command = [sys.executable, __file__, "work", str(Path(place) / "g")]
        children = [subprocess.Popen([*command, name, seconds]) for name in names]
        codes = [child.wait() for child in children]
        cases = gallery.info().cases
        gallery.close()
    print(f"{cases} cases; exit codes {codes}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
    else:
        main()
