"""Multinomial logistic regression with a ridge, by Newton's method, on arrays.

scikit-learn's ``LogisticRegression`` has the same optimum (C = 1); importing it takes longer than a
search, and here are a few hundred rows and a handful of classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Newton's method doubles the right digits with each step; it is there after about eight.
MOST_STEPS = 50
_CLOSE = 1e-10


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities, shape (n, n_classes), of logits of that shape."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def fit_logistic(
    features: NDArray[np.float64], classes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit class probabilities to features; slopes are drawn to 0, offsets are free.

    Parameters
    ----------
    features
        Shape (n, n_features).
    classes
        The class of each row, 0 to n_classes - 1, each there at least once; shape (n,).

    Returns
    -------
    slopes, offsets
        Shapes (n_classes, n_features) and (n_classes,); each column of slopes and the offsets sum
        to 0. Probabilities are ``softmax(features @ slopes.T + offsets)``.

    References
    ----------
    Bishop, C. M. (2006). Pattern Recognition and Machine Learning, section 4.3. Springer.
    """
    n, n_features = features.shape
    n_classes = int(classes.max()) + 1
    rows = np.hstack([features, np.ones((n, 1))])
    truth = np.eye(n_classes)[classes]
    # Two classes have one direction between them, that half of each class's slopes make up.
    ridge = np.full((n_classes, n_features + 1), 2.0 if n_classes == 2 else 1.0)
    ridge[:, -1] = 0.0
    weights = np.zeros((n_classes, n_features + 1))
    loss = _loss(rows, truth, weights, ridge)
    for _ in range(MOST_STEPS):
        step = _newton_step(rows, truth, weights, ridge)
        length = 1.0
        while (new := _loss(rows, truth, weights - length * step, ridge)) > loss and length > 1e-6:
            length /= 2
        weights = weights - length * step
        if loss - new < _CLOSE * max(loss, 1.0):
            break
        loss = new
    weights -= weights.mean(axis=0)
    return weights[:, :-1], weights[:, -1]


def _loss(
    rows: NDArray[np.float64],
    truth: NDArray[np.float64],
    weights: NDArray[np.float64],
    ridge: NDArray[np.float64],
) -> float:
    logits = rows @ weights.T
    top = logits.max(axis=1)
    of_all = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return float((of_all - (logits * truth).sum(axis=1)).sum() + (ridge * weights**2).sum() / 2)


def _newton_step(
    rows: NDArray[np.float64],
    truth: NDArray[np.float64],
    weights: NDArray[np.float64],
    ridge: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return gradient over curvature, shape of `weights`; the offsets' common part stays 0."""
    n_classes, width = weights.shape
    likely = softmax(rows @ weights.T)
    gradient = (likely - truth).T @ rows + ridge * weights
    spread = (
        np.einsum("na,ab->nab", likely, np.eye(n_classes)) - likely[:, :, None] * likely[:, None]
    )
    hessian = np.einsum("nab,ni,nj->aibj", spread, rows, rows, optimize=True)
    flat = hessian.reshape(n_classes * width, -1) + np.diag(ridge.ravel())
    return np.asarray(np.linalg.lstsq(flat, gradient.ravel(), rcond=1e-12)[0]).reshape(
        weights.shape
    )
