"""One search from start to end: whatever names the query, its hits, and their pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braincase.checkpoint import Model, load_model
from braincase.embed import embedder
from braincase.errors import UsageError
from braincase.explain import explain
from braincase.gallery import Gallery, Hit, Query, SearchResult, open_gallery
from braincase.geometry import grid_of_resolution
from braincase.normal import stored_volume
from braincase.pictures import (
    CasePicture,
    details_of,
    draw_search,
    hit_picture,
    query_picture,
    write_search_html,
)
from braincase.query import QueryScan, read_query
from braincase.regions import load_regions, region_weights
from braincase.search import search

#: How many regions are named for each hit.
TOP_REGIONS = 3


@dataclass(frozen=True)
class Wish:
    """What to look for.

    Parameters
    ----------
    k
        Number of hits.
    where
        Filter on the gallery's columns; empty for none.
    subject
        Whose scan the query is, where the user says so.
    as_of
        An earlier version of the gallery.
    regions
        Regions of the atlas to compare, such as ``left-hippocampus`` or ``temporal:0.5``; empty for
        the whole brain.
    """

    k: int = 10
    where: str = ""
    subject: str | None = None
    as_of: int | None = None
    regions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """A finished search.

    Parameters
    ----------
    gallery
        Where it was made.
    query
        What was asked.
    result
        What was found.
    scan
        The query's volume, unless it is a case of the gallery.
    """

    gallery: Gallery
    query: Query
    result: SearchResult
    scan: QueryScan | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of query and result, a sentence each."""
        return (*(self.scan.notes if self.scan else ()), *self.result.notes)

    def volume(self) -> NDArray[np.uint8] | None:
        """Return the query's standard volume, uint8, where it can be had."""
        if self.scan is not None:
            return self.scan.volume
        if self.query.scan_id is None:
            return None
        found = self.gallery.find([self.query.scan_id], self.result.gallery_version)
        grid = grid_of_resolution(self.gallery.info().resolution_mm)
        return next((stored_volume(case, grid) for case in found.values()), None)


def ask(scan: str, gallery_url: str, model_folder: Path | None, wish: Wish) -> Asked:
    """Search a gallery with a scan, or with one of its own cases.

    Parameters
    ----------
    scan
        A path to a raw or prepared scan, or the scan_id of a case.
    gallery_url
        The gallery.
    model_folder
        The model the gallery was made with; not needed for a case.
    wish
        What to look for.

    Raises
    ------
    UsageError
        If there is no such scan or case, or no model for a scan.
    FingerprintError
        If the model is not the gallery's.
    """
    if not Path(scan).exists():
        gallery = open_gallery(gallery_url)
        case = gallery.get(scan)
        query = _wished(wish, Query(case.code, gallery.fingerprint, labels=case.labels))
        query = replace(query, scan_id=case.scan_id, subject=wish.subject or case.subject)
        return Asked(gallery, query, search(gallery, query))
    if model_folder is None:
        raise UsageError("--model", "none given", "the model of the gallery, to embed the scan")
    model = load_model(model_folder)
    gallery = open_gallery(gallery_url, model.fingerprint)
    return ask_with_volume(gallery, model, read_query(Path(scan), model.grid, model.recipe), wish)


def ask_with_volume(gallery: Gallery, model: Model, scan: QueryScan, wish: Wish) -> Asked:
    """Search a gallery with a standard volume."""
    code = embedder(model)(scan.volume[None])[0]
    query = replace(
        _wished(wish, Query(code, model.fingerprint, labels=scan.labels)),
        scan_id=scan.scan_id,
        subject=wish.subject or scan.subject,
        image_hash=scan.image_hash,
    )
    return Asked(gallery, query, search(gallery, query), scan)


def _wished(wish: Wish, query: Query) -> Query:
    """Put filter, number, version and regions of the wish into a query."""
    weights, name = None, None
    if wish.regions:
        weights, name = region_weights(wish.regions, load_regions())
    return replace(
        query,
        k=wish.k,
        where=wish.where,
        as_of=wish.as_of,
        weights=weights,
        weights_name=name,
    )


def top_regions(asked: Asked) -> dict[str, list[tuple[str, float]]]:
    """Return, for each hit, the regions with the largest shares of its squared distance.

    The shares of all regions sum to 1; see `braincase.explain`.
    """
    regions, told = load_regions(), {}
    for hit in asked.result.hits:
        case = asked.gallery.get(hit.scan_id, as_of=asked.result.gallery_version)
        parts = explain(asked.query.code, case.code, regions, asked.query.weights)
        total = max(parts.squared_distance, 1e-12)
        largest = sorted(parts.by_region.items(), key=lambda item: -item[1])[:TOP_REGIONS]
        told[hit.scan_id] = [(name, round(value / total, 3)) for name, value in largest]
    return told


def draw(asked: Asked, png: Path | None, html: Path | None) -> None:
    """Draw query and hits in three planes, as a PNG file, an HTML file, or both."""
    if not (png or html):
        return
    query = _picture_of_query(asked)
    hits = [
        hit_picture(asked.gallery, hit, asked.result.gallery_version) for hit in asked.result.hits
    ]
    earlier = [
        hit_picture(asked.gallery, hit, asked.result.gallery_version)
        for hit in asked.result.same_subject
    ]
    if png:
        draw_search(query, hits, earlier, png)
    if html:
        write_search_html(query, hits, earlier, asked.result, html)


def _picture_of_query(asked: Asked) -> CasePicture:
    if asked.scan is None:
        return _picture_of_case(asked.gallery, str(asked.result.query_id))
    grid = grid_of_resolution(asked.gallery.info().resolution_mm)
    return query_picture(asked.scan.volume, grid, asked.result)


def _picture_of_case(gallery: Gallery, scan_id: str) -> CasePicture:
    case = gallery.get(scan_id)
    itself = Hit(0, case.scan_id, case.subject, case.session, 0.0, 1.0, case.labels)
    details = details_of(case.labels)
    return replace(hit_picture(gallery, itself), heading=f"Query: {scan_id}", details=details)


def count_labels(result: SearchResult, label: str) -> dict[str, int]:
    """Return what the hits' label says, counted: {"CN": 2, "AD": 8}."""
    values = [str(hit.labels.get(label)) for hit in result.hits]
    return {value: values.count(value) for value in sorted(set(values))}
