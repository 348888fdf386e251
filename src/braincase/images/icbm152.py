"""The ICBM152 2009a symmetric template's files: T1, grey and white matter at 1 mm, from nilearn.

They are read where they lie: importing nilearn, which does nothing else here, takes two seconds.

References
----------
Fonov et al. 2011, Unbiased average age-appropriate atlases for pediatric studies, NeuroImage,
doi:10.1016/j.neuroimage.2010.07.033.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import nibabel
import numpy as np
from numpy.typing import NDArray

from braincase.errors import ParameterError
from braincase.images.geometry import Affine

Kind = Literal["t1", "gm", "wm"]


def read_icbm152(kind: Kind) -> tuple[NDArray[np.float32], Affine]:
    """Read one image of the template.

    Parameters
    ----------
    kind
        The T1 intensity (0 outside the brain), or the share of grey or white matter.

    Returns
    -------
    Image of shape (197, 233, 189) in [0, 1], and the affine from its voxels to MNI mm.
    """
    package = find_spec("nilearn")
    if package is None or package.origin is None:
        advice = "Install it with: pip install nilearn"
        raise ParameterError("template", "no template here", "the package nilearn", advice)
    folder = Path(package.origin).parent / "datasets" / "data"
    image = nibabel.load(folder / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz")
    data = np.asarray(image.dataobj, np.float32) / np.float32(255)
    return data, np.asarray(image.affine, np.float64)
