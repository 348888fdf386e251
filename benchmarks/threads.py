"""Time of one training epoch by how OpenMP's threads wait: on a busy machine spinning costs most.

    python benchmarks/threads.py COHORT [RUNS]

Each run is a process of its own: 96 scans of a cohort of 4 mm, one epoch of the preset `plain`. The
numbers mean something beside the load that is told: run it while other work is going on.
"""

from __future__ import annotations

import os
import subprocess
import sys

EPOCH = """
import sys, time, numpy
from dataclasses import replace
from braincase.cohort.cohort import open_cohort
from braincase.models.settings import PRESETS
from braincase.models.train import train_model
cohort = open_cohort(sys.argv[1])
wall, own = time.perf_counter(), time.process_time()
train_model(cohort, numpy.arange(96), replace(PRESETS["plain"], epochs=1))
print(f"{time.perf_counter() - wall:.1f} s, of the processor {time.process_time() - own:.1f} s")
"""
WAYS = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "two threads that spin (OpenMP's default)": {"OMP_NUM_THREADS": "2"},
    "two threads that sleep (braincase)": {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"},
}


def main() -> None:
    cohort, runs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2
    for _ in range(runs):
        print(f"load {os.getloadavg()[0]:.1f}")
        for name, settings in WAYS.items():
            command = [sys.executable, "-c", EPOCH, cohort]
            done = subprocess.run(
                command, env={**os.environ, **settings}, capture_output=True, text=True, check=True
            )
            print(f"{name}: {done.stdout.strip()}", flush=True)


if __name__ == "__main__":
    main()
