"""One head by antspyx, run by `preprocess.py ants` in an environment that has antspyx.

In the folder given: template.nii.gz (a head), brain.nii.gz (its brain) and head.nii.gz come in;
mask.nii.gz and ants.json go out: processor seconds, and the affine part from native RAS+ mm to
MNI152 RAS+ mm.
"""

import json
import sys
import time
from pathlib import Path

import ants
import numpy as np

#: Between ITK's LPS+ millimetres and RAS+.
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def main() -> None:
    """N4, then affine and SyN from the head to the template, then the template's mask carried."""
    folder = Path(sys.argv[1])
    head, template, brain = (
        ants.image_read(str(folder / f"{name}.nii.gz")) for name in ("head", "template", "brain")
    )
    marks = [time.process_time()]
    flat = ants.n4_bias_field_correction(head)
    marks.append(time.process_time())
    # With type SyN, or with the head as the fixed image, antspyx loses some of these heads.
    registered = ants.registration(template, flat, type_of_transform="antsRegistrationSyNQuick[s]")
    back = registered["invtransforms"]
    mask = ants.apply_transforms(
        head, brain, back, whichtoinvert=[True, False], interpolator="genericLabel"
    )
    marks.append(time.process_time())
    ants.image_write(mask, str(folder / "mask.nii.gz"))
    result = {
        "n4_s": marks[1] - marks[0],
        "syn_s": marks[2] - marks[1],
        "native_to_mni": np.linalg.inv(_affine(back[0])).tolist(),
    }
    (folder / "ants.json").write_text(json.dumps(result))


def _affine(path: str) -> np.ndarray:
    """Read ITK's affine, which takes points of the template to the head, in RAS+ mm."""
    transform = ants.read_transform(path)
    linear = np.reshape(transform.parameters[:9], (3, 3))
    centre = np.array(transform.fixed_parameters)
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = transform.parameters[9:] + centre - linear @ centre
    return FLIP @ affine @ FLIP


if __name__ == "__main__":
    main()
