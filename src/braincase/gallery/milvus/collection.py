"""Milvus client for one collection, with retries and clear errors.

Only features of Milvus 2.3 are used. An entity is one state of one case: a key, the versions
between which it was live, an opaque coarse group, a checksum and a vector; no name, no label.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray

from braincase.errors import GalleryError, UsageError
from braincase.gallery.milvus.inner_product import lifted, lifted_query, squared_of_products
from braincase.gallery.url import MilvusUrl
from braincase.json_values import parse_json

Answer = TypeVar("Answer")

LOG = logging.getLogger(__name__)
TOKEN = "BRAINCASE_MILVUS_TOKEN"
#: Seconds a call may take, and how long a call that fails in passing is retried: a query node that
#: died is replaced in about ten.
TIMEOUT_S = 30.0
RETRY_S = 90.0
#: How far this machine's clock and Milvus's may be apart; and the low bits of Milvus's time.
SKEW_S = 10.0
LOGICAL_BITS = 18
#: The most results that Milvus gives for one search.
MOST_RESULTS = 16_384
#: The graph: edges a node, and how many candidates are kept when building and searching.
GRAPH = {"M": 16, "efConstruction": 200}
EF = 512
#: The most numbers that a vector of Milvus may have; a flat index holds codes lifted to twice them.
MOST_NUMBERS = 32_768
#: Codes of errors that a retry does not mend: collection not found, invalid parameter (Milvus's
#: pkg/util/merr). Milvus 2.3 has no code of its own for a condition that it cannot parse.
LASTING = (100, 1100)
FIELDS = ("added_in", "removed_in", "lot", "checksum")


class CollectionDescription(TypedDict):
    """What a collection says of itself: the format, whose it is, and its index."""

    braincase: int
    gallery: str
    fingerprint: str
    index: str


@dataclass(frozen=True, eq=False)
class Entities:
    """States of cases as Milvus holds them, n of each; `codes` has shape (n, d)."""

    keys: NDArray[np.int64]
    added_in: NDArray[np.int64]
    removed_in: NDArray[np.int64]
    lots: NDArray[np.int64]
    checksums: NDArray[np.int64]
    codes: NDArray[np.float32]

    def at(self, positions: Sequence[int]) -> Entities:
        """Return those at some positions."""
        chosen = np.array(positions, np.int64)
        return Entities(
            self.keys[chosen],
            self.added_in[chosen],
            self.removed_in[chosen],
            self.lots[chosen],
            self.checksums[chosen],
            self.codes[chosen],
        )


def refuse_too_long(url: MilvusUrl, n_dimensions: int) -> None:
    """Stop before a gallery is made whose codes are too long for Milvus.

    Raises
    ------
    UsageError
        If they are.
    """
    most = MOST_NUMBERS if url.index == "hnsw" else MOST_NUMBERS // 2
    if n_dimensions > most:
        advice = "Use a gallery in a folder" + (", or index=hnsw." if most < MOST_NUMBERS else ".")
        raise UsageError(str(url), f"codes of {n_dimensions} numbers", f"at most {most}", advice)


class Collection:
    """A client of one Milvus collection, which may not exist yet."""

    def __init__(self, url: MilvusUrl) -> None:
        """Connect.

        Raises
        ------
        GalleryError
            If the server does not answer.
        UsageError
            If `pymilvus` is not installed, or a password would be sent unencrypted.
        """
        token = os.environ.get(TOKEN, "")
        if token and not url.tls and not url.is_local:
            found = f"{TOKEN} would be sent unencrypted to another machine"
            advice = "Add &tls=yes to the URL, or unset the variable."
            raise UsageError(str(url), found, "an encrypted connection", advice)
        try:
            import pymilvus
        except ImportError:
            advice = "Install it with: pip install 'braincase[distributed]'"
            raise UsageError(str(url), "the package pymilvus is missing", "", advice) from None
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # errors become one line here
        self.url, self._pymilvus = url, pymilvus
        self._index: str | None = None
        try:
            self._client = pymilvus.MilvusClient(
                uri=f"{'https' if url.tls else 'http'}://{url.server}",
                token=token,
                timeout=TIMEOUT_S,
            )
        except pymilvus.MilvusException as error:
            raise self._gallery_error(error) from None

    @property
    def flat(self) -> bool:
        """Whether the index is flat: it holds lifted codes and is searched exactly.

        Raises
        ------
        GalleryError
            If there is no such collection.
        """
        if self._index is None and self.description() is None:
            raise GalleryError(str(self.url), "no such collection", "one that `create` made")
        return self._index == "flat"

    def description(self) -> CollectionDescription | None:
        """Return what `create` wrote down; None if there is no such collection.

        Raises
        ------
        GalleryError
            If the collection is none of Braincase's.
        """
        if not self._call(self._client.has_collection, self._name):
            return None
        text = self._call(self._client.describe_collection, self._name)["description"]
        try:
            description = _parsed_description(text)
        except (ValueError, KeyError, TypeError):
            advice = "Choose another name for the collection."
            raise GalleryError(
                str(self.url), "a collection of another program", "one of Braincase", advice
            ) from None
        if self._index is None:
            self._index = description["index"]
        return description

    def create(self, description: CollectionDescription, n_dimensions: int) -> None:
        """Make the collection, index and load it."""
        kinds = self._pymilvus.DataType
        schema = self._client.create_schema(
            auto_id=False, enable_dynamic_field=False, description=json.dumps(description)
        )
        schema.add_field("key", kinds.INT64, is_primary=True)
        for name in FIELDS:
            schema.add_field(name, kinds.INT64)
        self._index = description["index"]
        dim = 2 * n_dimensions if self.flat else n_dimensions
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=dim)
        index = self._client.prepare_index_params()
        if self.flat:
            index.add_index("vector", index_type="FLAT", metric_type="IP")
        else:
            index.add_index("vector", index_type="HNSW", metric_type="L2", params=GRAPH)
        self._call(self._client.create_collection, self._name, schema=schema)
        self._call(self._client.create_index, self._name, index)

    def load(self) -> None:
        """Have query nodes hold the collection; nothing happens if they do."""
        self._call(
            self._client.load_collection, self._name, replica_number=self.url.replicas,
            timeout=10 * TIMEOUT_S,
        )  # fmt: skip

    def drop(self) -> None:
        """Delete the collection."""
        self._call(self._client.drop_collection, self._name)
        self._index = None

    def put(self, entities: Entities) -> None:
        """Insert entities; the caller knows that their keys are not there yet."""
        vectors = lifted(entities.codes) if self.flat else entities.codes
        columns = (entities.added_in, entities.removed_in, entities.lots, entities.checksums)
        rows = [
            {"key": key, **dict(zip(FIELDS, values, strict=True)), "vector": vector}
            for key, *values, vector in zip(
                entities.keys.tolist(), *(column.tolist() for column in columns), vectors,
                strict=True,
            )
        ]  # fmt: skip
        if rows:
            self._call(self._client.insert, self._name, rows)

    def delete(self, keys: Iterable[int]) -> None:
        """Delete entities by key."""
        wanted = [int(key) for key in keys]
        if wanted:
            self._call(self._client.delete, self._name, ids=wanted)

    def checksums(self, condition: str, most: int | None = None) -> dict[int, int]:
        """Return the checksum of each entity that fulfils a condition, by key."""
        limit = {} if most is None else {"limit": most}
        rows = self._call(
            self._client.query, self._name, filter=condition, output_fields=["key", "checksum"],
            consistency_level="Strong", **limit,
        )  # fmt: skip
        return {int(row["key"]): int(row["checksum"]) for row in rows}

    def count(self, condition: str = "") -> int:
        """Return how many entities fulfil a condition."""
        rows = self._call(
            self._client.query, self._name, filter=condition, output_fields=["count(*)"],
            consistency_level="Strong",
        )  # fmt: skip
        return int(rows[0]["count(*)"])

    def nearest(
        self,
        query: NDArray[np.float32],
        weights: NDArray[np.float64] | None,
        most: int,
        condition: str,
        written_at: float,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the keys of the nearest entities and their rough squared distances, in order.

        All that was written until `written_at` (seconds since 1970) is seen.
        """
        if self.flat:
            vector = lifted_query(query, weights)
            search_params = {"metric_type": "IP", "params": {}}
        else:
            vector = query
            search_params = {"metric_type": "L2", "params": {"ef": max(EF, most)}}
        hits = self._call(
            self._client.search, self._name, [vector], limit=most, filter=condition,
            search_params=search_params, **_consistency(written_at),
        )[0]  # fmt: skip
        keys = np.array([hit["id"] for hit in hits], np.int64)
        scores = np.array([hit["distance"] for hit in hits], np.float64)
        return keys, squared_of_products(scores, query, weights) if self.flat else scores

    def compact(self) -> None:
        """Compact the collection: Milvus writes its files anew without what was deleted."""
        self._call(self._client.flush, self._name)
        self._call(self._client.compact, self._name)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    @property
    def _name(self) -> str:
        return self.url.collection

    def _call(self, method: Callable[..., Answer], *args: object, **named: object) -> Answer:
        """Call Milvus, with retries if it fails in passing: a node may have died."""
        start, pause = time.monotonic(), 0.1
        while True:
            try:
                return method(*args, **{"timeout": TIMEOUT_S, **named})
            except self._pymilvus.MilvusException as error:
                if error.code in LASTING or time.monotonic() - start > RETRY_S:
                    raise self._gallery_error(error) from None
                LOG.warning("asking Milvus again after: %s", error)
                time.sleep(pause)
                pause = min(2 * pause, 2.0)

    def _gallery_error(self, error: Exception) -> GalleryError:
        advice = f"Is Milvus running at {self.url.server}? The record has lost nothing."
        text = str(getattr(error, "message", error))[:200]
        return GalleryError(str(self.url), f"Milvus says: {text}", "an answer", advice)


def _parsed_description(text: str) -> CollectionDescription:
    """Parse what `create` wrote down; whatever is raised, it is not of this format."""
    content = parse_json(text)
    if content["braincase"] != 1:
        raise ValueError(content["braincase"])
    return CollectionDescription(
        braincase=1,
        gallery=content.get("gallery", ""),
        fingerprint=content["fingerprint"],
        index=content["index"],
    )


def _consistency(written_at: float) -> dict[str, str | int]:
    """Return the consistency level at which a search sees all that was written until then.

    'Strong' waits for Milvus's next clock tick, 0.2 s; a time that is past need not be waited for.
    """
    settled = written_at + SKEW_S
    if time.time() < settled:
        return {"consistency_level": "Strong"}
    hybrid = int(settled * 1000) << LOGICAL_BITS
    return {"consistency_level": "Customized", "guarantee_timestamp": hybrid}


def keys_condition(keys: Sequence[int]) -> str:
    """Return a condition that names keys."""
    return f"key in [{','.join(map(str, keys))}]"
