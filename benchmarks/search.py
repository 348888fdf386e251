"""Search at growing gallery sizes, beside one NumPy pass, FAISS flat and hnswlib, in one run.

    OMP_NUM_THREADS=1 python benchmarks/search.py --sizes 10000 100000 1000000

Times are of one thread's processor (so that a busy machine disturbs little), p50 and p99 over the
queries, a whole `braincase.search.nearest.search` call with filter, own person, record and all.
"pass" is NumPy's ``codes[rows] @ query`` over the selected rows, without which nothing exact can
be; "packed" the same over a copy of just these rows, which no filter known beforehand has. FAISS
and hnswlib are measured if installed; hnswlib is built once, single-threaded, and is approximate.
"first" is the
first search with a filter, which evaluates it on all cases; the next ones know what it leaves.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from braincase.gallery import NewCase, Query, create_gallery, open_gallery
from braincase.search.nearest import search

MODEL = "f" * 64
N_CELLS = 150
K = 10
#: Filters by the share of cases they leave; `lot` counts from 0 to 999.
FILTERS = {"none": "", "10 %": "lot < 100", "0.1 %": "lot = 7"}


@dataclass(frozen=True)
class Line:
    """One measured row of the table: times in ms, recall against float64 brute force."""

    size: int
    selected: str
    method: str
    p50: float
    p99: float
    recall: float
    first: float | None = None


def clustered(n: int, seed: int) -> np.ndarray:
    """Codes around 200 centres, shape (n, N_CELLS)."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(scale=2.0, size=(200, N_CELLS)).astype(np.float32)
    codes = np.empty((n, N_CELLS), np.float32)
    for start in range(0, n, 50_000):
        part = codes[start : start + 50_000]
        part[:] = rng.normal(size=part.shape)
        part += centres[rng.integers(0, len(centres), len(part))]
    return codes


def timed(function: Callable[[Any], Any], queries: np.ndarray) -> tuple[float, float, list[Any]]:
    """Return p50 and p99 in ms, and the answers."""
    function(queries[0])
    times, answers = [], []
    for query in queries:
        start = time.process_time()
        answers.append(function(query))
        times.append(1000 * (time.process_time() - start))
    return float(np.percentile(times, 50)), float(np.percentile(times, 99)), answers


def truth(codes: np.ndarray, rows: np.ndarray, queries: np.ndarray) -> list[set[int]]:
    """Return the K nearest rows of each query by brute force in float64."""
    nearest = []
    for query in queries:
        squared = np.empty(len(rows))
        for start in range(0, len(rows), 50_000):
            part = codes[rows[start : start + 50_000]].astype(np.float64) - query
            squared[start : start + 50_000] = np.einsum("ij,ij->i", part, part)
        nearest.append(set(rows[np.argsort(squared, kind="stable")[:K]].tolist()))
    return nearest


def recall_of(answers: list[Any], expected: list[set[int]]) -> float:
    hits = sum(
        len(set(map(int, answer)) & wanted)
        for answer, wanted in zip(answers, expected, strict=True)
    )
    return hits / sum(map(len, expected))


def build(folder: Path, codes: np.ndarray) -> None:
    gallery = create_gallery(folder, MODEL, 2)
    for start in range(0, len(codes), 20_000):
        cases = [
            NewCase(
                f"sub-{row}_ses-1",
                str(row),
                codes[row],
                "1",
                {
                    "lot": row * 7919 % 1000,
                    "sex": "FM"[row % 2],
                    "diagnosis": ("CN", "AD")[row % 2],
                },
            )
            for row in range(start, min(start + 20_000, len(codes)))
        ]
        gallery.add(cases, MODEL)
    gallery.close()


