"""OpenID Connect endpoints: how one may sign in, the way to the provider, and the way back.

A browser follows links here, so that every answer is a page and not a record. The session's cookie
is of the strict kind, which browsers do not send while another site leads them: after the way back
a page of our own leads on.
"""

from __future__ import annotations

import sys
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from fastapi import Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from braincase.errors import AuditError
from braincase.web import schema
from braincase.web.problems import NoRoleProblem, Problem, problem_of
from braincase.web.routes.pages import html_page
from braincase.web.security.client_address import client_address, network_of
from braincase.web.security.oidc_settings import CALLBACK, PENDING_S
from braincase.web.security.sessions import ExternalUser
from braincase.web.service import CurrentService, Service

if TYPE_CHECKING:
    from braincase.web.security.oidc_client import OidcProvider

#: From the way back to the front page, wherever the service is mounted.
ROOT = "/".join(".." for _ in PurePosixPath(CALLBACK).parent.parts[1:]) + "/"
#: The same lines for Japanese readers.
JAPANESE = {
    "sign_in_stale": "期限切れか、別の場所で始められたログインです。もう一度お試しください。",
    "sign_in_unreachable": "{name} に接続できません。しばらくしてからもう一度お試しください。",
    "sign_in_refused": "{name} でログインできませんでした。管理者にお知らせください。",
    "sign_in_no_role": "{name} のアカウントには権限がありません。管理者にお尋ねください。",
    "too_many": "要求が多すぎます。しばらくしてからお試しください。",
    "host": "登録されたアドレスで開いてください。",
}


def sign_in_choices(service: CurrentService) -> schema.SignInBody:
    """Return how one may sign in here: with a password, at an OpenID provider, or not at all."""
    provider = service.gate.oidc
    return schema.SignInBody(
        password=service.settings.users is not None,
        provider=provider.settings.name if provider else None,
    )


async def begin_sign_in(
    request: Request,
    service: CurrentService,
    then: Annotated[str, Query(max_length=2000, description="Own page to come back to.")] = "/",
) -> Response:
    """Lead the browser to the OpenID provider."""
    provider = _provider_of(service)
    try:
        _spend(service, request)
        _check_host(request, provider)
        cookie, url = await provider.begin(own_page(then))
    except Problem as problem:
        return _failed(provider, problem)
    response = RedirectResponse(url, 303)
    _set_binding(service, request, response, cookie, round(PENDING_S))
    return response


async def finish_sign_in(request: Request, service: CurrentService) -> Response:
    """Begin a session for a person whom the provider sends back."""
    provider = _provider_of(service)
    try:
        _spend(service, request)
        told = _only_once(request)
        cookie = request.cookies.get(_binding(service, request), "")
        user, then = await provider.finish(cookie, told)
        return await run_in_threadpool(_signed_in, service, request, user, then)
    except AuditError as error:  # what cannot be logged is not done
        return _failed(provider, problem_of(error))
    except Problem as problem:
        await run_in_threadpool(_note_refusal, service, request, problem)
        return _failed(provider, problem)


def own_page(then: str) -> str:
    """Return a page of our own, relative to the front page; that one for any other address."""
    try:
        parts = urlsplit(then)
    except ValueError:
        return ""
    if parts.scheme or parts.netloc or parts.path not in ("", "/", "/plain"):
        return ""
    if not then.isprintable() or "\\" in then:
        return ""
    query = f"?{parts.query}" if parts.query else ""
    return parts.path.lstrip("/") + query + (f"#{parts.fragment}" if parts.fragment else "")


def _signed_in(service: Service, request: Request, user: ExternalUser, then: str) -> Response:
    """Write the login into the audit log, begin the session, and lead on."""
    client = client_address(request.scope, service.settings)
    service.audit.write(user.name, "login", client=client, by="oidc", shown=user.shown)
    _, cookie = service.gate.begin_external(user)
    response = html_page("sign_in.html", 200, then=ROOT + then, message="", japanese="")
    service.gate.set_cookie(request, response, cookie)
    _set_binding(service, request, response, "", 0)
    return response


def _note_refusal(service: Service, request: Request, problem: Problem) -> None:
    name = problem.user if isinstance(problem, NoRoleProblem) else "unknown"
    client = client_address(request.scope, service.settings)
    details = {"client": client, "by": "oidc", "reason": problem.error}
    try:
        service.once.write(name, "login refused", **details)
    except AuditError as error:  # it was refused already
        print(f"braincase: {error}", file=sys.stderr)


def _provider_of(service: Service) -> OidcProvider:
    if service.gate.oidc is None:
        raise Problem(404, "no_provider", "This service signs nobody in at an OpenID provider.")
    return service.gate.oidc


def _spend(service: Service, request: Request) -> None:
    network = network_of(client_address(request.scope, service.settings))
    service.gate.rates.spend(service.settings.limits.sign_ins, "logins", network)


def _check_host(request: Request, provider: OidcProvider) -> None:
    """Refuse to begin under a name that the provider does not lead back to."""
    address = urlsplit(provider.settings.redirect_uri)
    if request.headers.get("host", "").lower() != address.netloc.lower():
        text = f"Please open this page as {address.scheme}://{address.netloc}/ to sign in there."
        raise Problem(400, "host", text)


def _only_once(request: Request) -> dict[str, str]:
    """Return the query, of which no field may come twice."""
    pairs = request.query_params.multi_items()
    if len({key for key, _ in pairs}) < len(pairs):
        raise Problem(400, "sign_in_stale", "A field of the answer came twice. Please begin again.")
    return dict(pairs)


def _binding(service: Service, request: Request) -> str:
    return f"{service.gate.cookie(request)}-sign-in"


def _set_binding(
    service: Service, request: Request, response: Response, content: str, seconds: int
) -> None:
    """Set the cookie of a login that is under way; lax, as another site leads back here."""
    response.set_cookie(
        _binding(service, request),
        content,
        max_age=seconds,
        path="/",
        secure=service.settings.encrypted,
        httponly=True,
        samesite="lax",
    )


def _failed(provider: OidcProvider, problem: Problem) -> HTMLResponse:
    japanese = JAPANESE.get(problem.error, "").format(name=provider.settings.name)
    return html_page(
        "sign_in.html", problem.status, then=ROOT, message=problem.message, japanese=japanese
    )
