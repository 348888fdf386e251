"""Affine registration by robust Gauss-Newton: least squares with a bias field fitted along.

One problem is one transform of one head; many problems are solved side by side along the leading
axis. What is minimised is

    sum over points x of  w(x) ( b(x) I(A x + t) + c - T(x) )^2

with T the template, I the scan, b a smooth polynomial (coil sensitivity and contrast at once), and
w the template's weights, lowered where the residual is large and 0 outside the scan's field of
view, which says nothing about the head. b and c are linear, so each step solves for them and for
the twelve numbers of the transform together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import log

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from braincase.preprocess.space.sampling import Array, Stack, like, sample, sample_with_gradient
from braincase.preprocess.space.template import load_template

#: Points are scaled by this, so that turning and shifting are numbers of one size.
RADIUS_MM = 60.0
#: Template to head scaling: a head is smaller than the ICBM152 template by this factor, and the
#: logarithm of it varies this much between people.
USUAL_SCALE, SCALE_SPREAD = 0.92, 0.13
#: How much that knowledge weighs, as a share of the squared residual.
PRIOR_WEIGHT = 0.015
#: A fit that sees only a share of the template counts less by this power of the share.
UNSEEN_POWER = 0.5


@dataclass(frozen=True)
class Target:
    """The fixed image of a registration: scattered points of the template.

    Parameters
    ----------
    points
        Millimetres from the template's centre, shape (3, n).
    values
        Shape (n,).
    weights
        Shape (n,), or (problems, n) where problems see different parts of the template.
    bias_basis
        Polynomials of the points, shape (terms, n).
    """

    points: Array
    values: Array
    weights: Array
    bias_basis: Array


@dataclass(frozen=True)
class Fit:
    """Affine transforms with their similarity (agreement), several of each head.

    Parameters
    ----------
    transforms
        Template mm (from its centre) to frame mm, shape (problems, 3, 4).
    agreement
        Weighted correlation of the fitted scan with the template, shape (problems,).
    heads
        Which head each problem is about, shape (problems,).
    """

    transforms: Array
    agreement: Array
    heads: Array

    def take(self, rows: Array) -> Fit:
        """Return some of the problems, in this order."""
        xp = array_namespace(self.transforms)
        rows = xp.asarray(rows, device=device(self.transforms))
        return Fit(
            xp.take(self.transforms, rows, axis=0),
            xp.take(self.agreement, rows, axis=0),
            xp.take(self.heads, rows, axis=0),
        )


@dataclass(frozen=True)
class Schedule:
    """Settings of one optimisation: iterations, degrees of freedom, robustness.

    Parameters
    ----------
    iterations
        At most so many steps; 0 only measures the agreement.
    similarity
        Fit turning, shifting and one scale only (7 numbers instead of 12).
    robust
        Lower the weight of points that do not fit.
    tolerance_mm
        A problem that moves less is solved.
    scale_prior
        Pull the scales towards what heads are like.
    """

    iterations: int
    similarity: bool = False
    robust: bool = False
    tolerance_mm: float = 0.05
    scale_prior: bool = True


@lru_cache(maxsize=32)
def _scattered(
    step: int, image: str, weight: str, order: int, every: int
) -> tuple[NDArray[np.float32], ...]:
    """Return every nth point of the template with some weight: points, values, weights, basis."""
    level = load_template()[step]
    weights = level.weights[weight].ravel()
    rows = np.flatnonzero(weights > 0.05)[::every]
    points = level.points_mm.reshape(3, -1)[:, rows]
    values = {"head": level.head, "brain": level.brain}[image].ravel()[rows]
    return points, values, weights[rows], polynomials(points, order)


def target_at(
    model: Array,
    step: int,
    image: str = "head",
    weight: str = "head",
    order: int = 2,
    every: int = 1,
) -> Target:
    """Return the template as a target of the same kind of array as `model`."""
    return Target(*(like(a, model) for a in _scattered(step, image, weight, order, every)))


def polynomials(points_mm: NDArray[np.floating], order: int) -> NDArray[np.float32]:
    """Return all monomials up to `order` (0 to 3) of points (3, ...), shape (terms, ...)."""
    u = np.asarray(points_mm, dtype=np.float32) / 80
    terms = [np.ones_like(u[0])]
    if order >= 1:
        terms += list(u)
    if order >= 2:
        terms += [u[i] * u[j] for i in range(3) for j in range(i, 3)]
    if order >= 3:
        terms += [u[i] * u[j] * u[k] for i in range(3) for j in range(i, 3) for k in range(j, 3)]
    return np.stack(terms)


def fit_affine(stack: Stack, start: Fit, target: Target, schedule: Schedule) -> Fit:
    """Optimise transforms by Gauss-Newton, then measure their agreement without robust weights."""
    xp = array_namespace(stack.images)
    transforms = start.transforms
    moving = xp.ones(transforms.shape[0], dtype=xp.bool, device=device(transforms))
    for iteration in range(schedule.iterations):
        step = _step(
            stack, start.heads, transforms, target, schedule, schedule.robust and iteration > 0
        )
        length = RADIUS_MM * _norm(step[:, :, :3]) + _norm(step[:, :, 3:])
        limit = 3 * stack.step_mm
        step = step * xp.clip(limit / (length + 1e-9), max=1.0)[:, None, None]
        transforms = transforms + step * moving[:, None, None]
        moving = moving & (length > schedule.tolerance_mm)
        if not xp.any(moving):
            break
    return Fit(transforms, _agreement(stack, start.heads, transforms, target), start.heads)


def _norm(a: Array) -> Array:
    xp = array_namespace(a)
    return xp.sqrt(xp.sum(a * a, axis=(1, 2)))


def voxels_of(stack: Stack, heads: Array, transforms: Array, points: Array) -> Array:
    """Map template points of shape (3, n) to voxels of each problem's head, (problems, 3, n)."""
    xp = array_namespace(points)
    frame = transforms[:, :, :3] @ points + transforms[:, :, 3:]
    return frame / stack.step_mm + xp.take(stack.centres, heads, axis=0)[:, :, None]


