"""The gallery: a versioned case database with exact nearest-neighbour search.

One class, `Gallery`, and the engines that search. `open_gallery` and `create_gallery`
take a folder (the embedded engine: no server) or the URL of a Milvus collection and its record
(the distributed engine). Both are exact.
"""

from __future__ import annotations

from braincase.gallery.cases import (
    Change,
    Code,
    GalleryInfo,
    NewCase,
    StoredCase,
    Version,
    checked_code,
)
from braincase.gallery.gallery import Gallery, Neighbours, refuse_other_model
from braincase.gallery.opening import create_gallery, exists, open_gallery, sync_gallery
from braincase.gallery.query import (
    Hit,
    Query,
    SearchResult,
    Weights,
    checked_weights,
    hit_of,
    score_of,
)

__all__ = [
    "Change",
    "Code",
    "Gallery",
    "GalleryInfo",
    "Hit",
    "Neighbours",
    "NewCase",
    "Query",
    "SearchResult",
    "StoredCase",
    "Version",
    "Weights",
    "checked_code",
    "checked_weights",
    "create_gallery",
    "exists",
    "hit_of",
    "open_gallery",
    "refuse_other_model",
    "score_of",
    "sync_gallery",
]
