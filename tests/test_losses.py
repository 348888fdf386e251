"""The loss against a slow NumPy oracle and against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from braincase.models.losses import (
    allowed_exemplars,
    comparable,
    mean_exemplar_distances,
    metric_loss,
    random_exemplar_distances,
    reconstruction_loss,
    squared_distances,
)


def slow_metric_loss(
    codes: NDArray[np.float64], exemplars: NDArray[np.float64], labels: NDArray[np.int64]
) -> float:
    """Equations 2 and 3 of Onga 2019, one number at a time; exemplars (batch, classes, dims)."""
    losses = []
    for x, own_exemplars, label in zip(codes, exemplars, labels, strict=True):
        weights = [math.exp(-sum((x - z) ** 2)) for z in own_exemplars]
        losses.append(-math.log(weights[label] / sum(weights)))
    return sum(losses) / len(losses)


def test_metric_loss_of_equal_distances_is_log_of_the_number_of_classes() -> None:
    for classes in (2, 3, 5):
        distances = torch.full((1, 4, classes), 7.0)
        loss = metric_loss(distances, torch.zeros(4, dtype=torch.long))
        assert loss.item() == pytest.approx(math.log(classes), abs=1e-6)


def test_metric_loss_matches_a_case_computed_by_hand() -> None:
    # Own exemplar at squared distance 1, the other at 3: P = e^-1 / (e^-1 + e^-3).
    expected = -math.log(math.exp(-1) / (math.exp(-1) + math.exp(-3)))
    assert metric_loss(torch.tensor([[1.0, 3.0]]), torch.tensor([0])).item() == pytest.approx(
        expected
    )
    assert metric_loss(torch.tensor([[3.0, 1.0]]), torch.tensor([1])).item() == pytest.approx(
        expected
    )


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_metric_loss_matches_the_slow_oracle(classes: int) -> None:
    rng = np.random.default_rng(classes)
    codes = rng.normal(size=(6, 10)) * 0.5
    exemplars = rng.normal(size=(6, classes, 10)) * 0.5
    labels = rng.integers(0, classes, 6)
    distances = torch.from_numpy(((codes[:, None] - exemplars) ** 2).sum(-1))
    fast = metric_loss(distances[None], torch.from_numpy(labels)).item()
    assert fast == pytest.approx(slow_metric_loss(codes, exemplars, labels), rel=1e-6)


def test_squared_distances_match_the_definition() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 150)), rng.normal(size=(7, 150))
    slow = np.array([[((x - y) ** 2).sum() for y in b] for x in a])
    np.testing.assert_allclose(squared_distances(torch.tensor(a), torch.tensor(b)), slow, rtol=1e-4)


def test_no_exemplar_is_of_the_anchors_own_person_or_of_another_class() -> None:
    labels = torch.tensor([0, 0, 1, 1, 0])
    subjects = torch.tensor([7, 7, 8, 9, 10])
    allowed = allowed_exemplars(labels, subjects, 2)
    for i in range(5):
        for c in range(2):
            for j in range(5):
                expected = labels[j] == c and subjects[i] != subjects[j]
                assert bool(allowed[i, c, j]) == bool(expected)


def test_random_exemplars_are_drawn_evenly_from_the_allowed_scans_only() -> None:
    codes = torch.arange(5.0)[:, None]  # squared distance tells which scan was drawn
    labels, subjects = torch.tensor([0, 0, 1, 1, 0]), torch.tensor([0, 0, 1, 2, 3])
    allowed = allowed_exemplars(labels, subjects, 2)
    generator = torch.Generator().manual_seed(0)
    draws, _ = random_exemplar_distances(codes, allowed, generator, 400)
    # Anchor 0 (person 0): of class 0 only scan 4 is another person; of class 1 scans 2 and 3.
    assert set(draws[:, 0, 0].tolist()) == {16.0}
    assert set(draws[:, 0, 1].tolist()) == {4.0, 9.0}
    assert 0.4 < (draws[:, 0, 1] == 4.0).float().mean() < 0.6


def test_mean_exemplar_distance_is_the_mean_over_the_allowed_scans() -> None:
    rng = np.random.default_rng(1)
    codes = rng.normal(size=(9, 4)).astype(np.float32)
    labels, subjects = rng.integers(0, 3, 9), rng.integers(0, 6, 9)
    allowed = allowed_exemplars(torch.from_numpy(labels), torch.from_numpy(subjects), 3)
    distances, exists = mean_exemplar_distances(torch.from_numpy(codes), allowed)
    for i in range(9):
        for c in range(3):
            others = [j for j in range(9) if labels[j] == c and subjects[j] != subjects[i]]
            if others:
                mean = np.mean([((codes[i] - codes[j]) ** 2).sum() for j in others])
                assert distances[0, i, c].item() == pytest.approx(mean, rel=1e-4)
            else:
                assert not exists[i, c]


def test_an_anchor_needs_somebody_else_of_its_class_and_of_another() -> None:
    labels, subjects = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 2])
    allowed = allowed_exemplars(labels, subjects, 2)
    codes = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    for found in (
        mean_exemplar_distances(codes, allowed),
        random_exemplar_distances(codes, allowed, generator),
    ):
        distances, own = comparable(*found, labels)
        assert own.tolist() == [0, 0]  # the only scan of class 1 has no exemplar
        assert distances.shape == (1, 2, 2)


def test_classes_that_are_not_in_the_batch_do_not_silence_the_loss() -> None:
    """Eleven classes and a batch of three of them: as if there were only these three."""
    labels, subjects = torch.tensor([2, 2, 5, 5, 9, 9]), torch.arange(6)
    codes = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    losses = []
    for numbers, classes in ((labels, 11), (torch.tensor([0, 0, 1, 1, 2, 2]), 3)):
        found = mean_exemplar_distances(codes, allowed_exemplars(numbers, subjects, classes))
        losses.append(metric_loss(*comparable(*found, numbers)))
    assert losses[0].item() == pytest.approx(losses[1].item())
    losses[0].backward()
    assert codes.grad is not None
    assert torch.isfinite(codes.grad).all()
    assert codes.grad.abs().max() > 0


def test_reconstruction_terms() -> None:
    x, y = torch.zeros(2, 1, 2, 2, 2), torch.full((2, 1, 2, 2, 2), 0.5)
    assert reconstruction_loss(x, y, "mse", 1.0).item() == pytest.approx(0.25)
    assert reconstruction_loss(x, y, "rmse", 1.0).item() == pytest.approx(0.5)
    assert reconstruction_loss(x, y, "relative", 0.5).item() == pytest.approx(0.5)


def test_several_draws_average_the_losses_and_not_the_distances() -> None:
    distances = torch.tensor([[[1.0, 3.0]], [[5.0, 2.0]]])
    labels = torch.tensor([0])
    both = [metric_loss(draw[None], labels).item() for draw in distances]
    assert metric_loss(distances, labels).item() == pytest.approx(sum(both) / 2)