def _seen(stack: Stack, heads: Array, voxels: Array) -> Array:
    """Return 1 where a voxel lies in its own head's field of view, else 0, (problems, n)."""
    xp = array_namespace(voxels)
    middle = xp.take(stack.centres, heads, axis=0)[:, :, None]
    return xp.astype(xp.all(xp.abs(voxels - middle) <= middle, axis=1), voxels.dtype)


def _bias_terms(values: Array, basis: Array) -> tuple[Array, Array]:
    """Return b's and c's terms, shape (problems, terms + 1, n), and what they are scaled by."""
    xp = array_namespace(values)
    scale = xp.mean(xp.abs(values), axis=1)[:, None] + 1e-6
    terms = basis[None] * (values / scale)[:, None, :]
    return xp.concat([terms, xp.ones_like(terms[:, :1])], axis=1), scale


def _solve(matrix: Array, right: Array, ridge: float) -> Array:
    """Solve many small systems in double precision, with a little of the diagonal added."""
    xp = array_namespace(matrix)
    matrix, right = xp.astype(matrix, xp.float64), xp.astype(right, xp.float64)
    eye = xp.eye(matrix.shape[-1], dtype=xp.float64, device=device(matrix))
    diagonal = xp.sum(matrix * eye, axis=-1)
    matrix = matrix + eye * (ridge * diagonal + 1e-9)[:, :, None]
    return xp.linalg.solve(matrix, right[:, :, None])[:, :, 0]


def _fit_bias(terms: Array, values: Array, weights: Array) -> Array:
    """Return the least-squares coefficients of b and c, shape (problems, terms)."""
    xp = array_namespace(terms)
    weighted = terms * weights
    coefficients = _solve(
        weighted @ xp.matrix_transpose(terms), (weighted @ values[:, None])[:, :, 0], 1e-4
    )
    return xp.astype(coefficients, terms.dtype)


def _step(
    stack: Stack,
    heads: Array,
    transforms: Array,
    target: Target,
    schedule: Schedule,
    robust: bool,
) -> Array:
    """Return one Gauss-Newton step of each transform, shape (problems, 3, 4)."""
    xp = array_namespace(transforms)
    voxels = voxels_of(stack, heads, transforms, target.points)
    values, gradient = sample_with_gradient(stack.images, heads, voxels)
    terms, scale = _bias_terms(values, target.bias_basis)
    weights = (target.weights * _seen(stack, heads, voxels))[:, None, :]
    bias = _fit_bias(terms, target.values, weights)
    residual = xp.sum(bias[:, :, None] * terms, axis=1) - target.values
    if robust:
        weights = weights * _trust(residual)[:, None, :]
    gain = (bias[:, :-1] @ target.bias_basis) / (scale * stack.step_mm)
    slope = gradient * gain[:, None, :]
    jacobian = xp.concat(
        [slope[:, i : i + 1] * factor for i in range(3) for factor in _factors(target.points)]
        + [terms],
        axis=1,
    )
    weighted = jacobian * weights
    normal = weighted @ xp.matrix_transpose(jacobian)
    right = (weighted @ residual[:, :, None])[:, :, 0]
    if schedule.scale_prior:
        squared = xp.sum(weights[:, 0] * residual**2, axis=1)
        normal, right = _add_scale_prior(normal, right, transforms, squared)
    return _solve_step(normal, right, transforms, schedule.similarity)


def _factors(points: Array) -> tuple[Array, Array]:
    """Return d(frame mm)/d(parameters): the points scaled, and one, for a row of the transform."""
    xp = array_namespace(points)
    return points[None] / RADIUS_MM, xp.ones_like(points[None, :1])


