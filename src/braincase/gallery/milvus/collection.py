"""One Milvus collection: what Braincase asks of it, with patience and clear errors.

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
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from braincase.errors import GalleryError, UsageError
from braincase.gallery.milvus.inner_product import lifted, lifted_query, squared_of_products
from braincase.gallery.url import MilvusUrl

Answer = TypeVar("Answer")

LOG = logging.getLogger(__name__)
TOKEN = "BRAINCASE_MILVUS_TOKEN"
#: Seconds a call may take, and how long a call that fails in passing is made again: a query node
#: that died is replaced in about ten.
TIMEOUT_S = 30.0
PATIENCE_S = 90.0
#: How far this machine's clock and Milvus's may be apart; and the low bits of Milvus's time.
SKEW_S = 10.0
LOGICAL_BITS = 18
#: The most results that Milvus gives for one search.
MOST_RESULTS = 16_384
#: The graph: edges a node, and how many candidates are kept when building and searching.
GRAPH = {"M": 16, "efConstruction": 200}
EF = 512
#: Words of errors that asking again does not mend.
LASTING = ("cannot parse", "collection not found", "can't find collection", "invalid parameter")
FIELDS = ("added_in", "removed_in", "lot", "checksum")


@dataclass(frozen=True, eq=False)
class Entities:
    """States of cases as Milvus holds them, n of each; `codes` has shape (n, d)."""

    keys: NDArray[np.int64]
    added_in: NDArray[np.int64]
    removed_in: NDArray[np.int64]
    lots: NDArray[np.int64]
    checksums: NDArray[np.int64]
    codes: NDArray[np.float32]

    def part(self, chosen: Any) -> Entities:
        """Return some of them."""
        return Entities(
            self.keys[chosen],
            self.added_in[chosen],
            self.removed_in[chosen],
            self.lots[chosen],
            self.checksums[chosen],
            self.codes[chosen],
        )


class Collection:
    """A connection to one collection, which may not exist yet."""

    def __init__(self, place: MilvusUrl) -> None:
        """Connect.

        Raises
        ------
        GalleryError
            If the server does not answer.
        UsageError
            If `pymilvus` is not installed.
        """
        try:
            import pymilvus
        except ImportError:
            advice = "Install it with: pip install 'braincase[distributed]'"
            raise UsageError(place.url, "the package pymilvus is missing", "", advice) from None
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # errors become one line here
        self.place, self._pymilvus = place, pymilvus
        try:
            self._client = pymilvus.MilvusClient(
                uri=f"http://{place.server}", token=os.environ.get(TOKEN, ""), timeout=TIMEOUT_S
            )
        except pymilvus.MilvusException as error:
            raise self._as_gallery_error(error) from None

    def about(self) -> dict[str, Any] | None:
        """Return what `create` wrote down; None if there is no such collection.

        Raises
        ------
        GalleryError
            If the collection is none of Braincase's.
        """
        if not self._ask(self._client.has_collection, self._name):
            return None
        described = self._ask(self._client.describe_collection, self._name)["description"]
        try:
            about = json.loads(described)
            if about["braincase"] != 1:
                raise ValueError(about["braincase"])
        except (ValueError, KeyError, TypeError):
            advice = "Choose another name for the collection."
            raise GalleryError(
                self.place.url, "a collection of another program", "one of Braincase", advice
            ) from None
        return dict(about)

    def create(self, about: dict[str, Any], n_dimensions: int) -> None:
        """Make the collection, index and load it."""
        kinds = self._pymilvus.DataType
        schema = self._client.create_schema(
            auto_id=False, enable_dynamic_field=False, description=json.dumps(about)
        )
        schema.add_field("key", kinds.INT64, is_primary=True)
        for name in FIELDS:
            schema.add_field(name, kinds.INT64)
        flat = about["index"] == "flat"
        schema.add_field("vector", kinds.FLOAT_VECTOR, dim=n_dimensions * (2 if flat else 1))
        index = self._client.prepare_index_params()
        if flat:
            index.add_index("vector", index_type="FLAT", metric_type="IP")
        else:
            index.add_index("vector", index_type="HNSW", metric_type="L2", params=GRAPH)
        self._ask(self._client.create_collection, self._name, schema=schema)
        self._ask(self._client.create_index, self._name, index)

    def load(self) -> None:
        """Have query nodes hold the collection; nothing happens if they do."""
        self._ask(
            self._client.load_collection, self._name, replica_number=self.place.replicas,
            timeout=10 * TIMEOUT_S,
        )  # fmt: skip

    def drop(self) -> None:
        """Delete the collection."""
        self._ask(self._client.drop_collection, self._name)

    def put(self, entities: Entities, flat: bool) -> None:
        """Insert entities; the caller knows that their keys are not there yet."""
        vectors = lifted(entities.codes) if flat else entities.codes
        columns = (entities.added_in, entities.removed_in, entities.lots, entities.checksums)
        rows = [
            {"key": key, **dict(zip(FIELDS, values, strict=True)), "vector": vector}
            for key, *values, vector in zip(
                entities.keys.tolist(), *(column.tolist() for column in columns), vectors,
                strict=True,
            )
        ]  # fmt: skip
        if rows:
            self._ask(self._client.insert, self._name, rows)

    def delete(self, keys: Iterable[int]) -> None:
        """Delete entities by key."""
        wanted = [int(key) for key in keys]
        if wanted:
            self._ask(self._client.delete, self._name, ids=wanted)

    def held(self, condition: str, most: int | None = None) -> dict[int, int]:
        """Return the checksum of each entity that fulfils a condition, by key."""
        limit = {} if most is None else {"limit": most}
        found = self._ask(
            self._client.query, self._name, filter=condition, output_fields=["key", "checksum"],
            consistency_level="Strong", **limit,
        )  # fmt: skip
        return {int(row["key"]): int(row["checksum"]) for row in found}

    def count(self, condition: str = "") -> int:
        """Return how many entities fulfil a condition."""
        found = self._ask(
            self._client.query, self._name, filter=condition, output_fields=["count(*)"],
            consistency_level="Strong",
        )  # fmt: skip
        return int(found[0]["count(*)"])

    def nearest(
        self,
        query: NDArray[np.float32],
        weights: NDArray[np.float64] | None,
        most: int,
        condition: str,
        flat: bool,
        written_at: float,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the keys of the nearest entities and their rough squared distances, in order.

        All that was written until `written_at` (seconds since 1970) is seen.
        """
        vector = lifted_query(query, weights) if flat else query
        search = {"metric_type": "IP"} if flat else {"metric_type": "L2"}
        params = {} if flat else {"ef": max(EF, most)}
        found = self._ask(
            self._client.search, self._name, [vector], limit=most, filter=condition,
            search_params={**search, "params": params}, **_seeing(written_at),
        )[0]  # fmt: skip
        keys = np.array([hit["id"] for hit in found], np.int64)
        scores = np.array([hit["distance"] for hit in found], np.float64)
        return keys, squared_of_products(scores, query, weights) if flat else scores

    def forget_deleted(self) -> None:
        """Ask Milvus to write its files anew without what was deleted."""
        self._ask(self._client.flush, self._name)
        self._ask(self._client.compact, self._name)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    @property
    def _name(self) -> str:
        return self.place.collection

    def _ask(self, call: Callable[..., Answer], *args: Any, **named: Any) -> Answer:
        """Make a call, again if it failed in passing: a node may have died and be replaced."""
        start, pause = time.monotonic(), 0.1
        while True:
            try:
                return call(*args, **{"timeout": TIMEOUT_S, **named})
            except self._pymilvus.MilvusException as error:
                lasting = any(word in str(error).lower() for word in LASTING)
                if lasting or time.monotonic() - start > PATIENCE_S:
                    raise self._as_gallery_error(error) from None
                LOG.warning("asking Milvus again after: %s", error)
                time.sleep(pause)
                pause = min(2 * pause, 2.0)

    def _as_gallery_error(self, error: Exception) -> GalleryError:
        advice = f"Is Milvus running at {self.place.server}? The record has lost nothing."
        text = str(getattr(error, "message", error))[:200]
        return GalleryError(self.place.url, f"Milvus says: {text}", "an answer", advice)


def _seeing(written_at: float) -> dict[str, Any]:
    """Return what makes a search see all that was written until then.

    'Strong' waits for Milvus's next clock tick, 0.2 s; a time that is past need not be waited for.
    """
    settled = written_at + SKEW_S
    if time.time() < settled:
        return {"consistency_level": "Strong"}
    hybrid = int(settled * 1000) << LOGICAL_BITS
    return {"consistency_level": "Customized", "guarantee_timestamp": hybrid}


def key_list(keys: Sequence[int]) -> str:
    """Return a condition that names keys."""
    return f"key in [{','.join(map(str, keys))}]"
