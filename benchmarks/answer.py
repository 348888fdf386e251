"""What the whole answer costs beside the bare search, at 10,000 cases (processor time).

OMP_NUM_THREADS=1 python benchmarks/answer.py
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from braincase.answer.compose import answer
from braincase.gallery import NewCase, create_gallery
from braincase.search.options import SearchOptions
from braincase.search.pipeline import search_by_case, search_by_code

T = TypeVar("T")


def timed(name: str, work: Callable[[], T]) -> T:
    started = time.process_time()
    done = work()
    print(f"| {name} | {1000 * (time.process_time() - started):.1f} |", flush=True)
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=5000)
    people = parser.parse_args().people
    rng = np.random.default_rng(0)
    ill = rng.random(people) < 0.4
    codes = rng.normal(size=(people, 150)) + (np.arange(150) < 20) * ill[:, None]
    gallery = create_gallery(tempfile.mkdtemp(), "model", 4)
    cases = [
        NewCase(
            f"sub-{person}_ses-{visit}",
            str(person),
            (codes[person] + 0.05 * rng.normal(size=150)).astype(np.float32),
            str(visit),
            {
                "diagnosis": ("CN", "AD")[int(ill[person])],
                "age": float(rng.uniform(60, 90)),
                "sex": "FM"[person % 2],
            },
        )
        for person in range(people)
        for visit in (0, 1)
    ]
    gallery.add(cases, "model")
    print(f"| {gallery.info().cases} cases, 10 hits | ms |\n|---|---|")
    search_by_case(gallery, "sub-1_ses-0", SearchOptions())  # reads the record into memory
    first = timed("search", lambda: search_by_case(gallery, "sub-2_ses-0", SearchOptions()))
    timed("answer, learning", lambda: answer(first))
    second = search_by_case(gallery, "sub-3_ses-0", SearchOptions())
    timed("answer, once learned", lambda: answer(second))
    timed(
        "search, 5 years older",
        lambda: search_by_case(gallery, "sub-3_ses-0", SearchOptions(older=5)),
    )
    normal = SearchOptions(similar_by="normal")
    timed("search by normal anatomy", lambda: search_by_case(gallery, "sub-3_ses-0", normal))
    timed(
        "first search with a code: whose is it?",
        lambda: search_by_code(gallery, codes[3], SearchOptions()),
    )
    timed("next search with a code", lambda: search_by_code(gallery, codes[4], SearchOptions()))


if __name__ == "__main__":
    main()
