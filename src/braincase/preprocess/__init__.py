"""Preprocessing: from a raw T1-weighted head to the skull-stripped volume in MNI space."""
