"""Open, create and synchronise a distributed gallery: a record and its Milvus collection."""

from __future__ import annotations

from contextlib import closing

import numpy as np

from braincase.errors import GalleryError
from braincase.gallery.gallery import Gallery, refuse_other_model
from braincase.gallery.milvus.collection import Collection, CollectionDescription, refuse_too_long
from braincase.gallery.milvus.engine import MilvusEngine, sync_advice
from braincase.gallery.milvus.sync import CollectionSync, SyncResult
from braincase.gallery.milvus.sync_state import SyncState
from braincase.gallery.record.memory import NEVER
from braincase.gallery.record.record import Record, create_record
from braincase.gallery.url import MilvusUrl


def create_milvus(
    url: MilvusUrl, fingerprint: str, resolution_mm: int, n_dimensions: int, encoder: str = ""
) -> Gallery:
    """Make an empty record and its collection; see `braincase.gallery.create_gallery`."""
    refuse_too_long(url, n_dimensions)
    with closing(Collection(url)) as collection:
        if collection.description() is not None:
            raise GalleryError(str(url), "a collection is here already", "a new name")
    create_record(url.record, fingerprint, resolution_mm, n_dimensions, encoder)
    sync_milvus(url)
    return open_milvus(url)


def sync_milvus(url: MilvusUrl) -> SyncResult:
    """Make the collection what the record says, whatever is there; make it if it is missing.

    Raises
    ------
    GalleryError
        If there is no record, or the collection is that of another gallery.
    """
    with (
        closing(Record(url.record, keep_codes=False)) as record,
        closing(Collection(url)) as collection,
    ):
        state = SyncState(url.record)
        description = collection.description()
        if description is not None:
            _check_owner(url, description, state)
            if url.index not in (None, description["index"]):
                collection.drop()
                description = None
        if description is None:
            refuse_too_long(url, record.n_dimensions)
            description = CollectionDescription(
                braincase=1,
                gallery=state.gallery_id,
                fingerprint=record.fingerprint,
                index=url.index or "flat",
            )
            collection.create(description, record.n_dimensions)
        collection.load()
        return CollectionSync(record, collection, state).run(everything=True)


def open_milvus(url: MilvusUrl) -> Gallery:
    """Open a record and its collection; see `braincase.gallery.open_gallery`.

    Raises
    ------
    GalleryError
        If either is missing, or the collection is no copy of the record.
    """
    record = Record(url.record, keep_codes=False)
    try:
        collection = Collection(url)
        try:
            engine = _open_engine(url, record, collection)
        except BaseException:
            collection.close()
            raise
    except BaseException:
        record.close()
        raise
    return Gallery(record, engine, str(url))


def _open_engine(url: MilvusUrl, record: Record, collection: Collection) -> MilvusEngine:
    state = SyncState(url.record)
    description = collection.description()
    if description is None:
        raise GalleryError(str(url), "no such collection", "", sync_advice(url))
    _check_owner(url, description, state)
    refuse_other_model(str(url), description["fingerprint"], record.fingerprint)
    if url.index not in (None, description["index"]):
        found = f"index {description['index']}"
        raise GalleryError(str(url), found, url.index or "", sync_advice(url, url.index))
    collection.load()
    sync = CollectionSync(record, collection, state)
    sync.run()
    _check_whole(url, record, collection)
    return MilvusEngine(record, collection, sync, state.secret)


def _check_owner(url: MilvusUrl, description: CollectionDescription, state: SyncState) -> None:
    if description["gallery"] != state.gallery_id:
        advice = "Choose another name for the collection, or name the record it was made from."
        raise GalleryError(str(url), "the collection of another gallery", "its own", advice)


def _check_whole(url: MilvusUrl, record: Record, collection: Collection) -> None:
    """Notice a collection that lost cases, or a record put back in time."""
    memory = record.snapshot().memory
    n_expected = int(np.count_nonzero(memory.removed_in >= 0))
    version = memory.version
    newer = f"added_in > {version} or (removed_in > {version} and removed_in < {NEVER})"
    lost = collection.count() < n_expected
    ahead = collection.count(newer) > 0 and record.snapshot().version == version
    if lost or ahead:
        found = "the collection lacks cases" if lost else "the collection is ahead of its record"
        raise GalleryError(str(url), found, "a copy of the record", sync_advice(url))
