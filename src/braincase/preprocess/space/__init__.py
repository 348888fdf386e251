"""MNI space: the template, the field of view and resampling to the standard grid."""
