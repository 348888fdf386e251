"""The searchable cases: one small interface, `Gallery`, and the engines that keep it.

`open_gallery` and `create_gallery` take a folder (the embedded engine: no server) or the URL of
a Milvus collection and its record (the distributed engine). Both are exact.
"""

from __future__ import annotations

from braincase.gallery.interface import Gallery, Neighbours
from braincase.gallery.opening import create_gallery, open_gallery, sync_gallery
from braincase.gallery.records import (
    Change,
    GalleryInfo,
    Hit,
    NewCase,
    Query,
    SearchResult,
    StoredCase,
    Version,
    score_of,
)

__all__ = [
    "Change",
    "Gallery",
    "GalleryInfo",
    "Hit",
    "Neighbours",
    "NewCase",
    "Query",
    "SearchResult",
    "StoredCase",
    "Version",
    "create_gallery",
    "open_gallery",
    "score_of",
    "sync_gallery",
]
