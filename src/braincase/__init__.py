"""Braincase: similar-case search for 3D brain MRI, for research (`braincase.purpose`).

>>> import braincase
>>> sorted(braincase.__all__)[:4]
['Answer', 'BraincaseError', 'Hit', 'Model']

The names below are imported when they are first used, so that ``import braincase`` costs nothing;
``__init__.pyi`` tells type checkers what they are.
"""

from __future__ import annotations

from importlib import import_module

from braincase.version import __version__ as __version__

_HOME = {
    "Answer": "answer.compose",
    "BraincaseError": "errors",
    "Hit": "gallery",
    "Model": "models.model",
    "NewCase": "gallery",
    "Query": "gallery",
    "SearchOptions": "search.options",
    "SearchResult": "gallery",
    "SearchableGallery": "workflows.searchable_gallery",
    "create_gallery": "gallery",
    "index_cohort": "workflows.index_cohort",
    "load_model": "models.model",
    "load_regions": "images.atlas",
    "open_cohort": "cohort.cohort",
    "open_gallery": "workflows.searchable_gallery",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> object:
    """Import a name when it is first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'braincase' has no attribute {name!r}")
    value = getattr(import_module(f"braincase.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
