"""Kill -9 one of two query nodes of a real Milvus cluster while searching; count what is lost.

    python benchmarks/milvus_failover.py --replicas 2

Four threads search a distributed gallery without a pause and check each answer against a brute
force. After some seconds the query node that worked most is killed. 'Retried' counts calls that
Braincase made again; a search is 'failed' when the caller saw an error, 'wrong' when its hits were
not those of the brute force. Needs what `milvus_cluster.py` names; runs itself in a network
namespace of its own.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil

from braincase.errors import BraincaseError
from braincase.gallery import Gallery, NewCase, Query, create_gallery
from braincase.search.nearest import search
from milvus_cluster import PROXY, running_cluster

MODEL = "f" * 64
K, N_CELLS, THREADS = 10, 150, 4
OWN_NETWORK = "BRAINCASE_OWN_NETWORK"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--before", type=float, default=15, help="seconds before the kill")
    parser.add_argument("--after", type=float, default=60, help="seconds after it")
    options = parser.parse_args()
    enter_own_network()
    retries = count_retries()
    with (
        tempfile.TemporaryDirectory(prefix="milvus-cluster-") as place,
        running_cluster(Path(place)) as processes,
    ):
        url = f"milvus://127.0.0.1:{PROXY}/brains?record={place}/gallery"
        codes = np.random.default_rng(0).normal(size=(options.cases, N_CELLS))
        gallery = create_gallery(f"{url}&replicas={options.replicas}", MODEL, 2)
        fill(gallery, codes.astype(np.float32))
        log = Log()
        threads = [
            threading.Thread(target=keep_searching, args=(gallery, codes, seed, log))
            for seed in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        time.sleep(options.before)
        nodes = [processes["querynode1"], processes["querynode2"]]
        worked = [sum(psutil.Process(node.pid).cpu_times()[:2]) for node in nodes]
        victim = nodes[int(np.argmax(worked))]
        log.killed_at = time.monotonic()
        victim.send_signal(signal.SIGKILL)
        print(f"killed a query node; processor seconds of both were {worked}", flush=True)
        time.sleep(options.after)
        log.stop.set()
        for thread in threads:
            thread.join()
        gallery.close()
    tell(log, retries, options.replicas)


def enter_own_network() -> None:
    """Start this program again in a network namespace of its own: Milvus listens everywhere."""
    if OWN_NETWORK not in os.environ:
        environment = {**os.environ, OWN_NETWORK: "1"}
        os.execvpe("unshare", ["unshare", "--net", sys.executable, *sys.argv], environment)


def count_retries() -> Counter[str]:
    """Count the warnings with which Braincase tells that it asks again."""
    counts: Counter[str] = Counter()

    class Counting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            counts[record.getMessage()[:120]] += 1

    logging.getLogger("braincase.gallery.milvus.collection").addHandler(Counting())
    return counts


class Log:
    """What the searching threads saw: when each search began, how long it took, what it gave."""

    def __init__(self) -> None:
        self.searches: list[tuple[float, float, str]] = []
        self.killed_at = float("inf")
        self.stop = threading.Event()


def fill(gallery: Gallery, codes: np.ndarray) -> None:
    for start in range(0, len(codes), 500):
        rows = range(start, min(start + 500, len(codes)))
        labels = [{"sex": "FM"[row % 2], "diagnosis": ("CN", "AD", "MCI")[row % 3]} for row in rows]
        gallery.add(
            [
                NewCase(f"sub-{row}", str(row), codes[row], labels=case_labels)
                for row, case_labels in zip(rows, labels, strict=True)
            ],
            MODEL,
        )


def keep_searching(gallery: Gallery, codes: np.ndarray, seed: int, log: Log) -> None:
    rng = np.random.default_rng(seed)
    exact_codes = codes.astype(np.float32).astype(np.float64)
    while not log.stop.is_set():
        code = rng.normal(size=N_CELLS).astype(np.float32)
        nearest = np.argsort(((exact_codes - code) ** 2).sum(axis=1))[:K]
        start = time.monotonic()
        try:
            result = search(gallery, Query(code, MODEL, k=K, subject="nobody"))
            right = [hit.scan_id for hit in result.hits] == [f"sub-{row}" for row in nearest]
            outcome = "right" if right and result.exact else "wrong"
        except BraincaseError as error:
            print(error, flush=True)
            outcome = "failed"
        log.searches.append((start, time.monotonic() - start, outcome))


def tell(log: Log, retries: Counter[str], replicas: int) -> None:
    after = [s for s in log.searches if s[0] + s[1] > log.killed_at]
    before = [seconds for start, seconds, _ in log.searches if start + seconds <= log.killed_at]
    outcomes = Counter(outcome for _, _, outcome in log.searches)
    print(
        f"replicas {replicas}: {len(log.searches)} searches, {len(after)} ended after the kill;"
        f" {outcomes['failed']} failed, {outcomes['wrong']} wrong, {sum(retries.values())} retried;"
        f" median {np.median(before):.2f} s before, {np.median([s[1] for s in after]):.2f} s after,"
        f" longest {max(s[1] for s in after):.1f} s"
    )
    for what, count in retries.most_common(5):
        print(f"  retried {count} times after: {what}")


if __name__ == "__main__":
    main()
