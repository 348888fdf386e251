"""Gallery URLs: a folder, or a collection of a Milvus server with a folder for its record."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from braincase.errors import UsageError

#: How a collection may be searched: exactly, or approximately by a graph.
INDEXES = ("flat", "hnsw")
FORM = (
    "milvus://HOST:PORT/COLLECTION?record=FOLDER,"
    " and &tls=yes, &index=hnsw or &replicas=2 if wanted"
)
PARAMETERS = ("record", "index", "replicas", "tls")


@dataclass(frozen=True)
class MilvusUrl:
    """A parsed URL: a Milvus collection and the record it is a copy of.

    As text it is the URL on one line, without index, replicas or any password.

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
    tls
        Whether the connection is encrypted (https).
    """

    server: str
    collection: str
    record: Path
    index: str | None = None
    replicas: int = 1
    tls: bool = False

    def __str__(self) -> str:
        record = quote(str(self.record), safe="/")
        tls = "&tls=yes" if self.tls else ""
        return f"milvus://{self.server}/{self.collection}?record={record}{tls}"

    @property
    def is_local(self) -> bool:
        """Whether the server is this machine (a loopback address)."""
        host = self.server.rpartition(":")[0].strip("[]")
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def parse_url(url: str | Path) -> Path | MilvusUrl:
    """Parse the URL of a gallery: a folder, or a Milvus collection and its record.

    Parameters
    ----------
    url
        A folder, ``sqlite:///folder``, or
        ``milvus://host:port/collection?record=folder[&tls=yes][&index=hnsw][&replicas=2]``.

    Raises
    ------
    UsageError
        If the text is no such URL.
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
    return _milvus_url(text)


def _milvus_url(text: str) -> MilvusUrl:
    parts = urlsplit(text)
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    collection = unquote(parts.path.strip("/"))
    try:
        has_server = bool(parts.hostname and parts.port)
    except ValueError:  # a port that is no number
        has_server = False
    if not has_server or not collection.isidentifier() or not parameters.get("record"):
        raise UsageError(text, "an incomplete gallery URL", FORM)
    if parts.username or parts.password:
        advice = "Put user:password into the variable BRAINCASE_MILVUS_TOKEN."
        raise UsageError(parts.hostname or "URL", "a password in the gallery URL", FORM, advice)
    if unknown := sorted(parameters.keys() - set(PARAMETERS)):
        raise UsageError(text, f"the unknown part '{unknown[0]}'", FORM)
    index, replicas = parameters.get("index"), parameters.get("replicas", "1")
    if index is not None and index not in INDEXES:
        raise UsageError(text, f"index={index}", "flat (exact) or hnsw (approximate)")
    if not replicas.isdigit() or replicas == "0":
        raise UsageError(text, f"replicas={replicas}", "a number of query nodes")
    tls = parameters.get("tls", "no")
    if tls not in ("yes", "no"):
        raise UsageError(text, f"tls={tls}", "yes (https) or no")
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    record = Path(parameters["record"])
    return MilvusUrl(f"{host}:{parts.port}", collection, record, index, int(replicas), tls == "yes")


def record_folder(url: str | Path) -> Path:
    """Return the folder that holds a gallery's record, whatever engine its URL names."""
    parsed = parse_url(url)
    return parsed.record if isinstance(parsed, MilvusUrl) else parsed
