"""Principal components as a model: a real, linear autoencoder that trains in a second."""

from __future__ import annotations

import time
from functools import partial

import numpy as np

from braincase.evaluate import Fitted

#: Components by name of the settings; any other name gives ten.
COMPONENTS = {"plain": 3, "ddcml": 6, "braincase": 12}


def fit_pca(cohort, rows, name, fold):
    started = time.perf_counter()
    x = flat(cohort.volumes[rows])
    mean = x.mean(axis=0)
    _, _, axes = np.linalg.svd(x - mean, full_matrices=False)
    axes = axes[: min(COMPONENTS.get(name, 10), len(x) - 1)]
    return Fitted(
        name,
        embed=partial(embed, mean=mean, axes=axes),
        reconstruct=partial(reconstruct, mean=mean, axes=axes),
        settings={"components": len(axes)},
        seconds=time.perf_counter() - started,
        fingerprint=f"pca-{name}-{fold}",
    )


def flat(volumes):
    return volumes.reshape(len(volumes), -1).astype(np.float32) / np.float32(255)


def embed(volumes, mean, axes):
    return (flat(volumes) - mean) @ axes.T


def reconstruct(volumes, mean, axes):
    rebuilt = embed(volumes, mean, axes) @ axes + mean
    return np.clip(rebuilt, 0, 1).reshape(volumes.shape)


def fit_by(code_of):
    """Return a `fit` whose models look up ``code_of(row)`` for each volume they are shown."""

    def fit(cohort, rows, name, fold):
        rows_of = {cohort.volumes[row].tobytes(): row for row in range(len(cohort.volumes))}

        def look_up(volumes):
            return np.array([code_of(rows_of[v.tobytes()]) for v in volumes], np.float32)

        return Fitted(name, look_up, lambda v: v.astype(np.float32) / 255, {}, 0.0, name)

    return fit
