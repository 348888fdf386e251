"""The FastAPI application: a table of routes, and exception handlers for every failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import Lifespan

from braincase.errors import BraincaseError
from braincase.purpose import PURPOSE
from braincase.web import health, schema
from braincase.web.image_responses import NIFTI
from braincase.web.middleware import Guard, failure
from braincase.web.problems import Problem, problem_of
from braincase.web.routes import (
    archive,
    cases,
    explanations,
    pages,
    report,
    searches,
    session,
    sign_in,
    tokens,
    uploads,
)
from braincase.web.security.gate import MetricsAccess
from braincase.web.service import CurrentService, open_service
from braincase.web.service_settings import ServiceSettings

PREFIX = "/api/v1"
PNG, HTML, TSV = "image/png", "text/html", "text/tab-separated-values"
EVENTS, METRICS = "text/event-stream", "text/plain; version=0.0.4"


@dataclass(frozen=True)
class Route:
    """One route of the REST service.

    Parameters
    ----------
    method, path
        As HTTP has it; the path stands below `PREFIX`.
    endpoint
        The function.
    fails
        The statuses, besides those of every route, with which it may fail.
    sends
        The kind of a binary or text answer; empty for JSON records.
    status
        Of success.
    fails_as_page
        Whether a failure too is a page for a person, beside the JSON record.
    """

    method: str
    path: str
    endpoint: Callable[..., object]
    fails: tuple[int, ...] = ()
    sends: str = ""
    status: int = 200
    fails_as_page: bool = False


ROUTES = (
    Route("GET", "/health", health.health),
    Route("GET", "/ready", health.ready),
    Route("GET", "/me", session.me, (401,)),
    Route("GET", "/login", sign_in.sign_in_choices),
    Route("POST", "/login", session.login, (401, 404)),
    Route("POST", "/logout", session.logout, (401,)),
    Route("GET", "/oidc/login", sign_in.begin_sign_in, (404,), HTML, 303, True),
    Route("GET", "/oidc/callback", sign_in.finish_sign_in, (404,), HTML,
          fails_as_page=True),
    Route("POST", "/password", session.change_password, (401, 404)),
    Route("GET", "/sessions", session.list_sessions, (401,)),
    Route("DELETE", "/sessions", session.end_sessions, (401,)),
    Route("GET", "/tokens", tokens.list_tokens, (401, 404)),
    Route("POST", "/tokens", tokens.make_token, (401, 404), status=201),
    Route("DELETE", "/tokens/{token}", tokens.revoke, (401, 404)),
    Route("GET", "/gallery", cases.gallery, (401,)),
    Route("GET", "/gallery/map", explanations.gallery_map, (401, 404)),
    Route("GET", "/cases", cases.list_cases, (401,)),
    Route("POST", "/cases", cases.add_case, (401, 404, 409, 422, 507), status=201),
    Route("GET", "/cases/{scan_id}", cases.one_case, (401, 404)),
    Route("DELETE", "/cases/{scan_id}", cases.remove_case, (401, 404, 409)),
    Route("POST", "/cases/{scan_id}/viewer", archive.open_viewer, (401, 404)),
    Route("POST", "/studies", archive.find_study, (401, 404)),
    Route("GET", "/cases/{scan_id}/volume.nii.gz", cases.volume, (401, 404), NIFTI),
    Route("GET", "/cases/{scan_id}/thumbnail.png", cases.thumbnail, (401, 404, 422), PNG),
    Route("GET", "/cases/{scan_id}/slices/{plane}/{index}.png", cases.slice_of_case,
          (401, 404, 422), PNG),
    Route("GET", "/cases/{scan_id}/view.nii.gz", cases.view, (401, 404), NIFTI),
    Route("GET", "/cases/{scan_id}/view/slices/{plane}/{index}.png", cases.slice_of_view,
          (401, 404, 422), PNG),
    Route("POST", "/uploads", uploads.upload, (401, 408, 413, 415, 507), status=202),
    Route("GET", "/jobs/{job}", uploads.job, (401, 404)),
    Route("DELETE", "/jobs/{job}", uploads.cancel, (401, 404)),
    Route("GET", "/jobs/{job}/events", uploads.job_events, (401, 404), EVENTS),
    Route("GET", "/uploads/{job}/volume.nii.gz", uploads.upload_volume,
          (401, 404, 409, 422), NIFTI),
    Route("GET", "/uploads/{job}/thumbnail.png", uploads.upload_thumbnail,
          (401, 404, 409, 422), PNG),
    Route("GET", "/uploads/{job}/slices/{plane}/{index}.png", uploads.upload_slice,
          (401, 404, 409, 422), PNG),
    Route("GET", "/uploads/{job}/view.nii.gz", uploads.upload_view,
          (401, 404, 409, 422), NIFTI),
    Route("GET", "/uploads/{job}/view/slices/{plane}/{index}.png", uploads.upload_view_slice,
          (401, 404, 409, 422), PNG),
    Route("POST", "/searches", searches.ask, (401, 404, 409, 422)),
    Route("GET", "/searches/{search}", searches.again, (401, 404, 409, 422)),
    Route("GET", "/searches/{search}/changes/{prior}", searches.changes, (401, 404, 409, 422)),
    Route("GET", "/searches/{search}/report.html", report.report, (400, 401, 404, 409, 422), HTML),
    Route("GET", "/searches/{search}/cases.tsv", searches.cases_tsv, (401, 404, 409, 422), TSV),
    Route("GET", "/searches/{search}/maps/{scan_id}/deviation.nii.gz", explanations.deviation_map,
          (401, 404, 409, 422), NIFTI),
    Route("GET", "/searches/{search}/maps/{scan_id}/{kind}.nii.gz", explanations.explaining_map,
          (401, 404, 409, 422), NIFTI),
    Route("GET", "/regions", explanations.regions, (401,)),
    Route("GET", "/regions/atlas.nii.gz", explanations.atlas, (401, 404), NIFTI),
    Route("GET", "/regions/template.nii.gz", explanations.template, (401, 404), NIFTI),
)  # fmt: skip
#: What any route may answer: wrong usage, a forged request, too many requests, not now.
ALWAYS = (400, 403, 429, 503)


class _RestService(FastAPI):
    """A FastAPI application whose OpenAPI schema holds only what it really answers."""

    def openapi(self) -> dict[str, Any]:
        """Return the schema without FastAPI's 422: what cannot be understood is a 400 here."""
        openapi = super().openapi()
        for path in openapi["paths"].values():
            for operation in path.values():
                assumed = operation["responses"].get("422", {}).get("content", {})
                if "HTTPValidationError" in str(assumed):
                    del operation["responses"]["422"]
        for name in ("HTTPValidationError", "ValidationError"):
            openapi["components"]["schemas"].pop(name, None)
        return openapi


