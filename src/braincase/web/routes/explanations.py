"""Map endpoints: difference and z maps of a search, the atlas, and the embedding map (PCA)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from fastapi import Query, Request, Response
from numpy.typing import NDArray

from braincase.answer.maps import agreement_map, difference_map
from braincase.gallery import StoredCase
from braincase.images.atlas import label_volume
from braincase.images.volume import encode_volume, write_volume
from braincase.labels import age_and_sex
from braincase.population.normative import deviation_of
from braincase.population.spread import VoxelSpread
from braincase.population.usual import Usual, usual_of
from braincase.preprocess.space.standard import to_grid
from braincase.preprocess.space.template import template_brain
from braincase.web import schema
from braincase.web.catalogue import finite
from braincase.web.image_responses import bytes_response, file_response, tag_of
from braincase.web.problems import Problem, not_found
from braincase.web.routes.cases import label_column
from braincase.web.routes.searches import MOST_NAME, find
from braincase.web.search_cache import AnsweredSearch, MapFile
from braincase.web.security.gate import Reader
from braincase.web.service import CurrentService, Service

#: Spreads and normative models that stay in memory; all lie in the gallery's cache.
MOST_USUAL = 4


def explaining_map(
    search: str,
    scan_id: str,
    kind: Literal["difference", "agreement"],
    request: Request,
    service: CurrentService,
    principal: Reader,
) -> Response:
    """Send the difference map of query and hit (in usual spreads), or their agreement (0 to 1)."""
    answered = find(search, service, principal)
    case = _case_in(service, answered, scan_id)
    service.note_view(principal, scan_id=scan_id, kind=kind)
    query, hit = _query_volume(service, answered), service.volume_of(case)

    def make() -> NDArray[np.float32]:
        spread = _spread(_usual(service, answered))
        difference = difference_map(query, hit, service.grid, spread)
        return difference if kind == "difference" else agreement_map(difference)

    named = ("explain", query.tobytes(), case.image_hash, scan_id, kind, *_learned_from(answered))
    return _send(service, request, answered, make, *named)


def _spread(usual: Usual) -> VoxelSpread:
    """Return the usual spread, by the library's own rules for too few people."""
    if usual.spread is None:
        text = "How much people usually differ is not known: too few cases have images."
        raise Problem(404, "few_images", text)
    return usual.spread


def _learned_from(answered: AnsweredSearch) -> tuple[str, int]:
    """Return who the controls are, and the version whose lessons hold for an answer."""
    finished = answered.finished
    return finished.controls, finished.learned_at or finished.result.gallery_version


def _usual(service: Service, answered: AnsweredSearch) -> Usual:
    """Return what is usual and what is normal, as the answer knew it, from memory or learned."""
    finished, key = answered.finished, _learned_from(answered)
    with service.lock:
        there = service.usual.get(key)
    if there is not None:
        return there
    version = finished.result.gallery_version
    usual = usual_of(service.gallery, version, finished.controls, learned_at=finished.learned_at)
    with service.lock:
        while len(service.usual) >= MOST_USUAL:
            service.usual.pop(next(iter(service.usual)))
        service.usual[key] = usual
    return usual


def deviation_map(
    search: str, scan_id: str, request: Request, service: CurrentService, principal: Reader
) -> Response:
    """Send the z map of a hit, or of `query`: how far it is from normal for age and sex."""
    answered = find(search, service, principal)
    if scan_id == "query":
        volume, labels = _query_volume(service, answered), answered.finished.query.labels
    else:
        case = _case_in(service, answered, scan_id)
        service.note_view(principal, scan_id=scan_id, kind="deviation")
        volume, labels = service.volume_of(case), case.labels
    normal = _usual(service, answered).controls
    if normal is None:
        text = "What is normal is not known: the gallery has too few controls with age and sex."
        raise Problem(404, "no_controls", text)
    known = age_and_sex(labels)
    if known is None:
        raise Problem(404, "no_age", "The distance from normal needs the person's age and sex.")
    return _send(
        service,
        request,
        answered,
        lambda: deviation_of(normal.model, volume, *known).z_map,
        *("deviation", volume.tobytes(), *known, *_learned_from(answered)),
    )