def _trust(residual: Array) -> Array:
    """Return robust weights (M-estimator) in (0, 1] that fall with the residual over its median."""
    xp = array_namespace(residual)
    every = max(residual.shape[1] // 2000, 1)
    ordered = xp.sort(xp.abs(residual[:, ::every]), axis=1)
    spread = 2 * 1.4826 * ordered[:, ordered.shape[1] // 2, None] + 0.02
    return 1 / (1 + (residual / spread) ** 2) ** 2


def _add_scale_prior(
    normal: Array, right: Array, transforms: Array, squared: Array
) -> tuple[Array, Array]:
    """Regularise: pull the three scales (singular values) of each transform to the usual one."""
    xp = array_namespace(transforms)
    u, s, vh = xp.linalg.svd(transforms[:, :, :3])
    rows = xp.permute_dims(u, (0, 2, 1))[:, :, :, None] * vh[:, :, None, :]
    rows = rows / (s * RADIUS_MM * SCALE_SPREAD)[:, :, None, None]  # d log scale / d A, in spreads
    rows = xp.concat([rows, xp.zeros_like(rows[..., :1])], axis=3)
    rows = xp.reshape(rows, (rows.shape[0], 3, 12))
    off = (xp.log(s) - log(USUAL_SCALE)) / SCALE_SPREAD
    weight = (PRIOR_WEIGHT * squared)[:, None, None]
    rest = normal.shape[1] - 12
    rows = xp.concat(
        [rows, xp.zeros((*rows.shape[:2], rest), dtype=rows.dtype, device=device(rows))], axis=2
    )
    columns = xp.matrix_transpose(rows)
    return normal + weight * (columns @ rows), right + (weight * (columns @ off[:, :, None]))[
        :, :, 0
    ]


def _solve_step(normal: Array, right: Array, transforms: Array, similarity: bool) -> Array:
    """Solve for the step; a similarity step is the best one among turns, shifts and one scale."""
    xp = array_namespace(normal)
    if similarity:
        allowed = _similarity_directions(transforms, normal.shape[1])
        across = xp.matrix_transpose(allowed)
        small = _solve(across @ normal @ allowed, (across @ right[:, :, None])[:, :, 0], 1e-3)
        solution = (xp.astype(allowed, xp.float64) @ small[:, :, None])[:, :, 0]
    else:
        solution = _solve(normal, right, 1e-3)
    step = xp.reshape(-xp.astype(solution[:, :12], transforms.dtype), (-1, 3, 4))
    return xp.concat([step[:, :, :3] / RADIUS_MM, step[:, :, 3:]], axis=2)


def _similarity_directions(transforms: Array, n_unknowns: int) -> Array:
    """Return the 7 directions of a similarity (and the bias terms untouched) as columns.

    Shape (problems, unknowns, 7 + unknowns - 12).
    """
    xp = array_namespace(transforms)
    generators = like(
        [
            [[0, 0, 0], [0, 0, -1], [0, 1, 0]],
            [[0, 0, 1], [0, 0, 0], [-1, 0, 0]],
            [[0, -1, 0], [1, 0, 0], [0, 0, 0]],
            [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        ],
        transforms,
    )
    problems = transforms.shape[0]
    turned = generators[None] @ transforms[:, None, :, :3]
    turned = xp.concat([turned, xp.zeros_like(turned[..., :1])], axis=3)
    turned = xp.matrix_transpose(xp.reshape(turned, (problems, 4, 12)))
    free = np.zeros((n_unknowns, n_unknowns - 9))  # the shifts and the bias terms
    free[(3, 7, 11), (0, 1, 2)] = 1
    free[np.arange(12, n_unknowns), np.arange(3, n_unknowns - 9)] = 1
    free = xp.broadcast_to(like(free, transforms)[None], (problems, *free.shape))
    below = xp.zeros((problems, n_unknowns - 12, 4), dtype=turned.dtype, device=device(turned))
    return xp.concat([xp.concat([turned, below], axis=1), free], axis=2)


def _agreement(stack: Stack, heads: Array, transforms: Array, target: Target) -> Array:
    """Return the weighted correlation of the bias-fitted scan with the template where it is seen.

    It is lowered for what is not seen, or the best fit would be the one that sees least.
    """
    xp = array_namespace(transforms)
    voxels = voxels_of(stack, heads, transforms, target.points)
    values = sample(stack.images, heads, voxels)
    terms, _ = _bias_terms(values, target.bias_basis)
    weights = target.weights * _seen(stack, heads, voxels)
    bias = _fit_bias(terms, target.values, weights[:, None, :])
    fitted = xp.sum(bias[:, :, None] * terms, axis=1)
    total = xp.sum(weights, axis=1)[:, None] + 1e-9
    share = total[:, 0] / xp.sum(target.weights + 0 * weights, axis=1)
    weights = weights / total
    wanted = target.values - xp.sum(weights * target.values, axis=1)[:, None]
    fitted = fitted - xp.sum(weights * fitted, axis=1)[:, None]
    covariance = xp.sum(weights * wanted * fitted, axis=1)
    variances = xp.sum(weights * wanted**2, axis=1) * xp.sum(weights * fitted**2, axis=1)
    return covariance / xp.sqrt(variances + 1e-12) * share**UNSEEN_POWER
