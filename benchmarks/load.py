"""Load test of the web service's memory: readers, a writer and uploads, for minutes or an hour.

``python benchmarks/load.py [SECONDS] [READERS]``. A real service (a process of its own, with an
untrained model and its upload worker) on a gallery of simulated scans; readers search, look at
pictures and lists; a writer adds and removes cases beside the service; one client uploads a
prepared brain, searches with it and deletes it. Every few seconds the resident memory of the
service and of its worker is noted. What counts: errors, and the slope over the second half.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import psutil

from braincase.cohort.cohort import Cohort, open_cohort
from braincase.gallery import NewCase, open_gallery
from braincase.models.embed import encoder_of
from braincase.models.model import Model, save_model
from braincase.models.network import build_network
from braincase.models.settings import ModelSettings
from braincase.simulate.cohort import simulate_cohort
from braincase.workflows.index_cohort import index_cohort

SECONDS, READERS, LOOK_S = 600.0, 8, 5.0
API = "/api/v1"
SERVE = """
import sys
from functools import partial
from pathlib import Path
from braincase.cli.serve import load_for_service
from braincase.web.run import run
from braincase.web.service_settings import Limits, ServiceSettings
if __name__ == "__main__":
    free = Limits(requests="", searches="", uploads="", logins="")
    load = partial(load_for_service, Path(sys.argv[3]))
    gallery, audit, fingerprint = sys.argv[1], Path(sys.argv[2]), sys.argv[4]
    options = dict(port=0, audit=audit, limits=free, load=load, fingerprint=fingerprint)
    run(ServiceSettings(gallery, **options))
"""


def prepared(place: Path) -> tuple[Cohort, Model]:
    """Make a cohort, a model and a gallery in a folder."""
    simulate_cohort(place / "cohort", "tiny", 0, 4, 0.0, 1)
    cohort = open_cohort(place / "cohort")
    settings = ModelSettings("untrained", channels=4, epochs=1)
    model = Model(build_network(settings, cohort.grid), settings, cohort.grid, cohort.recipe, {})  # type: ignore[arg-type,typeddict-item]
    save_model(place / "model", model, "untrained")
    index_cohort(place / "gallery", cohort, encoder_of(model))
    return cohort, model


class Load:
    """What the clients share: the address, when to stop, and what they count."""

    def __init__(self, url: str, gallery: Path, seconds: float) -> None:
        self.url, self.gallery = url, gallery
        self.until = time.monotonic() + seconds
        self.counts: Counter[str] = Counter()

    def running(self) -> bool:
        """Return whether the time is not over."""
        return time.monotonic() < self.until

    def sent(
        self, client: httpx.Client, method: str, path: str, **options: object
    ) -> httpx.Response:
        """Send a request and count it, and its status where that is an error."""
        answer = client.request(method, f"{API}{path}", **options)  # type: ignore[arg-type]
        self.counts["requests"] += 1
        if answer.status_code >= 400:
            self.counts[f"status {answer.status_code}"] += 1
        return answer

    def client(self) -> httpx.Client:
        """Return a client with patience, of the page's own origin."""
        return httpx.Client(base_url=self.url, timeout=120, headers={"Origin": self.url})


def read(load: Load, number: int) -> None:
    """Search, and look at what is found."""
    rng = np.random.default_rng(number)
    with load.client() as client:
        cases = [c["scan_id"] for c in load.sent(client, "GET", "/cases").json()["cases"]]
        while load.running():
            case = str(rng.choice(cases))
            age = int(rng.integers(40, 70))
            wish = {"case": case, "k": int(rng.integers(1, 20)), "where": f"age > {age}"}
            found = load.sent(client, "POST", "/searches", json=wish)
            if found.status_code == 200:
                for hit in found.json()["hits"][:2]:
                    load.sent(client, "GET", f"/cases/{hit['scan_id']}/thumbnail.png")
                    load.sent(client, "GET", f"/cases/{hit['scan_id']}/slices/axial/20.png")
            load.sent(client, "GET", "/cases")


