"""Result files of the benchmark: every number with its interval, as JSON with a schema version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from braincase.bench.archive import Verified
from braincase.bench.comparison import Difference
from braincase.bench.contestant import Kind
from braincase.bench.published import Checksums, SeedRole
from braincase.bench.tasks.task import Measure, Reference
from braincase.errors import UsageError
from braincase.evaluate.results import Estimate
from braincase.files import read_json, write_json
from braincase.json_values import to_json_object

#: Raise when the meaning of a number or the form of the file changes.
SCHEMA = "braincase-bench/1"


@dataclass(frozen=True)
class Entrant:
    """Who was scored: name, kind, fingerprints of its runs, length of its vectors, and cost."""

    name: str
    kind: Kind
    fingerprints: tuple[str, ...]
    runs: int
    numbers: int
    seconds: float


@dataclass(frozen=True)
class Score:
    """One measure of one contestant, and by how much it is better than the best baseline, and each.

    Results of earlier versions have no `over_each`.
    """

    contestant: str
    estimate: Estimate
    ahead: Difference | None = None
    over_each: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class MeasureScores:
    """One measure of all contestants."""

    measure: Measure
    reference: Reference
    scores: tuple[Score, ...]
    best_baseline: str | None

    def of(self, contestant: str) -> Score | None:
        """Return one contestant's score; None where it was not asked."""
        return next((s for s in self.scores if s.contestant == contestant), None)


@dataclass(frozen=True)
class TaskScores:
    """One task: who asked, what could be found, and all measures; or why it was skipped."""

    letter: str
    key: str
    title: str
    question: str
    people: int
    gallery: int
    measures: tuple[MeasureScores, ...]
    skipped: str = ""

    @property
    def primary(self) -> MeasureScores | None:
        """The measure by which the task is decided; None where it was skipped."""
        return next((m for m in self.measures if m.measure.primary), None)


@dataclass(frozen=True)
class About:
    """What was scored on what: the cohort, its checksums and splits, seeds, versions, time.

    Parameters
    ----------
    size, seed, role
        Of the simulated cohort, and what the seed is for.
    checksums, verified
        Of cohort and splits, and how they compare with the published ones.
    people
        Part -> condition -> number of people.
    resolution_mm
        Voxel size.
    resamples
        Of the people who ask.
    versions, machine, started
        How the numbers came about.
    seconds
        Of each step of the run.
    """

    size: str
    seed: int
    role: SeedRole
    checksums: Checksums
    verified: Verified
    people: Mapping[str, Mapping[str, int]]
    resolution_mm: int
    resamples: int
    versions: Mapping[str, str]
    machine: str
    started: str
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class BenchResult:
    """All scores of one run of the benchmark."""

    about: About
    entrants: tuple[Entrant, ...]
    tasks: tuple[TaskScores, ...]

    def of_kind(self, kind: Kind) -> tuple[Entrant, ...]:
        """Return the contestants, the baselines or the ceiling."""
        return tuple(entrant for entrant in self.entrants if entrant.kind == kind)

    @property
    def first_line(self) -> str:
        """Say in which tasks a baseline is better than the contestant that was named first."""
        contestants = self.of_kind("contestant")
        decided = [task for task in self.tasks if task.primary]
        if not contestants:
            return f"Baselines only, no contestant: {len(decided)} tasks were scored."
        name = contestants[0].name
        ahead = {
            t.letter: s.ahead
            for t in decided
            if t.primary and (s := t.primary.of(name)) and s.ahead
        }
        lost = [letter for letter, d in ahead.items() if d.estimate.value < 0]
        sure = [k for k, d in ahead.items() if d.estimate.value > 0 and (d.p_holm or 0) < 0.05]
        first = (
            f"A baseline wins against {name} in {len(lost)} of {len(ahead)} tasks"
            f" ({', '.join(lost)})"
            if lost
            else f"No baseline wins against {name} in any of {len(ahead)} tasks"
        )
        clear = f"in {', '.join(sure)}" if sure else "in none"
        return f"{first}; {name} is ahead beyond chance (Holm, 5 %) {clear}."


def write_result(path: Path, result: BenchResult) -> None:
    """Write a result file."""
    write_json(path, result_json(result))


def result_json(result: BenchResult) -> dict[str, Any]:
    """Return a result as plain JSON types, the schema and the first line before everything."""
    head = {"schema": SCHEMA, "simulated": True, "first_line": result.first_line}
    return {**head, **to_json_object(result)}


def read_result(path: Path) -> BenchResult:
    """Read a result file.

    Raises
    ------
    UsageError
        If it is no result file of this schema.
    """
    content = read_json(path, UsageError, "Write one with `braincase bench --json FILE`.")
    if (found := content.get("schema")) != SCHEMA:
        raise UsageError(path, f"schema {found!r}", f"{SCHEMA!r}, a result of braincase bench")
    try:
        result = _built(BenchResult, content)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            path, f"a damaged result ({error})", "a result of braincase bench"
        ) from None
    assert isinstance(result, BenchResult)
    return result


def _built(kind: Any, value: Any) -> Any:
    """Build a record, or a value of another annotated type, from plain JSON."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        options = [option for option in inner if option is not type(None)]
        return None if value is None and len(options) < len(inner) else _built(options[0], value)
    if origin is Literal:
        if value not in inner:
            raise ValueError(f"{value!r}, expected one of {', '.join(map(str, inner))}")
        return value
    if origin is tuple:
        return tuple(_built(inner[0], part) for part in _checked(list, value))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {str(k): _built(inner[1], v) for k, v in _checked(dict, value).items()}
    if hasattr(kind, "__dataclass_fields__"):
        hints, content = get_type_hints(kind), _checked(dict, value)
        # What has a default may be missing from a result of an earlier version.
        names = [f.name for f in fields(kind) if f.name in content or f.default is MISSING]
        return kind(**{name: _built(hints[name], content[name]) for name in names})
    if kind is float:
        # A number that was not finite is null in the file.
        return float("nan") if value is None else float(_checked((int, float), value))
    return _checked(kind, value)


def _checked(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{value!r:.40} where {getattr(kind, '__name__', 'a number')} is expected")
    return value


def names_in(results: Sequence[BenchResult]) -> list[str]:
    """Return the names of everybody scored, each once, in order."""
    return list(dict.fromkeys(e.name for result in results for e in result.entrants))
