"""Planted confounds must be found, and only where they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from braincase.cohort.cohort import Cohort
from braincase.cohort.shards import PackedVolumes
from braincase.evaluate import open_study, run_confound
from braincase.evaluate.readout import read_out
from braincase.evaluate.shared_attributes import link_people, measure_sharing, neighbourhood
from braincase.evaluate.study import Attribute, attribute_of
from braincase.images.geometry import HALF_GRID
from pca import fit_by


@pytest.fixture(scope="module")
def study():
    """160 people of a table without images, the first 40 with two visits; codes are given."""
    rng = np.random.default_rng(0)
    person = np.sort(np.concatenate([np.arange(160), np.arange(40)]))
    n = len(person)
    columns = {
        "scan_id": [f"scan{i}" for i in range(n)],
        "subject": [f"p{i:03d}" for i in person],
        "image_hash": [f"hash{i}" for i in range(n)],
        "diagnosis": np.array(["CN", "AD"])[person % 2],
        "scanner": np.array(["A", "B", "C"])[rng.integers(0, 3, 160)[person]],
        "sex": np.array(["F", "M"])[rng.integers(0, 2, 160)[person]],
        "age": np.round(rng.normal(74, 6, 160)[person], 1),
        "true_severity": (person % 2) + rng.normal(0, 0.3, 160)[person],
    }
    folder = Path("no-such-cohort")
    volumes = PackedVolumes((), (), HALF_GRID.shape)
    cohort = Cohort(folder, HALF_GRID, {}, pd.DataFrame(columns), volumes)
    return open_study(cohort, n_folds=2)


def folds_of(study, codes):
    """Neighbourhoods in given codes, one a table row."""
    codes = np.asarray(codes, np.float32)
    found = []
    for _, fold in study.used_folds():
        gallery = study.first_scans(fold.train)
        found.append(neighbourhood(study, fold.test, gallery, codes[fold.test], codes[gallery]))
    return found


def scanner_of(study):
    return attribute_of(study.cohort, "scanner")


def noisy(values, seed=0, spread=0.05):
    rng = np.random.default_rng(seed)
    one_hot = np.eye(int(np.nanmax(values)) + 1)[values.astype(int)]
    return one_hot + rng.normal(0, spread, one_hot.shape)


def test_codes_of_the_scanner_share_and_name_it(study):
    scanner = scanner_of(study)
    folds = folds_of(study, noisy(scanner.values))
    sharing = measure_sharing(study, scanner, folds)
    assert sharing.observed.value > 0.99
    assert sharing.among_all.enrichment > 2.5
    assert sharing.among_all.p < 0.002
    assert sharing.within_class.p < 0.002
    readable = read_out(study, scanner, folds)
    assert readable.score.value > 0.95
    assert readable.chance == pytest.approx(1 / 3)


def test_codes_of_nothing_share_nothing(study):
    rng = np.random.default_rng(1)
    folds = folds_of(study, rng.normal(size=(len(study.y), 3)))
    for name in ("scanner", "sex", "age", "diagnosis"):
        sharing = measure_sharing(study, attribute_of(study.cohort, name), folds)
        assert sharing.among_all.p > 0.01, name
        assert 0.85 < sharing.among_all.enrichment < 1.15, name


def class_scanner(study, rng):
    """A scanner that goes with the class nine times out of ten, and with nothing else."""
    follows = np.where(rng.random(len(study.y)) < 0.9, study.y == 1, study.y != 1)
    return Attribute("scanner", follows.astype(float), False)


def test_what_diagnosis_explains_is_taken_away_within_a_class(study):
    """Neighbours of one class share its scanner, but within a class no more often than chance.

    P-values are as often small as they say, although mutual neighbours of two folds are no
    independent evidence.
    """
    rng = np.random.default_rng(1)
    p = []
    for seed in range(60):
        folds = folds_of(study, noisy(np.maximum(study.y, 0), seed))
        sharing = measure_sharing(study, class_scanner(study, rng), folds, permutations=39)
        assert sharing.among_all.p < 0.05
        p.append(sharing.within_class.p)
    assert 0.02 <= np.mean(np.array(p) <= 0.1) <= 0.2
    assert 0.3 <= np.mean(np.array(p) <= 0.5) <= 0.7


def test_neighbours_of_like_age_differ_less_than_chance(study):
    age = attribute_of(study.cohort, "age")
    folds = folds_of(study, age.values[:, None])
    sharing = measure_sharing(study, age, folds)
    assert sharing.quantity
    assert sharing.among_all.enrichment > 1.2
    assert sharing.among_all.p < 0.01
    assert read_out(study, age, folds).score.value > 0.95


def test_observed_share_is_the_mean_over_queries_by_hand(study):
    scanner = scanner_of(study)
    (fold, *_) = folds = folds_of(study, np.random.default_rng(3).normal(size=(len(study.y), 2)))
    shares = [
        (scanner.values[fold.gallery[near]] == scanner.values[query]).mean()
        for fold in folds
        for query, near in zip(fold.queries, fold.nearest, strict=True)
    ]
    assert measure_sharing(study, scanner, folds).observed.value == pytest.approx(np.mean(shares))
    assert len(fold.nearest[0]) == 10


def test_unknown_values_are_left_out_of_the_shares(study):
    scanner = scanner_of(study)
    holes = scanner.values.copy()
    holes[::3] = np.nan
    folds = folds_of(study, noisy(scanner.values))
    sharing = measure_sharing(study, replace(scanner, values=holes), folds)
    assert sharing.observed.value > 0.99


def test_an_attribute_of_one_value_is_not_reported(study):
    constant = Attribute("site", np.zeros(len(study.y)), False)
    folds = folds_of(study, np.random.default_rng(4).normal(size=(len(study.y), 2)))
    assert measure_sharing(study, constant, folds) is None
    assert read_out(study, constant, folds) is None


def test_codes_of_the_person_link_both_visits(study):
    _, person = np.unique(study.subjects, return_inverse=True)
    linking = link_people(study, folds_of(study, noisy(person, spread=0.01)))
    assert linking.rate.value == 1
    assert linking.people == 40
    assert linking.chance < 0.02


def test_without_second_visits_there_is_no_linking_rate(study):
    firsts = study.first_scans(np.arange(len(study.y)))
    folds = tuple(
        replace(f, train=np.intersect1d(f.train, firsts), test=np.intersect1d(f.test, firsts))
        for f in study.folds
    )
    single = replace(study, folds=folds)
    assert link_people(single, folds_of(single, np.zeros((len(study.y), 2)))) is None


def test_the_report_covers_label_scanner_sex_age_and_true_severity(tiny):
    study = open_study(tiny, n_folds=2)
    codes = np.random.default_rng(5).normal(size=(len(study.y), 4))
    result = run_confound(study, fit_by(lambda row: codes[row]))
    (model,) = result.models
    names = [sharing.attribute for sharing in model.sharing]
    assert names == ["diagnosis", "scanner", "sex", "age", "true_severity"]
    assert [entry.attribute for entry in model.readable] == names
    assert model.sharing[0].within_class is None
    assert result.to_json()["models"][0]["linking"]["people"] == 8