def build_app(settings: ServiceSettings) -> FastAPI:
    """Return the whole service, its gallery open and its worker starting.

    Raises
    ------
    BraincaseError
        If gallery, users, proxy or audit log cannot be used.
    """
    service = open_service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        oidc = service.gate.oidc
        starting = asyncio.create_task(oidc.report_start()) if oidc else None
        yield
        if starting is not None:
            starting.cancel()
        service.close()

    app = routed_app(lifespan)
    app.state.service = service
    pages.add_pages(app, settings.static)
    app.add_middleware(Guard, service=service)
    _answer_failures(app)
    return app


def routed_app(lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """Return the application with all routes and its OpenAPI schema, but without a gallery."""
    app = _RestService(
        title="Braincase",
        summary=f"Similar-case search for 3D brain MRI. {PURPOSE}",
        version="1",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    for route in ROUTES:
        _add(app, route)
    app.add_api_route("/metrics", metrics, response_class=PlainTextResponse,
                      responses=_failures((401,)), operation_id="metrics")  # fmt: skip
    return app


def metrics(service: CurrentService, _: MetricsAccess) -> PlainTextResponse:
    """Send the Prometheus metrics: how much is asked, and how fast it is answered."""
    return PlainTextResponse(service.metrics.text(), media_type=METRICS)


def _add(app: FastAPI, route: Route) -> None:
    responses = _failures(route.fails)
    if route.fails_as_page:
        responses = {status: {**told, "content": {HTML: {}}} for status, told in responses.items()}
    if route.sends:
        responses[route.status] = {"description": "The content.", "content": {route.sends: {}}}
    if route.sends in (NIFTI, PNG):
        responses[304] = {"description": "The browser has it already."}
    if route.sends == NIFTI:
        responses[206] = {"description": "The range asked for.", "content": {NIFTI: {}}}
        responses[416] = {"description": "There is no such range."}
    add = partial(
        app.add_api_route,
        PREFIX + route.path,
        route.endpoint,
        methods=[route.method],
        status_code=route.status,
        responses=responses,
        operation_id=route.endpoint.__name__,
    )
    if route.sends:
        add(response_class=Response)
    else:
        add()


def _failures(statuses: tuple[int, ...]) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": schema.FailureBody} for status in sorted({*ALWAYS, *statuses})}


def _answer_failures(app: FastAPI) -> None:
    """Turn every kind of failure into one sentence with a fitting status; `Guard` does the rest."""

    @app.exception_handler(Problem)
    def _problem(request: Request, problem: Problem) -> Response:
        request.state.error = problem.error  # for the audit log
        return failure(problem)

    @app.exception_handler(BraincaseError)
    def _expected(_: Request, error: BraincaseError) -> Response:
        return failure(problem_of(error))

    @app.exception_handler(RequestValidationError)
    def _invalid(_: Request, error: RequestValidationError) -> Response:
        return failure(Problem(400, "usage", _in_words(error)))

    @app.exception_handler(HTTPException)
    def _http(_: Request, error: HTTPException) -> Response:
        text = {404: "There is nothing here.", 405: "This cannot be done here."}
        name = {404: "not_found", 405: "method"}.get(error.status_code, "http")
        answer = Problem(error.status_code, name, text.get(error.status_code, str(error.detail)))
        response = failure(answer)
        response.headers.update(error.headers or {})
        return response


def _in_words(error: RequestValidationError) -> str:
    """Return the first things wrong with a request, without repeating what was sent."""
    faults = [
        f"{'.'.join(str(part) for part in fault['loc'][1:]) or 'body'}: {fault['msg']}"
        for fault in error.errors()[:3]
    ]
    return "The request cannot be understood: " + "; ".join(faults)
