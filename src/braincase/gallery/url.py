"""Where a gallery is: a folder, or a collection of a Milvus server with a folder for its record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from braincase.errors import UsageError

#: How a collection may be searched: exactly, or approximately by a graph.
INDEXES = ("flat", "hnsw")
FORM = "milvus://HOST:PORT/COLLECTION?record=FOLDER, and &index=hnsw or &replicas=2 if wanted"
KNOWN = ("record", "index", "replicas")


@dataclass(frozen=True)
class MilvusUrl:
    """A collection and the record it is a copy of.

    Parameters
    ----------
    server
        ``host:port``.
    collection
        The collection's name.
    record
        Folder of the record.
    index
        ``flat``, ``hnsw``, or None for what the collection has (``flat`` if it is new).
    replicas
        Query nodes that each hold all of it; for a new collection.
    """

    server: str
    collection: str
    record: Path
    index: str | None = None
    replicas: int = 1

    @property
    def url(self) -> str:
        """The place as one line, without any password."""
        record = quote(str(self.record), safe="/")
        return f"milvus://{self.server}/{self.collection}?record={record}"


def parse_url(url: str | Path) -> Path | MilvusUrl:
    """Return where a gallery is.

    Parameters
    ----------
    url
        A folder, ``sqlite:///folder``, or
        ``milvus://host:port/collection?record=folder[&index=hnsw][&replicas=2]``.

    Raises
    ------
    UsageError
        If the text is no such place.
    """
    text = str(url)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Path(text)
    if scheme == "sqlite":
        return Path(rest.removeprefix("/"))
    if scheme != "milvus":
        expected = "a folder, sqlite:///folder or milvus://..."
        raise UsageError(text, f"the unknown engine '{scheme}'", expected)
    return _milvus_place(text)


def _milvus_place(text: str) -> MilvusUrl:
    parts = urlsplit(text)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    collection = unquote(parts.path.strip("/"))
    try:
        whole = bool(parts.hostname and parts.port)
    except ValueError:  # a port that is no number
        whole = False
    if not whole or not collection.isidentifier() or not given.get("record"):
        raise UsageError(text, "an incomplete gallery URL", FORM)
    if parts.username or parts.password:
        advice = "Put user:password into the variable BRAINCASE_MILVUS_TOKEN."
        raise UsageError(parts.hostname or "URL", "a password in the gallery URL", FORM, advice)
    if strange := sorted(given.keys() - set(KNOWN)):
        raise UsageError(text, f"the unknown part '{strange[0]}'", FORM)
    index, replicas = given.get("index"), given.get("replicas", "1")
    if index is not None and index not in INDEXES:
        raise UsageError(text, f"index={index}", "flat (exact) or hnsw (approximate)")
    if not replicas.isdigit() or replicas == "0":
        raise UsageError(text, f"replicas={replicas}", "a number of query nodes")
    server = f"{parts.hostname}:{parts.port}"
    return MilvusUrl(server, collection, Path(given["record"]), index, int(replicas))
