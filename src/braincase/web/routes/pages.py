"""Static files of the single-page application, and plain HTML pages rendered on the server.

The plain pages need no script at all: a form asks, pictures answer, links move the planes. They are
for browsers without WebGL and for installations without npm, and say what is missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import FastAPI, Query, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import PathLike, StaticFiles
from starlette.types import Scope

from braincase.errors import BraincaseError
from braincase.images.planes import PLANES_MM
from braincase.purpose import PURPOSE
from braincase.search.cells import without_cells
from braincase.web import schema
from braincase.web.catalogue import describe_columns
from braincase.web.image_responses import AXES, CACHING
from braincase.web.problems import Problem, problem_of
from braincase.web.routes import searches, session
from braincase.web.security.gate import Principal
from braincase.web.service import CurrentService, Service

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
    """Static files that browsers may cache for ever."""

    def file_response(
        self,
        full_path: PathLike,
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = FOREVER
        return response


def _file(path: Path, caching: str) -> Callable[[Request], Response]:
    def send(request: Request) -> Response:
        if not path.is_file():
            raise Problem(404, "not_found", "There is nothing here.")
        return FileResponse(path, headers={"Cache-Control": caching})

    return send


def plain_page(
    request: Request,
    service: CurrentService,
    case: Annotated[str, Query(max_length=200)] = "",
    k: Annotated[int, Query(ge=1, le=100)] = 8,
    where: Annotated[str, Query(max_length=2000)] = "",
    region: Annotated[str, Query(max_length=100)] = "",
    at: Annotated[str, Query(pattern=r"^(\d{1,3}-\d{1,3}-\d{1,3})?$")] = "",
) -> Response:
    """Render a search with a stored case as HTML, its hits at the same place of the brain."""
    try:
        principal = service.gate.authenticate(request)
    except Problem:
        return _login_page(service, "")
    answer, message = None, ""
    own = request.headers.get("sec-fetch-site", "none") in ("same-origin", "none")
    if case and own:  # a link on another site only fills in the form
        regions = [schema.RegionRequest(name=region)] if region else []
        search = schema.SearchRequest(case=case, k=k, where=where, regions=regions)
        try:
            answer = searches.ask(search, service, principal)
        except BraincaseError as error:
            message = problem_of(error).message
        except Problem as problem:
            message = problem.message
    content = {"case": case, "k": k, "where": where, "region": region, "message": message}
    return html_page("plain.html", 200, answer=answer, **content, **_around(service, principal, at))


def _around(service: Service, principal: Principal, at: str) -> dict[str, object]:
    """Return what the plain page shows besides the answer: cases, columns, and the three planes."""
    grid = service.grid
    usual = [round((mm - grid.affine[i, 3]) / grid.resolution_mm) for i, mm in enumerate(PLANES_MM)]
    wanted = [int(part) for part in at.split("-")] if at else usual
    place = [min(i, n - 1) for i, n in zip(wanted, grid.shape, strict=True)]
    version, cases = service.catalogue.cases()
    return {
        "name": service.name,
        "version": version,
        "total": len(cases),
        "cases": [c.scan_id for c in cases[:MOST_OFFERED]],
        "columns": describe_columns(cases),
        "place": dict(zip(AXES, place, strict=True)),
        "steps": {plane: _steps(place, axis, grid.shape[axis]) for plane, axis in AXES.items()},
        "built": (service.settings.static / "index.html").is_file(),
        "can_upload": service.queue is not None,
        "without_regions": without_cells(service.gallery.info(version)),
        "user": principal.shown,
    }


def _steps(place: list[int], axis: int, n: int) -> list[tuple[str, str]]:
    """Return links to neighbouring slices of one plane: pairs (label, position)."""
    steps = []
    for label, step in (("-5", -5), ("-1", -1), ("+1", 1), ("+5", 5)):
        moved = list(place)
        moved[axis] = max(0, min(n - 1, place[axis] + step))
        steps.append((label, "-".join(map(str, moved))))
    return steps


async def plain_login(request: Request, service: CurrentService) -> Response:
    """Begin a session from the plain page's form."""
    form = parse_qs((await request.body()).decode("utf-8", "replace"))
    name, password = (form.get(key, [""])[0] for key in ("user", "password"))
    response = RedirectResponse("/plain", 303)
    try:
        credentials = schema.LoginRequest(user=name, password=password)
        # Hashing takes half a second: in a thread, so that everybody else is answered meanwhile.
        await run_in_threadpool(session.login, credentials, request, response, service)
    except (Problem, ValueError) as error:
        text = error.message if isinstance(error, Problem) else "Name and password, please."
        return _login_page(service, text)
    return response


def _login_page(service: Service, message: str) -> Response:
    provider = service.gate.oidc.settings.name if service.gate.oidc else ""
    password = service.settings.users is not None or not provider
    return html_page("plain_login.html", 401, message=message, provider=provider, password=password)


def html_page(template: str, status: int, **content: object) -> HTMLResponse:
    """Render a plain HTML page."""
    return HTMLResponse(
        _templates().get_template(template).render(purpose=PURPOSE, **content), status
    )


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("braincase.web"), autoescape=True, undefined=StrictUndefined
    )
