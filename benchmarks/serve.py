"""The web service under load: searches/s for stored cases, and readers while a curator adds.

Simulated codes and a real server on a free loopback port, in a process of its own. Run it with
``python benchmarks/serve.py [CASES] [SECONDS]``; the figures of docs/benchmarks.md come from the
defaults. The readers run in this process, so their own time is in the figures too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np

from braincase.gallery import NewCase, create_gallery, open_gallery

CASES, SECONDS, READERS = 2000, 10.0, 8
MODEL = "b" * 64
SERVE = """
import sys
from pathlib import Path
from braincase.web.run import run
from braincase.web.service_settings import Limits, ServiceSettings
free = Limits(requests="", searches="", uploads="", logins="")
run(ServiceSettings(sys.argv[1], port=0, audit=Path(sys.argv[2]), limits=free))
"""


def main() -> None:
    n_cases = int(sys.argv[1]) if len(sys.argv) > 1 else CASES
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else SECONDS
    with tempfile.TemporaryDirectory() as place:
        gallery = Path(place) / "gallery"
        fill(gallery, n_cases)
        command = [sys.executable, "-c", SERVE, gallery, Path(place) / "audit.jsonl"]
        server = subprocess.Popen(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[1]
            print(json.dumps(measure(url, gallery, n_cases, seconds), indent=2))
        finally:
            server.terminate()
            server.wait()


def fill(folder: Path, n_cases: int) -> None:
    gallery = create_gallery(folder, MODEL, 4)
    gallery.add([case(number) for number in range(n_cases)], MODEL)
    gallery.close()


def case(number: int) -> NewCase:
    rng = np.random.default_rng(number)
    code = rng.normal(size=150) + 2.0 * (number % 2)
    labels = {
        "diagnosis": ("CN", "AD")[number % 2],
        "age": float(rng.uniform(55, 90)),
        "sex": "FM"[number % 3 % 2],
    }
    return NewCase(f"sub-{number:06}", f"{number:06}", code.astype(np.float32), labels=labels)


def measure(url: str, gallery: Path, n_cases: int, seconds: float) -> dict[str, object]:
    with httpx.Client(base_url=url, timeout=60) as client:
        first = timed(client, 0)
        alone = [timed(client, number) for number in range(1, 101)]
    readers = read_together(url, n_cases, seconds)
    stop, added = threading.Event(), [0]
    curator = threading.Thread(target=add, args=(gallery, n_cases, stop, added))
    curator.start()
    mixed = read_together(url, n_cases, seconds)
    stop.set()
    curator.join()
    return {
        "cases": n_cases,
        "first search (learns from the gallery), ms": round(1000 * first),
        "one reader": summary(alone, sum(alone)),
        f"{READERS} readers": summary(readers, seconds),
        f"{READERS} readers, a curator adds": summary(mixed, seconds),
        "cases added meanwhile": added[0],
    }


def timed(client: httpx.Client, number: int) -> float:
    """Search with one case and return the seconds it took."""
    started = time.perf_counter()
    answer = client.post("/api/v1/searches", json={"case": f"sub-{number:06}", "k": 10})
    assert answer.status_code == 200, answer.text
    return time.perf_counter() - started


def read_together(url: str, n_cases: int, seconds: float) -> list[float]:
    took: list[float] = []
    until = time.perf_counter() + seconds

    def read(reader: int) -> None:
        rng = np.random.default_rng(reader)
        with httpx.Client(base_url=url, timeout=60) as client:
            while time.perf_counter() < until:
                took.append(timed(client, int(rng.integers(n_cases))))

    threads = [threading.Thread(target=read, args=(reader,)) for reader in range(READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def add(folder: Path, n_cases: int, stop: threading.Event, added: list[int]) -> None:
    """Add a case twice a second, as fast as a person could ever do it."""
    gallery = open_gallery(folder)
    while not stop.wait(0.5):
        gallery.add([case(n_cases + added[0])], MODEL)
        added[0] += 1
    gallery.close()


def summary(took: list[float], seconds: float) -> dict[str, float]:
    ms = 1000 * np.array(took)
    return {
        "searches": len(took),
        "searches/s": round(len(took) / seconds, 1),
        "median ms": round(float(np.median(ms)), 1),
        "p99 ms": round(float(np.percentile(ms, 99)), 1),
    }


if __name__ == "__main__":
    main()
