from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import f1_score, recall_score, roc_auc_score

from braincase.evaluate import resampling
from braincase.evaluate.resampling import draw_people, estimate, mean_of, ratio_of


@pytest.fixture
def drawn():
    """Classes, named classes and scores of 40 people in 30 resamples."""
    rng = np.random.default_rng(3)
    y, named = rng.integers(0, 2, 40), rng.integers(0, 3, 40)
    y[0] = 2  # one person only, so that many resamples lack the class
    scores = np.round(rng.normal(size=40), 1)  # rounded, so that some are equal
    rows = draw_people(np.zeros(40), 0, 30)
    return y[rows], named[rows], scores[rows]


def test_macro_f1_of_all_resamples_is_scikit_learns_of_each(drawn):
    y, named, _ = drawn
    one_by_one = [
        f1_score(a, b, labels=np.unique(a), average="macro", zero_division=0)
        for a, b in zip(y, named, strict=True)
    ]
    assert np.allclose(resampling.macro_f1(y, named, range(3)), one_by_one)


def test_recalls_of_all_resamples_are_scikit_learns_of_each(drawn):
    y, named, _ = drawn
    one_by_one = [
        recall_score(a, b, labels=range(3), average=None, zero_division=np.nan)
        for a, b in zip(y, named, strict=True)
    ]
    assert np.isnan(one_by_one).any()
    assert np.allclose(resampling.recalls(y, named, range(3)), one_by_one, equal_nan=True)


def test_no_named_class_is_a_wrong_one():
    y, named = np.array([[0, 0, 1]]), np.array([[0, -1, 1]])
    assert resampling.recalls(y, named, range(2)).tolist() == [[0.5, 1.0]]
    assert resampling.macro_f1(y, named, range(2)) == pytest.approx((2 / 3 + 1) / 2)


def test_auc_of_all_resamples_is_scikit_learns_of_each_and_counts_pairs(drawn):
    y, _, scores = drawn
    found = resampling.auc(scores, y == 1)
    for auc, s, positive in zip(found, scores, y == 1, strict=True):
        assert auc == pytest.approx(roc_auc_score(positive, s))
        above = [(p > n) + (p == n) / 2 for p in s[positive] for n in s[~positive]]
        assert auc == pytest.approx(np.mean(above))


def test_auc_of_one_class_is_not_a_number():
    assert np.isnan(resampling.auc(np.zeros((1, 4)), np.ones((1, 4), bool)))


def test_auc_of_several_classes_is_the_mean_of_each_against_the_best_of_the_rest():
    rng = np.random.default_rng(4)
    rows = np.arange(60)[None]
    for n in (2, 3):
        y = rng.integers(0, n, 60)
        evidence = rng.normal(size=(60, n)).astype(np.float32) + np.eye(n)[y]
        margins = [evidence[:, c] - np.delete(evidence, c, 1).max(1) for c in range(n)]
        each = [roc_auc_score(y == c, margin) for c, margin in enumerate(margins)]
        assert resampling.one_vs_rest_auc(evidence, y)(rows) == pytest.approx(np.mean(each))


def test_spearman_of_all_resamples_is_scipys_of_each(drawn):
    y, _, scores = drawn
    one_by_one = [spearmanr(s, a).statistic for s, a in zip(scores, y, strict=True)]
    assert np.allclose(resampling.spearman(scores, y), one_by_one)
    assert resampling.spearman(np.ones((1, 5)), np.arange(5.0)[None]) == 0


def test_people_are_drawn_within_their_fold_and_keep_its_columns():
    fold = np.array([1, 0, 1, 0, 0])
    rows = draw_people(fold, 0, 200)
    assert (fold[rows] == fold).all()
    assert {tuple(np.unique(row)) for row in rows} > {(0, 1, 2, 3, 4)}


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        found = estimate(mean_of(rng.normal(2, 1, 50)), np.zeros(50), seed, 300)
        covered += found.low < 2 < found.high
    assert 0.89 <= covered / 200 <= 0.99


def test_equal_seeds_pair_two_methods():
    values = np.random.default_rng(1).normal(size=30)
    difference = estimate(
        lambda rows: mean_of(values)(rows) - mean_of(values)(rows), np.zeros(30), 5
    )
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)
    assert estimate(mean_of(values), np.zeros(30), 5) == estimate(mean_of(values), np.zeros(30), 5)


def test_people_with_more_scans_weigh_by_their_scans():
    found = estimate(ratio_of(np.array([0.0, 3.0]), np.array([1.0, 3.0])), np.zeros(2), 0)
    assert found.value == 0.75
    assert (found.low, found.high) == (0, 1)


def test_a_statistic_undefined_in_most_resamples_has_no_interval():
    positive = np.array([True] + [False] * 9)
    found = estimate(
        lambda rows: np.where(rows[:, 0] == 0, 0.5, np.nan), np.zeros(len(positive)), 0
    )
    assert found.value == 0.5
    assert found.low is None
