"""Disease staging: do groups that no model was trained on stand between the classes, in order?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braincase.evaluate.resampling import estimate, mean_of, spearman
from braincase.evaluate.results import Estimate, Rows

#: From health to dementia (ADNI's words; MCI where early and late are not told apart).
STAGES = ("CN", "SMC", "EMCI", "MCI", "LMCI", "AD")


@dataclass(frozen=True)
class GroupPosition:
    """Where one group's people stand: 0 at the first class's mean, 1 at the last class's."""

    name: str
    trained: bool
    mean: Estimate
    positions: tuple[float, ...]


@dataclass(frozen=True)
class Staging:
    """Positions of all groups by one method.

    Parameters
    ----------
    method
        The method.
    ends
        The classes at 0 and 1, held-out people.
    groups
        In the expected order where it is known.
    rho
        Spearman's correlation of position with stage over all people shown; None where the groups
        have no known order.
    rho_never_trained
        The same over the people of never-trained groups alone; None with fewer than two groups.
    in_order
        Whether the groups' means rise in the expected order.
    """

    method: str
    ends: tuple[str, str]
    groups: tuple[GroupPosition, ...]
    rho: Estimate | None
    rho_never_trained: Estimate | None
    in_order: bool | None


@dataclass(frozen=True)
class Placed:
    """Evidence of one method for held-out people and for people of other groups, one fold."""

    subjects: NDArray[np.str_]
    groups: NDArray[np.str_]
    evidence: NDArray[np.float32]


def stage_groups(
    method: str, folds: Sequence[Placed], classes: Sequence[str], seed: int
) -> Staging:
    """Place every person on the axis from the first to the last class.

    The position is the evidence for the last class less that for the first; for codes this is,
    but for scale, the projection on the line through the two classes' means in the gallery. A
    person asked in several folds gets the mean.
    """
    ends = (classes[0], classes[-1])
    group_of, position_of = _positions(folds, ends, len(classes))
    subjects = np.array(list(position_of))
    groups = np.array([group_of[s] for s in subjects])
    positions = np.array([position_of[s] for s in subjects])
    order, is_expected = _expected_order(list(dict.fromkeys(groups)))
    places = np.array([order.index(name) for name in groups])
    new = np.flatnonzero(~np.isin(groups, classes))
    rising = bool(np.all(np.diff([positions[groups == name].mean() for name in order]) > 0))

    def rho(among: Rows) -> Estimate:
        p, q = positions[among], places[among]
        return estimate(lambda rows: spearman(p[rows], q[rows]), q, seed)

    def group(name: str) -> GroupPosition:
        here = np.flatnonzero(groups == name)
        mean = estimate(mean_of(positions[here]), places[here], seed)
        shown = tuple(round(float(p), 4) for p in positions[here])
        return GroupPosition(name, name in classes, mean, shown)

    several = is_expected and len(set(groups[new])) > 1
    return Staging(
        method,
        ends,
        tuple(group(name) for name in order),
        rho(np.arange(len(subjects))) if is_expected else None,
        rho(new) if several else None,
        rising if is_expected else None,
    )


def _positions(
    folds: Sequence[Placed], ends: tuple[str, str], n_classes: int
) -> tuple[Mapping[str, str], Mapping[str, float]]:
    """Return each subject's group and mean position, scaled in each fold by its held-out ends."""
    positions: dict[str, list[float]] = {}
    group_of: dict[str, str] = {}
    for part in folds:
        margin = (part.evidence[:, n_classes - 1] - part.evidence[:, 0]).astype(np.float64)
        low, high = (margin[part.groups == end].mean() for end in ends)
        span = high - low if high != low else 1.0
        for subject, name, value in zip(part.subjects, part.groups, margin, strict=True):
            positions.setdefault(str(subject), []).append(float((value - low) / span))
            group_of[str(subject)] = str(name)
    return group_of, {subject: float(np.mean(values)) for subject, values in positions.items()}


def _expected_order(names: Sequence[str]) -> tuple[list[str], bool]:
    """Put the groups into medicine's order; return whether all of them have a place in it."""
    if set(names) <= set(STAGES):
        return [stage for stage in STAGES if stage in names], True
    return sorted(names), False
