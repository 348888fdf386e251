"""Intensity normalisation: by white matter, or by gamma; T1-weighted units mean nothing alone.

References
----------
DI-PSS, arXiv 2108.06518: the gamma that gives every 8-bit volume the same mean.
"""

from __future__ import annotations

import numpy as np

from braincase.preprocess.space.sampling import Image, Mask
from braincase.preprocess.space.template import load_template

#: White matter lands here in the standard volume's range of 0 to 1.
WHITE_LEVEL = 0.85
#: The mean that DI-PSS brings every 8-bit volume to, and how closely.
GAMMA_MEAN, GAMMA_TOLERANCE = 18.0, 1.0
#: Brightness is scaled by this quantile of the brain before the power is taken.
GAMMA_TOP = 0.999


def white_matter_brightness(scan: Image, mask: Mask) -> float:
    """Return the median brightness where template and mask agree on white matter."""
    white = scan[(load_template()[2].white > 0.85) & mask & (scan != 0)]  # 0 is out of view
    return float(np.median(white)) if white.size else 0.0


def by_white_matter(scan: Image, mask: Mask) -> Image:
    """Scale a bias-free scan on the standard grid so that white matter has `WHITE_LEVEL`."""
    white = white_matter_brightness(scan, mask)
    return scan * np.float32(WHITE_LEVEL / white if white > 0 else 0.0)


def by_gamma(scan: Image, mask: Mask) -> Image:
    """Gamma-correct so that the mean of the whole masked 8-bit volume is 18 +/- 1 (DI-PSS).

    The published step is an iteration over the exponent; here it is a bisection.
    """
    brain = scan[mask]
    top = float(np.quantile(brain, GAMMA_TOP)) if brain.size else 0.0
    scaled = (scan / top if top > 0 else scan).clip(0, 1)
    low, high = 0.02, 50.0
    for _ in range(50):
        gamma = (low * high) ** 0.5
        mean = float((scaled[mask] ** gamma).sum()) * 255 / scan.size
        if abs(mean - GAMMA_MEAN) < GAMMA_TOLERANCE / 20:
            break
        low, high = (gamma, high) if mean > GAMMA_MEAN else (low, gamma)
    return np.asarray(scaled**gamma, dtype=np.float32)


#: By the name the command line knows them.
NORMALISATIONS = {"white-matter": by_white_matter, "gamma18": by_gamma}
