"""The version of Braincase; on the ground floor, as files of every room write it down."""

__version__ = "0.1.0"
