"""One head by antspyx, run by `preprocess.py ants` in an environment that has antspyx.

In the folder given: template.nii.gz (a head), brain.nii.gz (its brain) and head.nii.gz come in,
mask.nii.gz goes out. Prints the processor seconds.
"""

import sys
import time
from pathlib import Path

import ants


def main() -> None:
    """N4, then SyN from the template to the head, then the template's mask carried over."""
    folder = Path(sys.argv[1])
    head, template, brain = (
        ants.image_read(str(folder / f"{name}.nii.gz")) for name in ("head", "template", "brain")
    )
    began = time.process_time()
    flat = ants.n4_bias_field_correction(head)
    found = ants.registration(flat, template, type_of_transform="antsRegistrationSyN[s]")
    mask = ants.apply_transforms(flat, brain, found["fwdtransforms"], interpolator="genericLabel")
    seconds = time.process_time() - began
    ants.image_write(mask, str(folder / "mask.nii.gz"))
    print(f"{seconds:.1f}")


if __name__ == "__main__":
    main()
