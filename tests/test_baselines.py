from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from sklearn.svm import SVC

from braincase.evaluate import baselines
from braincase.evaluate.answers import answers_of_classifier, answers_of_codes, squared_distances
from braincase.evaluate.baselines import Part, centred_gram, prepare_baselines
from braincase.evaluate.features import Features


@pytest.fixture
def features():
    """60 scans with 200 voxels and 40 regions; the first voxels tell two classes apart."""
    rng = np.random.default_rng(0)
    voxels = rng.normal(5, 1, (60, 200)).astype(np.float32)
    voxels[::2, :20] += 1.5
    regions = rng.normal(2, 1, (60, 40)).astype(np.float32)
    regions[::2, :4] += 2
    return Features(voxels, regions)


@pytest.fixture
def part():
    rows = np.arange(60)
    train = rows[:44]
    subjects = np.array([f"s{row // 2 * 2 + row % 2}" for row in train])
    return Part(train, (train + 1) % 2, subjects, train[:40], (train[:40] + 1) % 2, rows[44:])


def by_name(answers):
    return {answer.name: answer for answer in answers}


def test_pca_by_gram_matrix_is_pca(features, part):
    gram = centred_gram(prepare_baselines(features).voxel_gram, part.train)
    codes = baselines.principal_components(gram, part.train, 10)
    slow = PCA(10, svd_solver="full").fit(features.voxels[part.train]).transform(features.voxels)
    assert np.allclose(np.abs(codes), np.abs(slow), atol=2e-3)


def test_no_more_components_than_training_scans(features, part):
    gram = centred_gram(prepare_baselines(features).voxel_gram, part.train)
    codes = baselines.principal_components(gram, part.train, 150)
    assert codes.shape == (60, len(part.train) - 1)


def test_voxel_knn_distances_are_euclidean(features, part):
    answer = by_name(prepare_baselines(features).answer(part, 0))["voxel kNN"]
    slow = cdist(features.voxels[part.queries], features.voxels[part.gallery], "sqeuclidean")
    assert np.allclose(answer.distances, slow, rtol=1e-4)


def test_svm_by_gram_matrix_is_a_linear_svm_on_voxels(features, part, monkeypatch):
    monkeypatch.setattr(baselines, "PENALTIES", (1.0,))
    part = replace(part, train_y=(part.train % 3 == 0).astype(int))  # one class twice the other
    gram = centred_gram(prepare_baselines(features).voxel_gram, part.train)
    evidence = baselines.svm_evidence(gram, part, 0)
    centred = features.voxels - features.voxels[part.train].mean(axis=0)
    scale = np.sqrt((centred[part.train] ** 2).sum(axis=1).mean())
    machine = SVC(kernel="linear", C=1.0, class_weight="balanced")
    machine.fit(centred[part.train] / scale, part.train_y)
    slow = machine.decision_function(centred[part.queries] / scale)
    assert np.allclose(evidence[:, 1], slow, atol=5e-3)
    assert np.allclose(evidence[:, 0], -evidence[:, 1])


def test_both_classifiers_find_a_planted_difference(features, part):
    answers = by_name(prepare_baselines(features).answer(part, 0))
    truth = (part.queries + 1) % 2
    for name in ("regional volumes, SVM", "smoothed voxels, SVM"):
        assert (answers[name].evidence.argmax(axis=1) == truth).mean() > 0.85, name


def test_a_query_changes_no_other_querys_answer(features, part):
    """Nothing of the held-out scans goes into the fit."""
    voxels, regions = features.voxels.copy(), features.regions.copy()
    voxels[-1] *= 40
    regions[-1] -= 70
    before = prepare_baselines(features).answer(part, 0)
    after = prepare_baselines(Features(voxels, regions)).answer(part, 0)
    for one, other in zip(before, after, strict=True):
        # Whitening enlarges the rounding that a voxel of 200 leaves in a float32 Gram matrix.
        assert np.allclose(one.distances[:-1], other.distances[:-1], rtol=2e-2, atol=2e-2)
        assert np.allclose(one.evidence[:-1], other.evidence[:-1], rtol=2e-2, atol=2e-2)


def test_one_wild_region_counts_no_more_than_five_spreads(features, part):
    train = features.regions[part.train, 0]
    evidence = []
    for value in (train.mean() + 5 * train.std(), 1e4):
        regions = features.regions.copy()
        regions[-1, 0] = value
        answers = by_name(prepare_baselines(Features(features.voxels, regions)).answer(part, 0))
        evidence.append(answers["regional volumes, SVM"].evidence[-1])
    assert np.allclose(*evidence, atol=1e-3)


def test_three_classes_give_three_columns_of_evidence(features, part):
    y = np.arange(44) % 3
    three = Part(part.train, y, part.train_subjects, part.gallery, y[:40], part.queries)
    for answer in prepare_baselines(features).answer(three, 0):
        assert answer.evidence.shape == (len(part.queries), 3)


def test_squared_distances_far_from_zero_stay_exact():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(5, 8)), rng.normal(size=(7, 8))
    fast = squared_distances((a + 1000).astype(np.float32), (b + 1000).astype(np.float32))
    assert np.allclose(fast, cdist(a, b, "sqeuclidean"), atol=1e-2)


def test_evidence_of_codes_is_the_projection_on_the_class_axis():
    rng = np.random.default_rng(2)
    gallery, y = rng.normal(size=(30, 4)).astype(np.float32), np.arange(30) % 2
    queries = rng.normal(size=(6, 4)).astype(np.float32)
    answer = answers_of_codes("code", "model", queries, gallery, y)
    axis = gallery[y == 1].mean(axis=0) - gallery[y == 0].mean(axis=0)
    margin = answer.evidence[:, 1] - answer.evidence[:, 0]
    projection = 2 * queries @ axis
    assert np.allclose(margin - margin[0], projection - projection[0], atol=1e-4)


def test_a_classifier_answers_with_cases_of_the_class_it_names():
    evidence = np.array([[-1.0, 1.0], [2.0, -2.0]], np.float32)
    answer = answers_of_classifier("svm", evidence, np.array([0, 1, 0, 1]))
    assert set(np.argsort(answer.distances[0], kind="stable")[:2]) == {1, 3}
    assert set(np.argsort(answer.distances[1], kind="stable")[:2]) == {0, 2}
