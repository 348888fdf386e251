"""One search from start to end: whatever names the query, its hits, and their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from braincase.errors import ParameterError, UnknownCaseError
from braincase.gallery import (
    Code,
    Gallery,
    Query,
    SearchResult,
    StoredCase,
    Weights,
    checked_code,
    open_gallery,
)
from braincase.images.atlas import load_regions, mask_file_weights, region_weights
from braincase.images.geometry import grid_of_resolution
from braincase.population.similarity import SIMILARITIES, rank_by_axes
from braincase.population.volumes import stored_volume
from braincase.search.nearest import search
from braincase.search.options import SearchOptions
from braincase.search.query_scan import QueryScan, read_query
from braincase.search.refine import learn_direction, refined_code

if TYPE_CHECKING:
    from braincase.models.model import Model


@dataclass(frozen=True)
class FinishedSearch:
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
    similar_by
        By which similarity the hits are ranked; see `SearchOptions`.
    moves
        How the query's code was moved, a sentence each.
    model
        The model that embedded the scan, where one did.
    """

    gallery: Gallery
    query: Query
    result: SearchResult
    scan: QueryScan | None = None
    similar_by: str = "code"
    moves: tuple[str, ...] = ()
    model: Model | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of query and result, a sentence each."""
        return (*(self.scan.notes if self.scan else ()), *self.moves, *self.result.notes)

    def volume(self) -> NDArray[np.uint8] | None:
        """Return the query's standard volume, uint8, where it can be had."""
        if self.scan is not None:
            return self.scan.volume
        if self.query.scan_id is None:
            return None
        case = _case_of(self.gallery, self.query.scan_id, self.result.gallery_version)
        return stored_volume(case, grid_of_resolution(self.gallery.info().resolution_mm))


def ask(
    scan: str, gallery_url: str, model_folder: Path | None, wish: SearchOptions
) -> FinishedSearch:
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
        return search_by_case(open_gallery(gallery_url), scan, wish)
    if model_folder is None:
        raise ParameterError("model", "none given", "the model of the gallery, to embed the scan")
    from braincase.models.model import load_model  # imports torch: not needed for a case

    model = load_model(model_folder)
    gallery = open_gallery(gallery_url, model.fingerprint)
    read = read_query(Path(scan), model.grid, model.recipe, series=wish.series)
    return search_by_volume(gallery, model, read, wish)


def search_by_case(gallery: Gallery, scan_id: str, wish: SearchOptions) -> FinishedSearch:
    """Search a gallery with one of its own cases.

    Raises
    ------
    UsageError
        If there is no such case, or the wish cannot be fulfilled.
    """
    case = _case_of(gallery, scan_id, wish.as_of)
    query = Query(
        case.code,
        gallery.fingerprint,
        scan_id=case.scan_id,
        subject=wish.subject or case.subject,
        labels=case.labels,
    )
    return _asked(gallery, query, None, wish)


def search_by_volume(
    gallery: Gallery, model: Model, scan: QueryScan, wish: SearchOptions
) -> FinishedSearch:
    """Search a gallery with a standard volume.

    Raises
    ------
    FingerprintError
        If the model is not the gallery's.
    UsageError
        If the wish cannot be fulfilled.
    """
    from braincase.models.embed import embedder

    code = embedder(model)(scan.volume[None])[0]
    asked = search_by_embedding(gallery, code, model.fingerprint, scan, wish)
    return replace(asked, model=model)


def search_by_embedding(
    gallery: Gallery, code: ArrayLike, fingerprint: str, scan: QueryScan, wish: SearchOptions
) -> FinishedSearch:
    """Search a gallery with a standard volume whose code is known, as `search_by_volume` does.

    Parameters
    ----------
    gallery
        Where to search.
    code, fingerprint
        Shape (n_cells,), and the model that made it.
    scan
        The volume and what is known of it.
    wish
        What to look for.
    """
    query = Query(
        code,
        fingerprint,
        scan_id=scan.scan_id,
        subject=wish.subject or scan.subject,
        labels=scan.labels,
        image_hash=scan.image_hash,
    )
    return _asked(gallery, query, scan, wish)


