"""The honest protocol: one scan a person, people never seen, and baselines in the same table.

Held-out people ask; the training folds' people are the gallery. Models and baselines are fitted on
the same training scans. Where a baseline wins or is higher, the first line says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from braincase.cohort.cohort import Cohort
from braincase.evaluate.paper import MODELS
from braincase.evaluate.results import (
    Estimate,
    Fit,
    Material,
    Provenance,
    Rows,
    Training,
    title_of,
)
from braincase.evaluate.retrieval import (
    Askers,
    Round,
    answer_queries,
    held_out_people,
    never_trained_people,
    prepare_shared_baselines,
    unseen_people,
)
from braincase.evaluate.scores import Answered, MethodScore, lead_on_macro_f1, score_method
from braincase.evaluate.staging import Staging, stage_groups
from braincase.evaluate.study import Study, data_set_name, start_clock, train_fold, training_of
from braincase.json_values import Json, to_json_object
from braincase.labels import Value

#: Baselines and searches use at most this many scans (all scans of a random part of the people):
#: Gram matrices grow with the square.
MOST_SCANS = 6000
#: The columns of the table in which a winner is named.
COLUMNS = {
    "top1": "top-1",
    "precision": "P@10",
    "mean_ap": "mAP",
    "macro_f1": "macro-F1",
    "vote_f1": "macro-F1, vote of 11",
    "evidence_f1": "macro-F1, evidence",
    "auc": "AUC",
}
#: How the first line ends where it is the best on all other scores.
NO_OTHER = "No baseline is higher elsewhere"
#: Scores of a ranking: compared only with those of a ranking of the same kind.
OF_RANKING = ("top1", "precision", "mean_ap", "macro_f1", "vote_f1")


@dataclass(frozen=True)
class Unseen:
    """A second data set's people asking the first fold's gallery."""

    data: str
    people: Mapping[str, int]
    methods: tuple[MethodScore, ...]


@dataclass(frozen=True)
class HonestResult:
    """The honest table; build with `run_honest`.

    Parameters
    ----------
    methods
        Models first, then baselines.
    lead
        Macro-F1 of the contestant less that of the best baseline, on the same people.
    contestant
        The model that stands against the baselines: the last one asked for, named before any of
        them is trained.
    staging
        Order of the never-trained groups by each method; empty where there are no such groups.
    queries
        One row a query and method, for the CSV file.
    """

    material: Material
    provenance: Provenance
    trainings: tuple[Training, ...]
    methods: tuple[MethodScore, ...]
    lead: Estimate
    staging: tuple[Staging, ...]
    unseen: Unseen | None
    queries: tuple[Mapping[str, Value], ...] = field(repr=False)
    contestant: str

    @property
    def first_line(self) -> str:
        """Say who wins on the primary score, and on which others a baseline is higher.

        Only the primary score, macro-F1, has an interval of the difference on the same people; a
        baseline wins where that excludes 0.
        """
        model = next(method for method in self.methods if method.name == self.contestant)
        baseline = _best([m for m in self.methods if m.kind == "baseline"], "macro_f1")
        if self.lead.covers(0) or self.lead.value == 0:
            who_wins = "On macro-F1 neither is clearly ahead"
        else:
            who_wins = f"{'A' if self.lead.value < 0 else 'No'} baseline wins on macro-F1"
        others = [name for name in COLUMNS if name != "macro_f1"]
        higher = [text for name in others for text in _higher(self.methods, self.contestant, name)]
        rest = f"A baseline is higher on {'; '.join(higher)}" if higher else NO_OTHER
        return (
            f"{who_wins}: macro-F1 of {title_of(model.name)}, named beforehand, is "
            f"{model.macro_f1.value:.3f}, of the best baseline ({baseline.name}) "
            f"{baseline.macro_f1.value:.3f}; difference {self.lead.signed()}. {rest}."
        )

    def to_json(self) -> dict[str, Json]:
        """Return everything but the single queries as plain JSON types."""
        shown = to_json_object(replace(self, queries=()))
        del shown["queries"]
        return {"protocol": "honest", "first_line": self.first_line, **shown}


def run_honest(
    study: Study, fit: Fit, models: Sequence[str] = MODELS, unseen: Cohort | None = None
) -> HonestResult:
    """Let held-out people search the training people, by models and by baselines.

    Parameters
    ----------
    study
        Scans, classes and folds.
    fit
        Trains a model.
    models
        Names of the settings to train; the last one is the contestant.
    unseen
        A second cohort, of another source, whose people also ask (the first fold's models only).

    Raises
    ------
    LeakError
        If a person stands on both sides, or an image of `unseen` is in the first cohort.
    CohortError
        If `unseen` has another grid or preprocessing recipe.
    """
    stop_clock = start_clock(study)
    strangers = unseen_people(study, unseen) if unseen is not None else None
    rounds, trainings = _all_rounds(study, fit, models, strangers)
    answered = _by_method(r.scored("held out") for r in rounds)
    methods = _score_all(study, answered)
    return HonestResult(
        material=study.material(),
        provenance=stop_clock(),
        trainings=tuple(trainings),
        methods=methods,
        lead=_lead(study, answered, methods, models[-1]),
        staging=_stage_all(study, rounds),
        unseen=_score_unseen(study, rounds, strangers) if strangers else None,
        queries=tuple(row for folds in answered.values() for row in _query_rows(folds)),
        contestant=models[-1],
    )


def _higher(methods: Sequence[MethodScore], contestant: str, column: str) -> Iterator[str]:
    """Say by how much a baseline is higher, rankings of one kind compared with each other."""
    names = (contestant, f"{contestant}, class first") if column in OF_RANKING else (contestant,)
    for own in [m for m in methods if m.name in names]:
        rivals = [
            method
            for method in methods
            if method.kind == "baseline" and (column not in OF_RANKING or method.order == own.order)
        ]
        if rivals and (best := _best([own, *rivals], column)) is not own:
            high, low = getattr(best, column), getattr(own, column)
            kind = ", class first" if own.name != contestant else ""
            yield (
                f"{COLUMNS[column]}{kind}: {high.value:.3f} against {low.value:.3f},"
                f" intervals {'overlap' if high.overlaps(low) else 'apart'}"
            )


def _best(methods: Sequence[MethodScore], column: str) -> MethodScore:
    """Return the method with the highest score; of equals the first, which is a model."""
    return max(methods, key=lambda method: _defined(getattr(method, column).value))


def _defined(value: float) -> float:
    """Put an undefined score (NaN) below every other."""
    return float("-inf") if np.isnan(value) else value


def _all_rounds(
    study: Study, fit: Fit, models: Sequence[str], strangers: Askers | None
) -> tuple[list[Round], list[Training]]:
    """Train and ask in every fold that is held out."""
    usable, others = _sample(study), never_trained_people(study)
    pieces = [(study.cohort, usable), (study.cohort, others.rows)]
    if strangers:
        pieces.append((strangers.cohort, strangers.rows))
    baselines = prepare_shared_baselines(pieces)
    rounds, trainings = [], []
    for number, fold in study.used_folds():
        fitted = train_fold(study, fit, number, models)
        trainings += [training_of(study, number, model) for model in fitted]
        askers = [held_out_people(study, np.intersect1d(fold.test, usable)), others]
        if strangers and number == 0:
            askers.append(strangers)
        train = np.intersect1d(fold.train, usable)
        present = [people for people in askers if len(people.rows)]
        rounds.append(answer_queries(study, number, fitted, baselines, train, present))
    return rounds, trainings


def _sample(study: Study) -> Rows:
    """Return all scans of all people of the classes, or of as many as `MOST_SCANS` allows."""
    rows = np.flatnonzero(study.y >= 0)
    if len(rows) <= MOST_SCANS:
        return rows
    people, person, counts = np.unique(
        study.subjects[rows], return_inverse=True, return_counts=True
    )
    order = np.random.default_rng(study.seed).permutation(len(people))
    chosen = order[np.cumsum(counts[order]) <= MOST_SCANS]
    return np.asarray(rows[np.isin(person, chosen)])


def _by_method(rounds: Iterator[list[Answered]]) -> dict[str, list[Answered]]:
    by_method: dict[str, list[Answered]] = {}
    for scored in rounds:
        for answered in scored:
            by_method.setdefault(answered.name, []).append(answered)
    return by_method


def _score_all(study: Study, answered: Mapping[str, Sequence[Answered]]) -> tuple[MethodScore, ...]:
    return tuple(score_method(folds, study.classes, study.seed) for folds in answered.values())


def _lead(
    study: Study,
    answered: Mapping[str, Sequence[Answered]],
    methods: Sequence[MethodScore],
    contestant: str,
) -> Estimate:
    best = _best([method for method in methods if method.kind == "baseline"], "macro_f1").name
    return lead_on_macro_f1(answered[contestant], answered[best], study.classes, study.seed)


def _stage_all(study: Study, rounds: Sequence[Round]) -> tuple[Staging, ...]:
    if "never trained" not in rounds[0].roles:
        return ()
    placed = [r.placed() for r in rounds]
    return tuple(
        stage_groups(name, [by_method[name] for by_method in placed], study.classes, study.seed)
        for name in placed[0]
    )


def _score_unseen(study: Study, rounds: Sequence[Round], strangers: Askers) -> Unseen:
    names, counts = np.unique(strangers.groups, return_counts=True)
    people = {str(name): int(n) for name, n in zip(names, counts, strict=True)}
    answered = _by_method(iter([rounds[0].scored("unseen data set")]))
    return Unseen(data_set_name(strangers.cohort), people, _score_all(study, answered))


def _query_rows(folds: Sequence[Answered]) -> Iterator[Mapping[str, Value]]:
    for part in folds:
        for i, subject in enumerate(part.queries.subjects):
            yield {
                "fold": part.queries.fold,
                "subject": str(subject),
                "label": str(part.queries.labels[i]),
                "method": part.name,
                "nearest_label": part.ranking.nearest[i],
                "vote_of_10": part.ranking.vote[i],
                "precision_at_10": round(float(part.ranking.precision_at_k[i]), 4),
                "average_precision": round(float(part.ranking.average_precision[i]), 4),
            }
