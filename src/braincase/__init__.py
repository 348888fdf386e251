"""Braincase: similar-case search for 3D brain MRI, for research (`braincase.purpose`).

>>> import braincase
>>> sorted(braincase.__all__)[:4]
['Answer', 'BraincaseError', 'Hit', 'Model']

The names below are imported when they are first used, so that ``import braincase`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from braincase.answer import Answer as Answer
    from braincase.api import OpenGallery as OpenGallery
    from braincase.api import open_gallery as open_gallery
    from braincase.ask import Wish as Wish
    from braincase.checkpoint import Model as Model
    from braincase.checkpoint import load_model as load_model
    from braincase.cohort import open_cohort as open_cohort
    from braincase.errors import BraincaseError as BraincaseError
    from braincase.gallery import Hit as Hit
    from braincase.gallery import NewCase as NewCase
    from braincase.gallery import Query as Query
    from braincase.gallery import SearchResult as SearchResult
    from braincase.gallery import create_gallery as create_gallery
    from braincase.indexing import index_cohort as index_cohort
    from braincase.regions import load_regions as load_regions

__version__ = "0.1.0"

_HOME = {
    "Answer": "answer",
    "BraincaseError": "errors",
    "Hit": "gallery",
    "Model": "checkpoint",
    "NewCase": "gallery",
    "OpenGallery": "api",
    "Query": "gallery",
    "SearchResult": "gallery",
    "Wish": "ask",
    "create_gallery": "gallery",
    "index_cohort": "indexing",
    "load_model": "checkpoint",
    "load_regions": "regions",
    "open_cohort": "cohort",
    "open_gallery": "api",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> object:
    """Import a name when it is first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'braincase' has no attribute {name!r}")
    found = getattr(import_module(f"braincase.{_HOME[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
