"""Volumetry: volumes of named brain regions, measured on a standard image."""