def _case_in(service: Service, answered: AnsweredSearch, scan_id: str) -> StoredCase:
    """Return a case as it was in the version of the gallery that was searched."""
    case = service.gallery.find([scan_id], answered.body.gallery_version).get(scan_id)
    if case is None:
        raise not_found(f"case '{scan_id}'")
    return case


def _query_volume(service: Service, answered: AnsweredSearch) -> NDArray[np.uint8]:
    if answered.finished.scan is not None:
        return answered.finished.scan.volume
    if answered.request.case is None:
        raise Problem(404, "no_image", "A search by a code alone has no image to compare.")
    case = service.gallery.get(answered.request.case, answered.body.gallery_version)
    return service.volume_of(case)


def _send(
    service: Service,
    request: Request,
    answered: AnsweredSearch,
    make: Callable[[], NDArray[np.float32]],
    *parts: object,
) -> Response:
    """Send a map of a search, from memory or made now; no map is written to the disk."""
    upload = answered.upload
    name = tag_of(*parts, upload)
    made = service.searches.maps.get(name)
    if made is None:
        content = encode_volume(make(), service.grid.affine)
        made = service.searches.maps.put(name, MapFile(content, upload))
    return bytes_response(request, made.content)


def gallery_map(
    service: CurrentService,
    principal: Reader,
    colour: Annotated[str | None, Query(max_length=200)] = None,
    search: Annotated[str | None, Query(max_length=MOST_NAME)] = None,
) -> schema.MapBody:
    """Project all cases, and the query of a search, on two principal components."""
    version, cases, layout = service.catalogue.layout()
    names = list(dict.fromkeys(name for case in cases for name in case.labels))
    colour = colour or label_column(service, names)
    if colour is not None and colour not in names:
        raise Problem(400, "usage", f"The gallery has no column '{colour}' to colour by.")
    query = None
    if search:
        code = np.asarray(find(search, service, principal).finished.query.code)
        x, y = layout.project(code)
        query = schema.PlaceBody(x=x, y=y)
    points = [
        schema.PointBody(
            scan_id=case.scan_id,
            subject=case.subject,
            x=float(x),
            y=float(y),
            value=finite(case.labels.get(colour)) if colour else None,
        )
        for case, (x, y) in zip(cases, layout.places, strict=True)
    ]
    return schema.MapBody(
        version=version,
        columns=names,
        colour=colour,
        explained=list(layout.explained),
        points=points,
        query=query,
    )


def regions(service: CurrentService, principal: Reader) -> list[schema.RegionBody]:
    """List the regions of the atlas and their values in its image."""
    _, names = label_volume(service.grid)
    return [
        schema.RegionBody(index=place, name=name, hemisphere=_side(name))
        for place, name in enumerate(names, start=1)
    ]


def _side(name: str) -> Literal["left", "right", "both"]:
    if name.startswith("left-"):
        return "left"
    return "right" if name.startswith("right-") else "both"


def atlas(request: Request, service: CurrentService, principal: Reader) -> Response:
    """Send the atlas on the gallery's grid as NIfTI."""

    def make() -> NDArray[np.int16]:
        return (label_volume(service.grid)[0] + 1).astype(np.int16)

    return _send_fixed(service, request, "atlas", make)


def template(request: Request, service: CurrentService, principal: Reader) -> Response:
    """Send the MNI152 template's brain on the gallery's grid as NIfTI."""

    def make() -> NDArray[np.float32]:
        return to_grid(template_brain(), service.grid)

    return _send_fixed(service, request, "template", make)


def _send_fixed(
    service: Service, request: Request, name: str, make: Callable[[], NDArray[np.generic]]
) -> Response:
    path = service.folder / "fixed" / f"{name}.nii.gz"
    if not path.exists():
        write_volume(path, make(), service.grid.affine)
    return file_response(request, path)
