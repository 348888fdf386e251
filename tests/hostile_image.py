"""Images in cohorts that a gallery made by somebody else may name, and none may open."""

from __future__ import annotations

import gzip
import io
import os

import nibabel
import numpy as np

from braincase.images.geometry import HALF_GRID

NAME = "sub-x/anat/sub-x_space-MNI152NLin2009aSym_res-4_desc-brain_T1w.nii.gz"


def hostile(kind, tmp_path, cohort, name=NAME):
    """A cohort and name that must not be opened; what is there lies where the name leads.

    The name is that of an image in `cohort`; the folder ``other`` beside it has another.
    """
    image = cohort / name
    secret = tmp_path / f"secret_res-{name.rpartition('_res-')[2]}"
    secret.write_bytes(image.read_bytes())
    if kind == "absolute":
        return cohort, secret
    if kind == "above":
        return cohort, "../" + secret.name
    if kind == "above in between":
        return cohort, "sub-x/../../" + secret.name
    if kind == "other name":
        image.rename(cohort / "brain.nii.gz")
        return cohort, "brain.nii.gz"
    if kind == "relative cohort":
        return os.path.relpath(cohort), name
    image.unlink()
    if kind == "link out":
        image.symlink_to(secret)
    elif kind == "folder link out":
        image.parent.rmdir()
        image.parent.symlink_to(tmp_path / "other" / "sub-x" / "anat")
    elif kind == "circle":
        image.symlink_to(image.name)
    elif kind == "pipe":
        os.mkfifo(image)
    elif kind == "link to a pipe":
        os.mkfifo(cohort / "pipe")
        image.symlink_to(cohort / "pipe")
    elif kind == "device":
        image.symlink_to("/dev/zero")
    elif kind == "folder":
        image.mkdir()
    elif kind == "no image":
        image.write_text("root:x:0:0")
    elif kind == "other image":
        image.write_bytes((tmp_path / "other" / name).read_bytes())
    return cohort, name


def packed_image(n_bytes, shape=HALF_GRID.shape):
    """A gzip of a header and so many bytes of zeros."""
    header = nibabel.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.uint8)
    header["vox_offset"] = 352
    held = io.BytesIO()
    with gzip.GzipFile(fileobj=held, mode="wb", compresslevel=9) as file:
        file.write(header.binaryblock + b"\0" * 4)
        for _ in range(n_bytes // 2**20):
            file.write(bytes(2**20))
    return held.getvalue()
