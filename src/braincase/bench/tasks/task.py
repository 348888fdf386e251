"""Task and measure records: what is asked of every contestant, and which numbers come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from braincase.bench.setting import Setting
from braincase.bench.views import Shown
from braincase.evaluate.resampling import Statistic

#: How an answer is made; only answers of one convention are compared.
Convention = Literal["ranking", "class first", "vectors"]
Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Measure:
    """One number of a task.

    Parameters
    ----------
    key, title
        For programs, and for people.
    convention
        How the answer is made that it scores.
    better
        Which way is better; of neither, nothing is compared.
    primary
        The number by which the task is decided, one a task.
    digits
        Decimals shown.
    """

    key: str
    title: str
    convention: Convention
    better: Better = "higher"
    primary: bool = False
    digits: int = 3


@dataclass(frozen=True)
class Reference:
    """What chance gives in a measure, and the most that is possible; None where unknown."""

    chance: float | None = None
    ceiling: float | None = None


@dataclass(frozen=True)
class Asked:
    """A task put to one cohort.

    Parameters
    ----------
    strata
        One entry for each person who asks: people are drawn within their stratum.
    gallery
        Number of scans that can be found.
    answer
        From what a contestant shows to each measure's statistic over the people who ask.
    references
        By the measure's key.
    """

    strata: NDArray[np.str_]
    gallery: int
    answer: Callable[[Shown], Mapping[str, Statistic]]
    references: Mapping[str, Reference] = field(default_factory=dict)


@dataclass(frozen=True)
class Skipped:
    """A task that cannot be put to this cohort, and why."""

    reason: str


@dataclass(frozen=True)
class Task:
    """One question of the benchmark.

    Parameters
    ----------
    letter, key, title, question
        Its names, and what is asked in a sentence.
    measures
        Its numbers, one of them primary.
    ask
        Puts it to a cohort.
    reads_images
        Whether only what reads images is asked.
    """

    letter: str
    key: str
    title: str
    question: str
    measures: tuple[Measure, ...]
    ask: Callable[[Setting], Asked | Skipped]
    reads_images: bool = False
