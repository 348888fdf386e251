"""The pages at `/`: the built one where it is there, else plain ones that the server draws itself.

The plain pages need no script at all: a form asks, pictures answer, links move the planes. They are
for browsers without WebGL and for installations without npm, and say what is missing.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Query, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from braincase.errors import BraincaseError
from braincase.images.planes import PLANES_MM
from braincase.purpose import PURPOSE
from braincase.web import schema
from braincase.web.catalogue import describe_columns
from braincase.web.image_responses import AXES, CACHING
from braincase.web.problems import Problem, problem_of
from braincase.web.routes import searches, session
from braincase.web.security.gate import Person
from braincase.web.service import Here, Service

#: Cases offered to choose from.
MOST_OFFERED = 200
#: Built files have their content in their names.
FOREVER = "public, max-age=31536000, immutable"


def add_pages(app: FastAPI, static: Path) -> None:
    """Serve the built page from `static` if it is there, and the plain one."""
    built = (static / "index.html").is_file()
    if built:
        app.add_route("/", _file(static / "index.html", "no-cache"))
        app.add_route("/icon.svg", _file(static / "icon.svg", CACHING))
        app.mount("/assets", _Assets(directory=static / "assets", check_dir=False))
        app.mount("/static", StaticFiles(directory=static))  # licences.txt
    for path in ("/plain",) if built else ("/", "/plain"):
        app.add_api_route(path, plain_page, include_in_schema=False, response_model=None)
    app.add_api_route("/plain/login", plain_login, methods=["POST"], include_in_schema=False,
                      response_model=None)  # fmt: skip
    app.add_route("/plain.css", _file(Path(__file__).parents[1] / "templates/plain.css", CACHING))


class _Assets(StaticFiles):
    """Files that browsers may keep for ever."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers["Cache-Control"] = FOREVER
        return response


def _file(path: Path, caching: str) -> Any:
    def send(request: Request) -> Response:
        if not path.is_file():
            raise Problem(404, "not_found", "There is nothing here.")
        return FileResponse(path, headers={"Cache-Control": caching})

    return send


def plain_page(
    request: Request,
    here: Here,
    case: Annotated[str, Query(max_length=200)] = "",
    k: Annotated[int, Query(ge=1, le=100)] = 8,
    where: Annotated[str, Query(max_length=2000)] = "",
    region: Annotated[str, Query(max_length=100)] = "",
    at: Annotated[str, Query(pattern=r"^(\d{1,3}-\d{1,3}-\d{1,3})?$")] = "",
) -> Response:
    """Draw a search with a stored case, its hits beside it at the same place of the brain."""
    try:
        person = here.gate.who(request)
    except Problem:
        return _page("plain_login.html", 401, message="")
    told, message = None, ""
    if case:
        regions = [schema.RegionWish(name=region)] if region else []
        wish = schema.SearchRequest(case=case, k=k, where=where, regions=regions)
        try:
            told = searches.ask(wish, here, person)
        except BraincaseError as error:
            message = problem_of(error).message
        except Problem as problem:
            message = problem.message
    content = {"case": case, "k": k, "where": where, "region": region, "message": message}
    return _page("plain.html", 200, told=told, **content, **_around(here, person, at))


def _around(here: Service, person: Person, at: str) -> dict[str, Any]:
    """Return what the plain page shows besides the answer: cases, columns, and the three planes."""
    grid = here.grid
    usual = [round((mm - grid.affine[i, 3]) / grid.resolution_mm) for i, mm in enumerate(PLANES_MM)]
    wanted = [int(part) for part in at.split("-")] if at else usual
    place = [min(i, n - 1) for i, n in zip(wanted, grid.shape, strict=True)]
    version, cases = here.catalogue.cases()
    return {
        "name": here.name,
        "version": version,
        "total": len(cases),
        "cases": [c.scan_id for c in cases[:MOST_OFFERED]],
        "columns": describe_columns(cases),
        "place": dict(zip(AXES, place, strict=True)),
        "steps": {plane: _steps(place, axis, grid.shape[axis]) for plane, axis in AXES.items()},
        "built": (here.settings.static / "index.html").is_file(),
        "can_upload": here.desk is not None,
        "user": person.name,
    }


def _steps(place: list[int], axis: int, n: int) -> list[tuple[str, str]]:
    """Return links to neighbouring slices of one plane: pairs (label, position)."""
    steps = []
    for label, step in (("-5", -5), ("-1", -1), ("+1", 1), ("+5", 5)):
        moved = list(place)
        moved[axis] = max(0, min(n - 1, place[axis] + step))
        steps.append((label, "-".join(map(str, moved))))
    return steps


async def plain_login(request: Request, here: Here) -> Response:
    """Begin a session from the plain page's form."""
    form = parse_qs((await request.body()).decode("utf-8", "replace"))
    name, password = (form.get(key, [""])[0] for key in ("user", "password"))
    response = RedirectResponse("/plain", 303)
    try:
        wish = schema.Login(user=name, password=password)
        session.login(wish, request, response, here)
    except (Problem, ValueError) as error:
        text = error.message if isinstance(error, Problem) else "Name and password, please."
        return _page("plain_login.html", 401, message=text)
    return response


def _page(template: str, status: int, **content: Any) -> Response:
    return HTMLResponse(
        _templates().get_template(template).render(purpose=PURPOSE, **content), status
    )


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("braincase.web"), autoescape=True, undefined=StrictUndefined
    )
