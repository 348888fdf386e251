"""Diffeomorphic deformations with a prescribed local volume change (Jacobian determinant).

All fields live on the 4 mm grid (`FIELD_GRID`): nothing in them is finer than 6 mm. Displacements
and velocities are in mm, shape (3, 40, 48, 40), components R, A, S.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from braincase.images.geometry import HALF_GRID
from braincase.volumetry.registration import own_voxels, sample

Field = NDArray[np.float32]

FIELD_GRID = HALF_GRID
#: Scaling and squaring starts from the velocity divided by 2 to this power.
SQUARINGS = 5


@cache
def _wave_numbers() -> tuple[tuple[NDArray[np.float64], ...], NDArray[np.float64]]:
    """Angular wave numbers (1/mm) along the axes of a real FFT, and their squared sum."""
    step = float(FIELD_GRID.resolution_mm)
    nx, ny, nz = FIELD_GRID.shape
    axes = (fft.fftfreq(nx, step), fft.fftfreq(ny, step), fft.rfftfreq(nz, step))
    k = tuple(2 * np.pi * q for q in np.meshgrid(*axes, indexing="ij"))
    return k, np.asarray(sum(q * q for q in k))


def squared_wave_number() -> NDArray[np.float64]:
    """Return the squared angular wave number (1/mm2) of a full FFT, shape FIELD_GRID.shape."""
    step = float(FIELD_GRID.resolution_mm)
    x, y, z = np.meshgrid(*(fft.fftfreq(n, step) for n in FIELD_GRID.shape), indexing="ij")
    return np.asarray((2 * np.pi) ** 2 * (x * x + y * y + z * z))


def smoothness_gain(k2: NDArray[np.float64], smoothness_mm: float) -> NDArray[np.float64]:
    """Return the gain of the Gaussian filter of `random_field` at squared wave numbers (1/mm2)."""
    return np.asarray(np.exp(-0.5 * smoothness_mm**2 * k2))


def random_field(
    rng: np.random.Generator, smoothness_mm: float, spread: float, components: int = 3
) -> Field:
    """Draw Gaussian random fields, band-limited by a Gaussian of `smoothness_mm`.

    Returns
    -------
    array, shape (components, *FIELD_GRID.shape)
        Mean zero over infinitely many draws; standard deviation over space exactly `spread`.
    """
    _, k2 = _wave_numbers()
    noise = rng.standard_normal((components, *FIELD_GRID.shape), dtype=np.float32)
    axes = (1, 2, 3)
    spectrum = fft.rfftn(noise, axes=axes) * smoothness_gain(k2, smoothness_mm)
    field = fft.irfftn(spectrum, s=FIELD_GRID.shape, axes=axes)
    return np.asarray(field * (spread / field.std()), dtype=np.float32)


def velocity_of_log_volume_change(log_change: NDArray[np.floating]) -> Field:
    """Return the velocity whose divergence is the prescribed log volume change.

    The velocity is the gradient of phi with Laplace(phi) = a (Poisson's equation), solved by one
    FFT. Prescribing the volume change is the classical way to simulate atrophy whose truth is
    certain (Karacali & Davatzikos 2006; Khanal et al. 2017). The mean of `log_change` is taken off,
    since the field of view stays as large as it is.

    Parameters
    ----------
    log_change
        a(x), log of the local volume factor, shape FIELD_GRID.shape.

    References
    ----------
    Karacali, Davatzikos (2006). Simulation of tissue atrophy using a topology preserving
    transformation model. IEEE Transactions on Medical Imaging 25, 649-652.

    Khanal, Ayache, Pennec (2017). Simulating longitudinal brain MRIs with known volume changes and
    realistic variations in image intensity. Frontiers in Neuroscience 11, 132.
    """
    k, k2 = _wave_numbers()
    spectrum = fft.rfftn(log_change)
    spectrum[0, 0, 0] = 0
    phi = -spectrum / np.where(k2 > 0, k2, 1)
    parts = [fft.irfftn(1j * q * phi, s=FIELD_GRID.shape) for q in k]
    return np.stack(parts).astype(np.float32)


def pull(maps: NDArray[np.floating], displacement: Field) -> NDArray[np.float32]:
    """Warp maps (n, *FIELD_GRID.shape) to x + displacement(x), linearly, edge values outside."""
    place = own_voxels(FIELD_GRID.shape) + displacement / FIELD_GRID.resolution_mm
    return sample(maps, place)


def exponentiate(velocity: Field) -> Field:
    """Integrate a stationary velocity for unit time by scaling and squaring.

    Returns the displacement u with x + u(x) = exp(velocity)(x), a diffeomorphism
    (Arsigny et al. 2006).
    """
    displacement = velocity / np.float32(2**SQUARINGS)
    for _ in range(SQUARINGS):
        displacement = displacement + pull(displacement, displacement)
    return displacement
