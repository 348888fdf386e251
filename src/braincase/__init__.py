"""Braincase: similar-case search for 3D brain MRI. Research software, not a diagnosis."""

__version__ = "0.1.0"
