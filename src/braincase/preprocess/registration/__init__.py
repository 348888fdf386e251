"""Affine and elastic registration of a head to the template."""
