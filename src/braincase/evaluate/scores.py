"""Scores of one method over all queries, each with its 95 % interval over people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braincase.evaluate import resampling
from braincase.evaluate.answers import Answers, Kind, Order
from braincase.evaluate.ranking import RankingScores, rank_by_distance, score_ranking
from braincase.evaluate.resampling import Floats, Statistic, estimate, mean_of
from braincase.evaluate.results import Estimate, Rows

#: Hits looked at, fewer where the gallery is smaller.
HITS = 10
#: People who vote on the query's class; odd, so that two classes are never tied.
VOTERS = 11


@dataclass(frozen=True)
class Queries:
    """Who asks and who can be found in one fold: one scan a person on each side."""

    fold: int
    subjects: NDArray[np.str_]
    labels: NDArray[np.str_]
    gallery_subjects: NDArray[np.str_]
    gallery_labels: NDArray[np.str_]


@dataclass(frozen=True)
class Answered:
    """One method's answers to the queries of one fold, scored."""

    queries: Queries
    name: str
    kind: Kind
    ranking: RankingScores
    evidence: NDArray[np.float32]
    vote: NDArray[np.object_]
    order: Order


@dataclass(frozen=True)
class MethodScore:
    """One line of the honest table.

    Parameters
    ----------
    name, kind
        The method; a model or a baseline.
    top1
        Share of queries whose nearest case has their class.
    precision
        Mean share of the query's class among the 10 nearest cases (P@10).
    mean_ap
        Mean average precision; a query without any relevant case counts 0.
    macro_f1, recalls
        Of the nearest case's class taken as prediction.
    auc
        How well the evidence separates the classes (mean of one against the rest).
    vote_f1
        Macro-F1 of the class that most of the 11 nearest people have.
    evidence_f1
        Macro-F1 of the class with the most evidence.
    order
        How the gallery is ranked; see `answers.Answers`.
    queries, without_relevant
        Number of queries, and of those for which the gallery holds no relevant case.
    """

    name: str
    kind: Kind
    top1: Estimate
    precision: Estimate
    mean_ap: Estimate
    macro_f1: Estimate
    auc: Estimate
    recalls: Mapping[str, Estimate]
    queries: int
    without_relevant: int
    vote_f1: Estimate
    evidence_f1: Estimate
    order: Order = "by distance"


@dataclass(frozen=True)
class Pool:
    """One method's answers of all folds, one value a query; classes as numbers.

    A query that found nobody at all is counted as a named class of -1.
    """

    classes: tuple[str, ...]
    fold: NDArray[np.intp]
    y: NDArray[np.intp]
    named: NDArray[np.intp]
    voted: NDArray[np.intp]
    top1: Floats
    precision: Floats
    average_precision: Floats
    evidence: NDArray[np.float32]

    @staticmethod
    def of(folds: Sequence[Answered], classes: Sequence[str]) -> Pool:
        """Put the folds one behind the other."""
        number = {name: i for i, name in enumerate(classes)}
        nearest = [name for part in folds for name in part.ranking.nearest]
        vote = [name for part in folds for name in part.vote]
        return Pool(
            classes=tuple(classes),
            fold=np.concatenate([np.full(len(p.queries.labels), p.queries.fold) for p in folds]),
            y=np.array([number[name] for part in folds for name in part.queries.labels]),
            named=np.array([number.get(str(name), -1) for name in nearest]),
            voted=np.array([number.get(str(name), -1) for name in vote]),
            top1=np.concatenate([part.ranking.top1 for part in folds]),
            precision=np.concatenate([part.ranking.precision_at_k for part in folds]),
            average_precision=np.concatenate([part.ranking.average_precision for part in folds]),
            evidence=np.concatenate([part.evidence for part in folds]),
        )

    def macro_f1(self, rows: Rows) -> Floats:
        """Return macro-F1 of the nearest case's class; rows of shape (r, n)."""
        return resampling.macro_f1(self.y[rows], self.named[rows], range(len(self.classes)))

    def vote_f1(self, rows: Rows) -> Floats:
        """Return macro-F1 of the class that the nearest people vote for; rows of shape (r, n)."""
        return resampling.macro_f1(self.y[rows], self.voted[rows], range(len(self.classes)))

    def evidence_f1(self, rows: Rows) -> Floats:
        """Return macro-F1 of the class with the most evidence; rows of shape (r, n)."""
        believed = self.evidence.argmax(axis=1)
        return resampling.macro_f1(self.y[rows], believed[rows], range(len(self.classes)))

    def recall_of(self, name: str) -> Statistic:
        """Return the statistic: share of one class whose nearest case is of that class."""
        wanted = [self.classes.index(name)]
        return lambda rows: resampling.recalls(self.y[rows], self.named[rows], wanted)[..., 0]

    def auc(self, rows: Rows) -> Floats:
        """Return the mean AUC over folds: evidence of two folds' models is never compared."""
        of_fold = resampling.one_vs_rest_auc(self.evidence, self.y)
        return resampling.mean_over_folds(of_fold, rows, self.fold)


def score_answers(answers: Answers, queries: Queries) -> Answered:
    """Rank the gallery for each query, own subject left out, and score the order."""
    order = rank_by_distance(answers.distances, queries.subjects, queries.gallery_subjects)
    k = min(HITS, order.shape[1])
    ranking = score_ranking(order, queries.labels, queries.gallery_labels, k)
    vote = score_ranking(
        order, queries.labels, queries.gallery_labels, min(VOTERS, order.shape[1])
    ).vote
    return Answered(
        queries, answers.name, answers.kind, ranking, answers.evidence, vote, answers.order
    )


def score_method(folds: Sequence[Answered], classes: Sequence[str], seed: int) -> MethodScore:
    """Put one method's answers of all folds together."""
    pool = Pool.of(folds, classes)

    def of(statistic: Statistic) -> Estimate:
        return estimate(statistic, pool.fold, seed)

    return MethodScore(
        name=folds[0].name,
        kind=folds[0].kind,
        top1=of(mean_of(pool.top1)),
        precision=of(mean_of(pool.precision)),
        mean_ap=of(mean_of(pool.average_precision)),
        macro_f1=of(pool.macro_f1),
        auc=of(pool.auc),
        recalls={name: of(pool.recall_of(name)) for name in classes},
        queries=len(pool.y),
        without_relevant=int(sum(part.ranking.without_relevant.sum() for part in folds)),
        vote_f1=of(pool.vote_f1),
        evidence_f1=of(pool.evidence_f1),
        order=folds[0].order,
    )


def lead_on_macro_f1(
    a: Sequence[Answered], b: Sequence[Answered], classes: Sequence[str], seed: int
) -> Estimate:
    """Return by how much `a` beats `b` on macro-F1, the same people drawn for both."""
    first, second = Pool.of(a, classes), Pool.of(b, classes)
    return estimate(lambda rows: first.macro_f1(rows) - second.macro_f1(rows), first.fold, seed)
