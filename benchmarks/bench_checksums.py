"""Print the checksums of the benchmark's cohorts, for src/braincase/bench/published.py.

    python benchmarks/bench_checksums.py [FOLDER of a simulated cohort and its seed ...]

People and splits follow from the seed alone; voxels are known of the folders that are given.
"""

from __future__ import annotations

import sys
from pathlib import Path

from braincase.bench.archive import drawn_people, images_checksum, people_checksum
from braincase.bench.published import DEVELOPMENT_SEEDS, REPORT_SEEDS
from braincase.bench.splits import deal_people, splits_checksum
from braincase.cohort.cohort import open_cohort

SIZE = "bench"


def main() -> None:
    pairs = zip(sys.argv[1::2], sys.argv[2::2], strict=True)
    images = {int(s): images_checksum(open_cohort(Path(f)).table) for f, s in pairs}
    for seed in (*DEVELOPMENT_SEEDS, *REPORT_SEEDS):
        people = drawn_people(SIZE, seed)
        sums = [people_checksum(people), splits_checksum(people, deal_people(people, seed))]
        sums += [images[seed]] if seed in images else []
        print(f'        ("{SIZE}", {seed}): Checksums(')
        print("\n".join(f'            "{checksum}",' for checksum in sums))
        print("        ),")


if __name__ == "__main__":
    main()
