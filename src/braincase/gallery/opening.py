"""Open, create and synchronise a gallery: the URL chooses the engine."""

from __future__ import annotations

from pathlib import Path

from braincase.errors import UsageError
from braincase.gallery.embedded import create_embedded, open_embedded
from braincase.gallery.gallery import Gallery, refuse_other_model
from braincase.gallery.milvus.lifecycle import create_milvus, open_milvus, sync_milvus
from braincase.gallery.milvus.sync import SyncResult
from braincase.gallery.record.connection import is_made
from braincase.gallery.url import MilvusUrl, parse_url, record_folder


def open_gallery(url: str | Path, fingerprint: str | None = None) -> Gallery:
    """Open an existing gallery.

    Parameters
    ----------
    url
        A folder, ``sqlite:///folder``, or ``milvus://host:port/collection?record=folder``.
    fingerprint
        The model about to be used; None if none is.

    Raises
    ------
    GalleryError
        If there is none, or it is damaged.
    FingerprintError
        If it holds the codes of another model.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> create_gallery(folder, "my-model", resolution_mm=4).close()
    >>> gallery = open_gallery(folder, fingerprint="my-model")
    >>> gallery.info().cases
    0
    >>> gallery.close()
    """
    parsed = parse_url(url)
    gallery = open_milvus(parsed) if isinstance(parsed, MilvusUrl) else open_embedded(parsed)
    if fingerprint is not None:
        refuse_other_model(url, gallery.fingerprint, fingerprint)
    return gallery


def create_gallery(
    url: str | Path,
    fingerprint: str,
    resolution_mm: int,
    n_dimensions: int = 150,
    encoder: str = "",
) -> Gallery:
    """Make an empty gallery for the codes of one model.

    Parameters
    ----------
    url
        A folder, ``sqlite:///folder``, or ``milvus://host:port/collection?record=folder``.
    fingerprint
        The model's.
    resolution_mm
        Voxel size of the standard volumes.
    n_dimensions
        Numbers in a code.
    encoder
        The name of a foreign encoder, whose numbers are no map of the brain's cells.

    Raises
    ------
    GalleryError
        If a gallery is there already, or the folder cannot be written.
    """
    parsed = parse_url(url)
    if isinstance(parsed, MilvusUrl):
        return create_milvus(parsed, fingerprint, resolution_mm, n_dimensions, encoder)
    return create_embedded(parsed, fingerprint, resolution_mm, n_dimensions, encoder)


def exists(url: str | Path) -> bool:
    """Return whether there is a gallery at `url`."""
    return is_made(record_folder(url))


def sync_gallery(url: str | Path) -> SyncResult:
    """Make a distributed gallery's collection what its record says, whatever is there.

    A collection that is missing is made: so a gallery in a folder is spread to a server.

    Parameters
    ----------
    url
        ``milvus://host:port/collection?record=folder``; with ``&index=hnsw`` or ``&index=flat`` a
        collection of the other kind is made anew.

    Raises
    ------
    UsageError
        If the gallery is only a folder.
    GalleryError
        If there is no record, the server does not answer, or the collection is not this gallery's.
    """
    parsed = parse_url(url)
    if not isinstance(parsed, MilvusUrl):
        raise UsageError(url, "a gallery in a folder has nothing to bring up", "a milvus:// URL")
    return sync_milvus(parsed)
