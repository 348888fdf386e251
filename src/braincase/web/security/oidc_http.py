"""HTTP client of an OpenID provider (httpx): bounded size and time, no redirects, known addresses.

A provider is trusted to say who somebody is, and with nothing else: its answers are small, come
in time, are not compressed, and lead to its own addresses only (server-side request forgery).
"""

from __future__ import annotations

import ssl
import time
from typing import Any

import httpx2
from authlib.integrations.httpx_client import AsyncOAuth2Client

from braincase.json_values import Json, parse_json
from braincase.web.security.oidc_settings import OidcSettings, is_safe, origin_of

#: Bytes of one answer; a key set of a large provider has 20 kB.
MOST_BYTES = 1 << 20
#: Seconds for connecting, and for each piece of an answer; `oidc_client` bounds them together.
PIECE_S = 5.0
#: Seconds after which the metadata is read again.
FRESH_S = 300.0
WELL_KNOWN = "/.well-known/openid-configuration"
#: Endpoints that this service or the browser calls; those in `NEEDED` every provider has.
NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")
ENDPOINTS = (*NEEDED, "userinfo_endpoint", "end_session_endpoint")


class BadAnswerError(ValueError):
    """An answer of the provider that cannot be used; says why, for the log."""


class Metadata(dict[str, Any]):
    """Provider metadata (OpenID Connect Discovery) whose issuer and endpoints were checked."""


class ProviderHttp:
    """Requests to one provider."""

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._tls = httpx2.create_ssl_context()
        self._metadata: tuple[float, Metadata] | None = None

    def client(self) -> AsyncOAuth2Client:
        """Return a client for one login; closed after it, so that no connection stays open."""
        return AsyncOAuth2Client(
            self._settings.client_id,
            self._settings.secret(),
            scope=" ".join(self._settings.scopes),
            redirect_uri=self._settings.redirect_uri,
            code_challenge_method="S256",
            transport=_Bounded(self._tls),
            timeout=PIECE_S,
            follow_redirects=False,
            trust_env=False,  # no proxy, and no password of a .netrc
        )

    @property
    def seen(self) -> Metadata | None:
        """The provider's metadata as they were last read."""
        return self._metadata[1] if self._metadata else None

    async def metadata(self, client: AsyncOAuth2Client) -> Metadata:
        """Return the provider's metadata, read again after `FRESH_S`.

        Raises
        ------
        BadAnswerError
            If they are another issuer's, or lead elsewhere.
        """
        now = time.monotonic()
        if self._metadata is None or now - self._metadata[0] > FRESH_S:
            found = await self.json(client, self._settings.issuer.rstrip("/") + WELL_KNOWN)
            self._metadata = (now, self._checked(found))
        return self._metadata[1]

    async def json(self, client: AsyncOAuth2Client, url: str, bearer: str = "") -> dict[str, Json]:
        """Return a JSON object of the provider.

        Raises
        ------
        BadAnswerError
            If the answer is none.
        """
        headers = {"Accept": "application/json"}
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        answer = await client.request("GET", url, headers=headers, withhold_token=True)
        if answer.status_code != 200:
            raise BadAnswerError(f"{url}: HTTP {answer.status_code}")
        try:
            found = parse_json(answer.content)
        except ValueError:
            raise BadAnswerError(f"{url}: no JSON") from None
        if not isinstance(found, dict):
            raise BadAnswerError(f"{url}: no JSON object")
        return found

    def _checked(self, found: dict[str, Json]) -> Metadata:
        if found.get("issuer") != self._settings.issuer:
            raise BadAnswerError(
                f"the metadata are of the issuer {str(found.get('issuer'))[:200]!r},"
                f" not of {self._settings.issuer!r}"
            )
        if missing := [name for name in NEEDED if name not in found]:
            raise BadAnswerError(f"the metadata have no {missing[0]}")
        for name in ENDPOINTS:
            url = found.get(name)
            if name not in found:
                continue
            if not isinstance(url, str) or not is_safe(url):
                raise BadAnswerError(f"{name} {str(url)[:200]!r} is no https address")
            if origin_of(url) not in self._settings.origins:
                raise BadAnswerError(
                    f"{name} leads to {origin_of(url)}: not the issuer's origin, and not in"
                    " endpoint_origins"
                )
        return Metadata(found)


class _Bounded(httpx2.AsyncBaseTransport):
    """A transport that reads no more than `MOST_BYTES`, and unpacks nothing (gzip bombs)."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._inner = httpx2.AsyncHTTPTransport(verify=tls, trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and read its whole answer."""
        request.headers["Accept-Encoding"] = "identity"
        answer = await self._inner.handle_async_request(request)
        try:
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise BadAnswerError(f"{request.url.host}: a compressed answer")
            content = bytearray()
            async for piece in answer.aiter_raw():
                content += piece
                if len(content) > MOST_BYTES:
                    raise BadAnswerError(f"{request.url.host}: more than {MOST_BYTES} bytes")
        finally:
            await answer.aclose()
        return httpx2.Response(answer.status_code, headers=answer.headers, content=bytes(content))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()
