"""Images in MNI space that explain a search, and the atlas and template they lie on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from fastapi import Query, Request, Response
from numpy.typing import NDArray

from braincase.answer.maps import agreement_map, difference_map
from braincase.errors import BraincaseError
from braincase.images.atlas import label_volume
from braincase.images.volume import write_volume
from braincase.labels import knows_age_and_sex
from braincase.population.controls import ControlModel, control_model_of
from braincase.population.normative import deviation_of
from braincase.population.spread import VoxelSpread, usual_spread
from braincase.population.volumes import stored_volume
from braincase.preprocess.space.standard import to_grid
from braincase.preprocess.space.template import template_brain
from braincase.web import schema
from braincase.web.catalogue import plain
from braincase.web.image_responses import file_response, tag_of
from braincase.web.problems import Problem, not_found
from braincase.web.routes.cases import label_column
from braincase.web.routes.searches import MOST_NAME, find
from braincase.web.security.gate import Reader
from braincase.web.service import Here, Search, Service

#: Maps kept on disk; the oldest go first.
KEPT_FILES = 200
#: People whose images tell the usual spread where controls are few; fewer than three tell nothing.
MOST_PEOPLE, FEWEST_PEOPLE = 60, 3
#: The normative model is fitted again when the gallery has grown or shrunk by more than this.
GROWTH = 0.1


def explaining_map(
    search: str,
    scan_id: str,
    kind: Literal["difference", "agreement"],
    request: Request,
    here: Here,
    person: Reader,
) -> Response:
    """Send where query and hit differ (in usual spreads) or agree (0 to 1)."""
    found = find(search, here, person)
    case = here.gallery.find([scan_id], found.told.gallery_version).get(scan_id)
    if case is None:
        raise not_found(f"case '{scan_id}'")
    query, hit = _query_volume(here, found), here.volume_of(case)

    def make() -> NDArray[np.float32]:
        difference = difference_map(query, hit, here.grid, _spread(here))
        return difference if kind == "difference" else agreement_map(difference)

    return _send(here, request, make, "explain", query.tobytes(), case.image_hash, scan_id, kind)


def _spread(here: Service) -> VoxelSpread:
    """Return how much people usually differ: the controls, or where they are few, anybody."""
    normal = normal_here(here)
    if normal is not None:
        return normal.spread()
    with here.lock:
        if here.learned.spread is None:
            people = here.gallery.one_scan_each(MOST_PEOPLE)
            images = (stored_volume(case, here.grid) for case in people)
            spread = usual_spread((v for v in images if v is not None), here.grid)
            if spread.n < FEWEST_PEOPLE:
                text = "How much people usually differ is not known: too few cases have images."
                raise Problem(404, "few_images", text)
            here.learned.spread = spread
        return here.learned.spread


def deviation_map(
    search: str, scan_id: str, request: Request, here: Here, person: Reader
) -> Response:
    """Send how far a hit, or `query`, is from normal for age and sex (z)."""
    found = find(search, here, person)
    if scan_id == "query":
        volume, labels = _query_volume(here, found), found.asked.query.labels
    else:
        case = here.gallery.find([scan_id], found.told.gallery_version).get(scan_id)
        if case is None:
            raise not_found(f"case '{scan_id}'")
        volume, labels = here.volume_of(case), case.labels
    normal = normal_here(here)
    if normal is None:
        text = "What is normal is not known: the gallery has too few controls with age and sex."
        raise Problem(404, "no_controls", text)
    if not knows_age_and_sex(labels):
        raise Problem(404, "no_age", "The distance from normal needs the person's age and sex.")
    age, sex = float(labels["age"] or 0), str(labels["sex"])
    return _send(
        here,
        request,
        lambda: deviation_of(normal.model, volume, age, sex).z_map,
        *("deviation", volume.tobytes(), age, sex),
    )


def normal_here(here: Service) -> ControlModel | None:
    """Return what is normal in this gallery, fitted when first asked for; None if unknown.

    It is fitted again only when the gallery has changed much: a single case changes nothing that
    can be seen, and a fit takes seconds.
    """
    with here.lock:
        info, learned = here.gallery.info(), here.learned
        if abs(info.cases - learned.cases) > GROWTH * max(learned.cases, 1):
            learned.spread, learned.cases = None, info.cases
            try:
                learned.normal = control_model_of(here.gallery, info.version)
            except BraincaseError:
                learned.normal = None
        return learned.normal


def _query_volume(here: Service, found: Search) -> NDArray[np.uint8]:
    if found.asked.scan is not None:
        return found.asked.scan.volume
    if found.wish.case is None:
        raise Problem(404, "no_image", "A search by a code alone has no image to compare.")
    case = here.gallery.get(found.wish.case, found.told.gallery_version)
    return here.volume_of(case)


def _send(
    here: Service, request: Request, make: Callable[[], NDArray[np.float32]], *parts: object
) -> Response:
    """Send a map, made now or kept from before."""
    path = here.folder / f"{tag_of(*parts)[1:-1]}.nii.gz"
    if not path.exists():
        write_volume(path, make(), here.grid.affine)
        _forget_oldest(here.folder)
    return file_response(request, path)


def _forget_oldest(folder: Path) -> None:
    files = sorted(folder.glob("*.nii.gz"), key=lambda file: file.stat().st_mtime)
    for file in files[:-KEPT_FILES]:
        file.unlink(missing_ok=True)


def gallery_map(
    here: Here,
    person: Reader,
    colour: Annotated[str | None, Query(max_length=200)] = None,
    search: Annotated[str | None, Query(max_length=MOST_NAME)] = None,
) -> schema.Map:
    """Lay all cases out in two dimensions, and the query of a search among them."""
    version, cases, layout = here.catalogue.layout()
    names = list(dict.fromkeys(name for case in cases for name in case.labels))
    colour = colour or label_column(here, names)
    if colour is not None and colour not in names:
        raise Problem(400, "usage", f"The gallery has no column '{colour}' to colour by.")
    query = None
    if search:
        code = np.asarray(find(search, here, person).asked.query.code)
        x, y = layout.parse_url(code)
        query = schema.Place(x=x, y=y)
    points = [
        schema.Point(
            scan_id=case.scan_id,
            subject=case.subject,
            x=float(x),
            y=float(y),
            value=plain(case.labels.get(colour)) if colour else None,
        )
        for case, (x, y) in zip(cases, layout.places, strict=True)
    ]
    return schema.Map(
        version=version,
        columns=names,
        colour=colour,
        explained=list(layout.explained),
        points=points,
        query=query,
    )


def regions(here: Here, person: Reader) -> list[schema.Region]:
    """List the regions of the atlas and their values in its image."""
    _, names = label_volume(here.grid)
    return [
        schema.Region(index=place, name=name, hemisphere=_side(name))
        for place, name in enumerate(names, start=1)
    ]


def _side(name: str) -> Literal["left", "right", "both"]:
    if name.startswith("left-"):
        return "left"
    return "right" if name.startswith("right-") else "both"


def atlas(request: Request, here: Here, person: Reader) -> Response:
    """Send the atlas on the gallery's grid as NIfTI."""

    def make() -> NDArray[np.int16]:
        return (label_volume(here.grid)[0] + 1).astype(np.int16)

    return _send_fixed(here, request, "atlas", make)


def template(request: Request, here: Here, person: Reader) -> Response:
    """Send the MNI152 template's brain on the gallery's grid as NIfTI."""

    def make() -> NDArray[np.float32]:
        return to_grid(template_brain(), here.grid)

    return _send_fixed(here, request, "template", make)


def _send_fixed(
    here: Service, request: Request, name: str, make: Callable[[], NDArray[np.generic]]
) -> Response:
    path = here.folder / "fixed" / f"{name}.nii.gz"
    if not path.exists():
        write_volume(path, make(), here.grid.affine)
    return file_response(request, path)
