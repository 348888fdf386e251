"""The standard space: template, grid and resampling."""
