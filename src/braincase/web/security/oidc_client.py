"""OpenID Connect login (authorization code flow with PKCE, RFC 7636) at one provider, by Authlib.

A login that was begun is kept here and not in the browser: its nonce, its code verifier and where
to go afterwards. The browser holds a secret of its own (a cookie) and brings the state back; both
together find the login, once. What comes from elsewhere finds nothing, and ends nobody's login.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, KeySetSerialization

from braincase.errors import UsageError
from braincase.json_values import Json
from braincase.web.expiring_cache import ExpiringCache
from braincase.web.problems import NoRoleProblem, Problem
from braincase.web.security.group_roles import role_of
from braincase.web.security.oidc_http import BadAnswerError, Metadata, ProviderHttp
from braincase.web.security.oidc_settings import PENDING_S, OidcSettings
from braincase.web.security.proxy import ALGORITHMS
from braincase.web.security.sessions import ExternalUser
from braincase.web.security.users import EXTERNAL

#: Seconds for all that the provider is asked for in one step of a login.
STEP_S = 10.0
#: Logins that may be under way.
MOST_PENDING = 10_000
#: Seconds that the two clocks may differ.
LEEWAY_S = 60
#: Letters of an authorization code, of `sub` (OpenID Connect Core 2), and of a name to show.
MOST_CODE, MOST_SUB, MOST_NAME = 4096, 255, 100


@dataclass(frozen=True)
class PendingLogin:
    """A login that was begun: what its ID token and its code are bound to, and where it leads."""

    nonce: str
    verifier: str
    then: str


class OidcProvider:
    """Login at one provider."""

    def __init__(self, settings: OidcSettings) -> None:
        self.settings = settings
        self._http = ProviderHttp(settings)
        self._pending: ExpiringCache[PendingLogin] = ExpiringCache(MOST_PENDING, PENDING_S)

    @property
    def logout_address(self) -> str | None:
        """Where a person signs out at the provider itself (RP-initiated logout), if it says so."""
        seen = self._http.seen
        end = seen.get("end_session_endpoint") if seen else None
        query = urlencode({"client_id": self.settings.client_id})
        return f"{end}{'&' if '?' in end else '?'}{query}" if end else None

    async def report_start(self) -> None:
        """Write one line on standard error if the provider cannot be used; logins go on trying."""
        try:
            async with self._asking() as (_, _metadata):
                pass
        except Problem:
            pass  # `_asking` has said so

    async def begin(self, then: str) -> tuple[str, str]:
        """Begin a login that leads to an own page; return the cookie's secret and where to go.

        Raises
        ------
        Problem
            If the provider cannot be reached or used.
        """
        cookie, state = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        pending = PendingLogin(secrets.token_urlsafe(32), secrets.token_urlsafe(48), then)
        async with self._asking() as (client, metadata):
            url, _ = client.create_authorization_url(
                metadata["authorization_endpoint"],
                state=state,
                code_verifier=pending.verifier,
                nonce=pending.nonce,
            )
        self._pending.put(_key(cookie, state), pending)
        return cookie, url

    async def finish(self, cookie: str, told: Mapping[str, str]) -> tuple[ExternalUser, str]:
        """Return who came back from the provider, and the own page that they began at.

        Parameters
        ----------
        cookie
            The secret of the browser that began.
        told
            The query with which the provider sent it back.

        Raises
        ------
        Problem
            If the login is not this browser's or used up, or the provider refuses it, is not to be
            reached, or proves nothing; or if its user has no role here.
        """
        pending = self._pending.take(_key(cookie, told.get("state", "")))
        if pending is None:
            text = "This sign-in has expired, or was begun in another browser. Please begin again."
            raise Problem(400, "sign_in_stale", text)
        async with self._asking() as (client, metadata):
            self._check_issuer(told, metadata)
            if "error" in told:
                raise BadAnswerError(f"refused: {_word(told['error'])}")
            claims = await self._claims(client, metadata, told.get("code", ""), pending)
        return self._user(claims), pending.then

    def _check_issuer(self, told: Mapping[str, str], metadata: Metadata) -> None:
        """Refuse an answer that another provider gave (mix-up, RFC 9207)."""
        promised = metadata.get("authorization_response_iss_parameter_supported") is True
        if told.get("iss", None if promised else self.settings.issuer) != self.settings.issuer:
            raise BadAnswerError("an answer of another issuer")

    async def _claims(
        self, client: AsyncOAuth2Client, metadata: Metadata, code: str, pending: PendingLogin
    ) -> dict[str, Any]:
        """Exchange the code; return the checked claims of the ID token and the user's record."""
        if not 0 < len(code) <= MOST_CODE:
            raise BadAnswerError("no authorization code")
        methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if "client_secret_basic" not in methods and "client_secret_post" in methods:
            client.token_endpoint_auth_method = "client_secret_post"
        try:
            token = await client.fetch_token(
                metadata["token_endpoint"],
                grant_type="authorization_code",
                code=code,
                redirect_uri=self.settings.redirect_uri,
                code_verifier=pending.verifier,
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise BadAnswerError("no answer of a token endpoint") from None
        access = str(token.get("access_token", ""))
        keys = await self._http.json(client, metadata["jwks_uri"])
        claims = self._checked(str(token.get("id_token", "")), keys, access, pending.nonce)
        wanted = {self.settings.roles_claim, self.settings.name_claim}
        if access and not wanted <= claims.keys() and "userinfo_endpoint" in metadata:
            more = await self._http.json(client, metadata["userinfo_endpoint"], access)
            if more.get("sub") != claims["sub"]:
                raise BadAnswerError("userinfo of another person")
            claims = {**more, **claims}
        return claims

    def _checked(
        self, id_token: str, keys: Mapping[str, Json], access: str, nonce: str
    ) -> dict[str, Any]:
        """Return an ID token's claims; Authlib checks signature, issuer, audience and times."""
        client_id = self.settings.client_id
        options = {
            "iss": {"essential": True, "value": self.settings.issuer},
            "aud": {"essential": True, "value": client_id},
        }
        params = {"nonce": nonce, "client_id": client_id, "access_token": access}
        try:
            key_set = KeySet.import_key_set(cast(KeySetSerialization, keys))
            found = jwt.decode(id_token, key_set, algorithms=ALGORITHMS)
            claims = CodeIDToken(found.claims, found.header, options, params)
            claims.validate(leeway=LEEWAY_S)
        except JoseError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise BadAnswerError("an ID token or a key set that cannot be read") from None
        return dict(claims)

    def _user(self, claims: Mapping[str, Any]) -> ExternalUser:
        sub = claims["sub"]
        if not isinstance(sub, str) or not 0 < len(sub) <= MOST_SUB or not sub.isprintable():
            raise self._unusable("a sub that is no printable text")
        told = claims.get(self.settings.name_claim) or claims.get("preferred_username") or sub
        shown = "".join(c for c in str(told) if c.isprintable()).strip()[:MOST_NAME] or sub
        groups = claims.get(self.settings.roles_claim, [])
        role = role_of(groups, self.settings.roles) or self.settings.default_role
        if role is None:
            text = (
                f"{self.settings.name} knows you, but you have no rights in this reading room."
                " Please ask whoever runs it."
            )
            raise NoRoleProblem(EXTERNAL + sub, text)
        return ExternalUser(EXTERNAL + sub, role, shown)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[tuple[AsyncOAuth2Client, Metadata]]:
        """Give client and metadata for one step; every fault becomes a line and a `Problem`."""
        try:
            async with asyncio.timeout(STEP_S), self._http.client() as client:
                yield client, await self._http.metadata(client)
        except TimeoutError:
            raise self._unreachable(f"no answer within {STEP_S:.0f} s") from None
        except httpx2.HTTPStatusError as error:
            raise self._unreachable(f"HTTP {error.response.status_code}") from None
        except httpx2.HTTPError as error:
            raise self._unreachable(f"{type(error).__name__}: {error}") from None
        except UsageError as error:  # the client's secret
            raise self._unreachable(str(error)) from None
        except AuthlibBaseError as error:
            raise self._unusable(f"refused: {_word(error.error or '')}") from None
        except (BadAnswerError, JoseError) as error:
            raise self._unusable(str(error)) from None

    def _unreachable(self, reason: str) -> Problem:
        self._log(reason)
        text = f"{self.settings.name} cannot be reached at the moment. Please try again later."
        return Problem(503, "sign_in_unreachable", text)

    def _unusable(self, reason: str) -> Problem:
        self._log(reason)
        text = f"{self.settings.name} did not sign you in. Please tell whoever runs the service."
        return Problem(403, "sign_in_refused", text)

    def _log(self, reason: str) -> None:
        line = " ".join(f"sign-in at {self.settings.issuer}: {reason}".split())
        print(f"braincase: {line[:500]}", file=sys.stderr, flush=True)


def _key(cookie: str, state: str) -> str:
    return hashlib.sha256(f"{cookie}:{state}".encode()).hexdigest()


def _word(text: str) -> str:
    """Return an error code of RFC 6749 as it is, and of anything else nothing."""
    return text if re.fullmatch(r"[a-z_]{1,60}", text) else "without a known reason"