def measure(size: int, n_queries: int, with_hnsw: bool) -> Iterator[Line]:
    codes, queries = clustered(size, 1), clustered(n_queries, 2)
    lots = np.arange(size) * 7919 % 1000
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "gallery"
        start = time.process_time()
        build(folder, codes)
        built = time.process_time() - start
        disk = sum(file.stat().st_size for file in folder.iterdir())
        before = resident_mb()
        start = time.process_time()
        gallery = open_gallery(folder)
        gallery.info()
        gallery.person("nobody")  # makes the index of people
        opened = time.process_time() - start
        print(
            f"{size} cases: built in {built:.1f} s, {disk / 1e6:.0f} MB on disk, opened in"
            f" {opened:.2f} s, {resident_mb() - before:.0f} MB of memory",
            flush=True,
        )
        engines = other_engines(codes, with_hnsw)
        for selected, where in FILTERS.items():
            rows = np.flatnonzero(
                {"none": lots >= 0, "10 %": lots < 100, "0.1 %": lots == 7}[selected]
            )
            expected = truth(codes, rows, queries)

            def ours(query: np.ndarray, where: str = where) -> list[int]:
                result = search(gallery, Query(query, MODEL, k=K, where=where, subject="nobody"))
                return [int(hit.subject) for hit in result.hits]

            start = time.process_time()
            ours(queries[0])
            first = 1000 * (time.process_time() - start)
            p50, p99, answers = timed(ours, queries)
            recall = recall_of(answers, expected)
            yield Line(size, selected, "braincase", p50, p99, recall, first)
            yield from passes(size, selected, codes, rows, queries)
            for name, engine in engines.items():
                if name == "hnswlib" and where:
                    continue  # its filter is a Python call a candidate: minutes, not ms
                p50, p99, answers = timed(lambda q, e=engine, r=rows: e(q, r), queries)
                yield Line(size, selected, name, p50, p99, recall_of(answers, expected))
        gallery.close()


def passes(
    size: int, selected: str, codes: np.ndarray, rows: np.ndarray, queries: np.ndarray
) -> Iterator[Line]:
    """Measure the floor: one product with all selected rows."""
    if len(rows) == size:
        p50, p99, _ = timed(lambda query: codes @ query, queries)
        yield Line(size, selected, "NumPy pass", p50, p99, 1.0)
        return
    p50, p99, _ = timed(lambda query: codes[rows] @ query, queries)
    yield Line(size, selected, "NumPy pass", p50, p99, 1.0)
    packed = np.ascontiguousarray(codes[rows])
    p50, p99, _ = timed(lambda query: packed @ query, queries)
    yield Line(size, selected, "NumPy pass, packed", p50, p99, 1.0)


def other_engines(codes: np.ndarray, with_hnsw: bool) -> dict[str, Callable[[Any, Any], Any]]:
    engines: dict[str, Callable[[Any, Any], Any]] = {}
    try:
        import faiss
    except ImportError:
        print("faiss is not installed")
    else:
        faiss.omp_set_num_threads(1)
        flat = faiss.IndexFlatL2(N_CELLS)
        flat.add(codes)

        def faiss_flat(query: np.ndarray, rows: np.ndarray) -> Any:
            if len(rows) == len(codes):
                return flat.search(query[None], K)[1][0]
            chosen = faiss.SearchParameters(sel=faiss.IDSelectorBatch(rows))
            return flat.search(query[None], K, params=chosen)[1][0]

        engines["FAISS flat"] = faiss_flat
    if with_hnsw:
        import hnswlib

        start = time.process_time()
        graph = hnswlib.Index("l2", N_CELLS)
        graph.init_index(len(codes), M=16, ef_construction=200)
        graph.add_items(codes, num_threads=1)
        graph.set_ef(512)
        print(f"hnswlib built in {time.process_time() - start:.0f} s")
        engines["hnswlib"] = lambda query, rows: graph.knn_query(query[None], K, num_threads=1)[0][
            0
        ]
    return engines


def row_of(line: Line, floor: float) -> str:
    first = "" if line.first is None else f"{line.first:.2f}"
    return (
        f"| {line.size:,} | {line.selected} | {line.method} | {line.p50:.2f} | {line.p99:.2f} |"
        f" {first} | {line.recall:.3f} | {line.p50 / max(floor, 1e-3):.2f} |"
    )


def resident_mb() -> float:
    text = Path("/proc/self/statm")
    if text.exists():
        return int(text.read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--hnsw", action="store_true", help="build hnswlib too (slow)")
    options = parser.parse_args()
    table = ["| cases | filter leaves | method | p50 ms | p99 ms | first ms | recall | x pass |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for size in options.sizes:
        lines = list(measure(size, options.queries, options.hnsw))
        floor = {line.selected: line.p50 for line in lines if line.method == "NumPy pass"}
        table += [row_of(line, floor[line.selected]) for line in lines]
    print("\n".join(table))


if __name__ == "__main__":
    main()
