"""Retrieval of one fold: who the queries are, who can be found, and what every method answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from braincase.cohort.cohort import Cohort
from braincase.errors import CohortError, LeakError
from braincase.evaluate.answers import Answers, answers_of_codes
from braincase.evaluate.baselines import Baselines, Part, prepare_baselines
from braincase.evaluate.features import measure_features
from braincase.evaluate.results import Codes, Fitted, Rows
from braincase.evaluate.scores import Answered, Queries, score_answers
from braincase.evaluate.staging import Placed
from braincase.evaluate.study import Study, clean_labels, embed_rows, one_scan_a_person

Role = Literal["held out", "never trained", "unseen data set"]


@dataclass(frozen=True)
class Askers:
    """Queries of one kind: people who ask, one scan each.

    Parameters
    ----------
    role
        Why they ask.
    cohort, rows
        Their scans.
    groups
        Each one's class or never-trained group.
    """

    role: Role
    cohort: Cohort
    rows: Rows
    groups: NDArray[np.str_]

    @property
    def subjects(self) -> NDArray[np.str_]:
        """Each one's name."""
        return self.cohort.table["subject"].to_numpy(dtype=str)[self.rows]


@dataclass(frozen=True)
class SharedBaselines:
    """The baselines' features of everybody, for all folds, and where each cohort's rows stand."""

    baselines: Baselines
    place: Mapping[tuple[str, int], int]

    def places_of(self, cohort: Cohort, rows: Rows) -> Rows:
        """Return where these rows stand in the features."""
        return np.array([self.place[str(cohort.folder), int(row)] for row in rows], np.intp)


@dataclass(frozen=True)
class Round:
    """One fold's questions and every method's answers.

    Parameters
    ----------
    fold
        Number of the fold held out.
    roles, subjects, groups
        Of each query.
    gallery_subjects, gallery_labels
        Of each case.
    answers
        Models by distance, the last one class first too, then baselines.
    """

    fold: int
    roles: NDArray[np.str_]
    subjects: NDArray[np.str_]
    groups: NDArray[np.str_]
    gallery_subjects: NDArray[np.str_]
    gallery_labels: NDArray[np.str_]
    answers: tuple[Answers, ...]

    def scored(self, role: Role) -> list[Answered]:
        """Score each method on the queries of one role."""
        here = self.roles == role
        queries = Queries(
            self.fold,
            self.subjects[here],
            self.groups[here],
            self.gallery_subjects,
            self.gallery_labels,
        )
        return [score_answers(answers.take(here), queries) for answers in self.answers]

    def placed(self) -> Mapping[str, Placed]:
        """Return each method's evidence for the held-out and the never-trained people."""
        here = self.roles != "unseen data set"
        shown = [a for a in self.answers if not (a.kind == "model" and a.order == "class first")]
        return {
            answers.name: Placed(self.subjects[here], self.groups[here], answers.evidence[here])
            for answers in shown
        }


def answer_queries(
    study: Study,
    number: int,
    fitted: Sequence[Fitted],
    shared: SharedBaselines,
    train: Rows,
    askers: Sequence[Askers],
) -> Round:
    """Answer all queries from the training people, by each model and each baseline.

    Parameters
    ----------
    number
        Number of the fold held out.
    fitted
        Its models.
    shared
        Everybody's features.
    train
        Training scans that the baselines are fitted on; each person's first one is in the gallery.
    askers
        Who asks.
    """
    gallery = study.first_scans(train)
    y = study.y[gallery]
    answers = [_answer_by_model(study, model, gallery, y, askers) for model in fitted]
    part = Part(
        train=shared.places_of(study.cohort, train),
        train_y=study.y[train],
        train_subjects=study.subjects[train],
        gallery=shared.places_of(study.cohort, gallery),
        gallery_y=y,
        queries=np.concatenate([shared.places_of(who.cohort, who.rows) for who in askers]),
    )
    return Round(
        fold=number,
        roles=np.concatenate([np.full(len(who.rows), who.role) for who in askers]),
        subjects=np.concatenate([who.subjects for who in askers]),
        groups=np.concatenate([who.groups for who in askers]),
        gallery_subjects=study.subjects[gallery],
        gallery_labels=np.array(study.classes)[y],
        answers=(
            *answers,
            *(answer.class_first(y) for answer in answers[-1:]),
            *shared.baselines.answer(part, study.seed),
        ),
    )


def prepare_shared_baselines(pieces: Sequence[tuple[Cohort, Rows]]) -> SharedBaselines:
    """Measure everybody's features once, for all folds."""
    keys = [(str(cohort.folder), int(row)) for cohort, rows in pieces for row in rows]
    baselines = prepare_baselines(measure_features(pieces))
    return SharedBaselines(baselines, {key: i for i, key in enumerate(keys)})


def held_out_people(study: Study, test: Rows) -> Askers:
    """Return one scan of each held-out person."""
    rows = study.first_scans(test)
    return Askers("held out", study.cohort, rows, np.array(study.classes)[study.y[rows]])


def never_trained_people(study: Study) -> Askers:
    """Return one scan of each person of the groups that are no class."""
    groups = study.other_groups()
    rows = np.concatenate([np.empty(0, np.intp), *groups.values()]).astype(np.intp)
    names = [name for name, members in groups.items() for _ in members]
    return Askers("never trained", study.cohort, rows, np.array(names, dtype=str))


def unseen_people(study: Study, unseen: Cohort) -> Askers:
    """Return one scan of each person of a second data set that has one of the study's classes.

    Raises
    ------
    CohortError
        If the second cohort has another grid or recipe, or none of the classes.
    LeakError
        If one of its images is also in the first cohort.
    """
    if unseen.grid != study.cohort.grid or unseen.recipe != study.cohort.recipe:
        raise CohortError(
            unseen.folder,
            "another grid or preprocessing recipe than the first cohort's",
            "the same",
            "Prepare both in the same way.",
        )
    shared = unseen.table["image_hash"].isin(set(study.cohort.table["image_hash"]))
    if shared.any():
        names = ", ".join(sorted(set(unseen.table.loc[shared, "subject"].astype(str)))[:10])
        raise LeakError(unseen.folder, f"images of {names} are in both cohorts", "new people")
    labels = clean_labels(unseen, study.label)
    rows = np.flatnonzero(labels.isin(study.classes).to_numpy())
    if not len(rows):
        found = f"no scan with {study.label} {' or '.join(study.classes)}"
        raise CohortError(unseen.folder, found, "people of the same classes")
    rows = one_scan_a_person(unseen.table["subject"].to_numpy(dtype=str), rows)
    return Askers("unseen data set", unseen, rows, labels.to_numpy(dtype=str)[rows])


def _answer_by_model(
    study: Study,
    model: Fitted,
    gallery: Rows,
    gallery_y: NDArray[np.intp],
    askers: Sequence[Askers],
) -> Answers:
    asked = [embed_rows(model.embed, who.cohort, who.rows) for who in askers]
    queries: Codes = np.concatenate(asked)
    codes = embed_rows(model.embed, study.cohort, gallery)
    return answers_of_codes(model.name, "model", queries, codes, gallery_y)