def search_by_code(gallery: Gallery, code: ArrayLike, wish: SearchOptions) -> FinishedSearch:
    """Search a gallery with a code, of which nothing else is known.

    Parameters
    ----------
    gallery
        Its model must have made the code.
    code
        Shape (n_cells,).
    wish
        What to look for.

    Raises
    ------
    UsageError
        If the code has another shape, or the wish cannot be fulfilled.
    """
    return _asked(gallery, Query(code, gallery.fingerprint, subject=wish.subject), None, wish)


def _asked(
    gallery: Gallery, query: Query, scan: QueryScan | None, wish: SearchOptions
) -> FinishedSearch:
    """Put the wish into the query, and search."""
    if wish.similar_by not in SIMILARITIES:
        raise ParameterError("similar_by", wish.similar_by, " or ".join(SIMILARITIES))
    weights, name = weights_of(wish.regions, wish.mask)
    if weights is not None and wish.similar_by != "code":
        raise ParameterError("similar_by", "regions or a mask as well", "one of the two")
    code, moves = _moved(gallery, query, wish)
    query = replace(
        query,
        code=code,
        own_code=query.code if moves else None,
        k=wish.k,
        where=wish.where,
        as_of=wish.as_of,
        weights=weights,
        weights_name=name,
        labels={**query.labels, **wish.known},
    )
    asked = FinishedSearch(gallery, query, search(gallery, query), scan, moves=moves)
    if wish.similar_by == "code":
        return asked
    ranked = rank_by_axes(gallery, query, asked.result, wish.similar_by)
    return replace(asked, result=ranked, similar_by=wish.similar_by)


def weights_of(regions: Sequence[str], mask: Path | None) -> tuple[Weights | None, str | None]:
    """Return the cell weights of regions and a mask together, and what they are called."""
    parts = [region_weights(regions, load_regions())] if regions else []
    parts += [mask_file_weights(mask)] if mask is not None else []
    if not parts:
        return None, None
    return np.sum([weights for weights, _ in parts], axis=0), " + ".join(name for _, name in parts)


def _moved(
    gallery: Gallery, query: Query, wish: SearchOptions
) -> tuple[ArrayLike, tuple[str, ...]]:
    """Return the code moved by examples and years, and what was done, a sentence each."""
    code, told = query.code, []
    if wish.plus or wish.minus:
        plus = _codes_of(gallery, wish.plus, "plus", wish.as_of)
        minus = _codes_of(gallery, wish.minus, "minus", wish.as_of)
        code = refined_code([_checked(gallery, code)], plus, minus)
        parts = [f"towards {', '.join(wish.plus)}"] * bool(plus)
        parts += [f"away from {', '.join(wish.minus)}"] * bool(minus)
        told.append(f"The query was moved {' and '.join(parts)}.")
    if wish.older:
        direction = learn_direction(gallery, "age", as_of=wish.as_of)
        code = direction.moved(_checked(gallery, code), wish.older)
        how = "older" if wish.older > 0 else "younger"
        told.append(
            f"The query was made {abs(wish.older):g} years {how}, along what changes with age among"
            f" {direction.people} people of the gallery."
        )
    return code, tuple(told)


def _checked(gallery: Gallery, code: ArrayLike) -> Code:
    return checked_code(code, gallery.info().n_dimensions, "query")


def _codes_of(
    gallery: Gallery, scan_ids: Sequence[str], parameter: str, as_of: int | None
) -> list[Code]:
    found = gallery.find(scan_ids, as_of)
    for scan_id in scan_ids:
        if scan_id not in found:
            raise UnknownCaseError(parameter, f"no scan '{scan_id}'", "scan_ids of the gallery")
    return [found[scan_id].code for scan_id in scan_ids]


def _case_of(gallery: Gallery, scan_id: str, as_of: int | None) -> StoredCase:
    """Return a case as it was at that version, or as it is now where it was not there yet."""
    found = gallery.find([scan_id], as_of)
    return found[scan_id] if scan_id in found else gallery.get(scan_id)
