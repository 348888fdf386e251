"""JSON Web Tokens of a reverse proxy (OIDC, RFC 7519): who is asking.

A plain header such as ``X-Forwarded-User`` is never believed: anybody who reaches the port could
send one. Only a token signed by a configured key, for this audience, from this issuer and not yet
expired counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import InvalidKeyTypeError, JoseError, MissingKeyError
from joserfc.jwk import ECKey, GuestProtocol, JWKRegistry, Key, OKPKey, RSAKey
from starlette.datastructures import Headers

from braincase.errors import UsageError
from braincase.files import check_regular
from braincase.json_values import parse_json
from braincase.web.schema import Role
from braincase.web.security.group_roles import check_keys, check_roles, role_of

#: Only signatures of a private key; a shared secret, or none, is not offered.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
_KEYS = {"header", "public_key", "jwks", "algorithms", "issuer", "audience", "user_claim",
         "roles_claim", "roles"}  # fmt: skip
#: Letters of a user's name.
MOST_USER = 200


@dataclass(frozen=True)
class Proxy:
    """How a reverse proxy's JSON Web Token is verified.

    Parameters
    ----------
    header
        Which header carries it, such as ``X-Forwarded-Access-Token``.
    keys
        Public keys by key id; one under the empty name serves all.
    algorithms, issuer, audience
        What the token must have.
    user_claim, roles_claim
        Where it tells the user, and the groups or roles.
    roles
        Which of its groups gives which role; the highest counts.
    files
        Where this was read from: configuration and keys.
    """

    header: str
    keys: Mapping[str, Key]
    algorithms: tuple[str, ...]
    issuer: str
    audience: str
    user_claim: str
    roles_claim: str
    roles: Mapping[str, Role]
    files: tuple[Path, ...] = ()

    def identify(self, headers: Headers, peer: str) -> tuple[str, Role] | None:
        """Return user and role that a request's token proves, from any peer; None if it does not.

        A header that came twice proves nothing: one may be the client's own.
        """
        values = headers.getlist(self.header)
        if len(values) != 1:
            return None
        token = values[0].removeprefix("Bearer ").strip()
        must = jwt.JWTClaimsRegistry(
            exp={"essential": True},
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.audience},
        )
        try:
            claims = jwt.decode(token, self._key, algorithms=self.algorithms).claims
            must.validate(claims)
        except (JoseError, ValueError, TypeError, RecursionError):
            return None
        best = role_of(claims.get(self.roles_claim, []), self.roles)
        user = claims.get(self.user_claim)
        if best is None or not user or len(str(user)) > MOST_USER:  # cut, two could be one
            return None
        return str(user), best

    def _key(self, token: GuestProtocol) -> Key:
        """Return the key that a token names, or the one that serves all."""
        key = self.keys.get(str(token.headers().get("kid", "")), self.keys.get(""))
        if key is None:
            raise MissingKeyError
        return key


def token_proxy(path: Path, config: Mapping[str, Any]) -> Proxy:
    """Return how a reverse proxy's token is verified, from its configuration and the keys it names.

    Raises
    ------
    UsageError
        If a key is unknown, missing or unusable.
    """
    check_keys(path, config, _KEYS, {"header", "issuer", "audience", "roles"})
    algorithms = config.get("algorithms", ["RS256"])
    if not isinstance(algorithms, list) or not all(isinstance(a, str) for a in algorithms):
        raise UsageError(path, f"algorithms {algorithms!r}", "a list such as ['RS256']")
    if bad := sorted(set(algorithms) - set(ALGORITHMS)):
        raise UsageError(path, f"algorithm {bad[0]!r}", f"one of {', '.join(ALGORITHMS)}")
    roles = check_roles(path, config["roles"])
    file = path.parent / str(config.get("public_key", config.get("jwks")))
    return Proxy(
        header=str(config["header"]),
        keys=_read_keys(path, file, config),
        algorithms=tuple(algorithms),
        issuer=str(config["issuer"]),
        audience=str(config["audience"]),
        user_claim=str(config.get("user_claim", "sub")),
        roles_claim=str(config.get("roles_claim", "roles")),
        roles=roles,
        files=(path, file),
    )


def _read_keys(path: Path, file: Path, config: Mapping[str, object]) -> dict[str, Key]:
    if ("public_key" in config) == ("jwks" in config):
        raise UsageError(path, "both or none of public_key and jwks", "one of them")
    try:
        text = check_regular(file).read_text(encoding="utf-8")
        if "public_key" in config:
            return {"": _pem_key(text)}
        return _jwk_set(parse_json(text)["keys"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError,
            JoseError) as error:  # fmt: skip
        raise UsageError(file, f"cannot be read ({error})", "a PEM key or a JWK set") from None


def _jwk_set(keys: Sequence[Mapping[str, Any]]) -> dict[str, Key]:
    """Return the keys of a JWK set by key id, without those of unknown kinds (RFC 7517, 5)."""
    known = {}
    for key in keys:
        with suppress(InvalidKeyTypeError):
            known[str(key.get("kid", ""))] = JWKRegistry.import_key(dict(key))
    if not known:
        raise ValueError("no key of a known kind")
    return known


def _pem_key(text: str) -> Key:
    """Return the public key of a PEM key or certificate, of the kind that it is."""
    if "PUBLIC KEY" not in text and "CERTIFICATE" not in text:
        raise ValueError("no PEM public key")
    for kind in (RSAKey, ECKey, OKPKey):
        try:
            return kind.import_key(text)
        except InvalidKeyTypeError:
            continue
    raise ValueError("no RSA, EC or Edwards key")