def write(load: Load) -> None:
    """Add and remove cases, each a version."""
    gallery = open_gallery(load.gallery)
    info = gallery.info()
    rng = np.random.default_rng(0)
    while load.running():
        code = rng.normal(size=info.n_dimensions)
        gallery.add([NewCase("sub-load", "load", code, labels={"age": 60.0})], info.fingerprint)
        gallery.remove(["sub-load"])
        load.counts["writes"] += 2
        time.sleep(1.0)
    gallery.close()


def upload(load: Load, content: bytes) -> None:
    """Upload a scan, search with it, delete it."""
    with load.client() as client:
        while load.running():
            started = load.sent(
                client, "POST", "/uploads", content=content, headers={"X-Filename": "a.nii.gz"}
            )
            if started.status_code != 202:
                time.sleep(1.0)
                continue
            job = started.json()["job"]
            state = "queued"
            while state in ("queued", "running"):
                time.sleep(0.3)
                state = load.sent(client, "GET", f"/jobs/{job}").json()["state"]
            load.counts[f"uploads {state}"] += 1
            if state == "done":
                load.sent(client, "POST", "/searches", json={"upload": job, "k": 5})
            load.sent(client, "DELETE", f"/jobs/{job}")
            time.sleep(1.0)


def resident_mib(process: psutil.Process) -> tuple[float, float]:
    """Return the memory of the service and of all that it started, MiB."""
    own, children = process.memory_info().rss, 0
    for child in process.children(recursive=True):
        try:
            children += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return own / 2**20, children / 2**20


def slope_a_minute(times: list[float], values: list[float]) -> float:
    """Return the slope over the second half of the time, by least squares, in units a minute."""
    half = len(times) // 2
    return 60 * float(np.polyfit(times[half:], values[half:], 1)[0])


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    readers = int(sys.argv[2]) if len(sys.argv) > 2 else READERS
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        cohort, model = prepared(place)
        content = (cohort.folder / cohort.table["image"].iloc[0]).read_bytes()
        (place / "serve.py").write_text(SERVE)
        command = [sys.executable, place / "serve.py", place / "gallery", place / "audit.jsonl"]
        server = subprocess.Popen(
            [*map(str, command), str(place / "model"), model.fingerprint],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[1].rstrip("/")
            print(
                json.dumps(
                    measured(Load(url, place / "gallery", seconds), server.pid, readers, content)
                )
            )
        finally:
            server.terminate()
            server.wait()


def measured(load: Load, pid: int, readers: int, content: bytes) -> dict[str, object]:
    """Run all clients to the end and return what was counted, and the memory."""
    work = [threading.Thread(target=read, args=(load, n), daemon=True) for n in range(readers)]
    work += [threading.Thread(target=write, args=(load,), daemon=True)]
    work += [threading.Thread(target=upload, args=(load, content), daemon=True)]
    for thread in work:
        thread.start()
    process, began = psutil.Process(pid), time.monotonic()
    times, own, children = [], [], []
    while load.running():
        time.sleep(LOOK_S)
        service, worker = resident_mib(process)
        times.append(time.monotonic() - began)
        own.append(service)
        children.append(worker)
        print(f"{times[-1]:6.0f} s  {service:7.1f} MiB  {worker:7.1f} MiB", file=sys.stderr)
    for thread in work:
        thread.join(timeout=180)
    return {
        "seconds": round(times[-1]),
        **dict(load.counts),
        "clients that did not end": sum(thread.is_alive() for thread in work),
        "service_mib": [round(own[0], 1), round(own[len(own) // 2], 1), round(own[-1], 1)],
        "service_slope_mib_a_minute": round(slope_a_minute(times, own), 3),
        "worker_mib": [round(children[0], 1), round(children[-1], 1)],
        "worker_slope_mib_a_minute": round(slope_a_minute(times, children), 3),
    }


if __name__ == "__main__":
    main()
