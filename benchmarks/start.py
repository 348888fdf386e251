"""Cold starts: processor and wall time of whole commands, as ratios, and what they import.

    OMP_NUM_THREADS=1 python benchmarks/start.py GALLERY [--model MODEL --head HEAD.nii.gz]

Each command runs as a process of its own, several times; the fastest run counts, for other work on
the machine only slows it. The ratio is to ``python -c "import numpy"`` on the same machine, so that
machines compare. ``--tree`` prints the imports that cost most, with all that they bring along.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time

import braincase

BRAINCASE = [sys.executable, "-m", "braincase"]


def fastest(command: list[str], runs: int) -> tuple[float, float]:
    """Wall and processor seconds of the fastest of several runs."""
    walls, works = [], []
    for _ in range(runs):
        before, started = os.times(), time.monotonic()
        subprocess.run(command, capture_output=True, check=True)
        after = os.times()
        walls.append(time.monotonic() - started)
        works.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
    return min(walls), min(works)


def costly_imports(command: list[str], most: int) -> list[str]:
    """The imports of a command that take longest with all below them, a line each."""
    timed = [command[0], "-X", "importtime", *command[1:]]
    said = subprocess.run(timed, capture_output=True, text=True, check=True).stderr
    found = re.findall(r"import time:\s+(\d+) \|\s+(\d+) \| (.*)", said)
    costly = sorted(found, key=lambda line: -int(line[1]))[:most]
    return [f"  {int(whole) / 1000:7.0f} ms {name.strip()}" for _, whole, name in costly]


def commands_of(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """The commands by name."""
    with braincase.open_gallery(arguments.gallery) as opened:
        case = opened.gallery.one_scan_each(1)[0].scan_id
    commands = {
        "--help": [*BRAINCASE, "--help"],
        "search, a stored case": [*BRAINCASE, "search", case, "--gallery", arguments.gallery],
    }
    if arguments.head:
        raw = [*BRAINCASE, "search", arguments.head, "--gallery", arguments.gallery]
        commands["search, a raw head"] = [*raw, "--model", arguments.model]
    return commands


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gallery")
    parser.add_argument("--model")
    parser.add_argument("--head")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tree", type=int, default=0, help="lines of the import tree")
    arguments = parser.parse_args()
    _, unit = fastest([sys.executable, "-c", "import numpy"], arguments.runs)
    print(f"import numpy: {unit:.2f} s of processor time")
    print("| command | wall, s | processor, s | times `import numpy` |\n|---|---|---|---|")
    commands = commands_of(arguments)
    for name, command in commands.items():
        wall, work = fastest(command, arguments.runs)
        print(f"| {name} | {wall:.2f} | {work:.2f} | {work / unit:.1f} |", flush=True)
    for name, command in commands.items() if arguments.tree else ():
        print(f"{name}:", *costly_imports(command, arguments.tree), sep="\n")


if __name__ == "__main__":
    main()
