"""Signing in at an OpenID provider: a real one (npm's oidc-provider), and hostile ones."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import braincase
from braincase.errors import BraincaseError
from braincase.web.routes.sign_in import own_page
from braincase.web.security import oidc_client, oidc_http
from braincase.web.security.oidc_settings import CALLBACK, SECRET_VARIABLE, read_oidc
from braincase.web.security.users import add_user
from braincase.web.service_settings import ServiceSettings
from gallery_cases import filled_gallery
from real_provider import SECRET, free_port, running_provider, walk, why_no_provider
from web_service import API, serving, settings_for

PASSWORD = "a long password"
WEB = Path(braincase.__file__).parent / "web"


def write_oidc(folder: Path, issuer: str, redirect_uri: str, more: str = "") -> Path:
    secret = folder / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    file = folder / "oidc.toml"
    file.write_text(
        f'issuer = "{issuer}"\nclient_id = "braincase"\nclient_secret_file = "secret"\n'
        f'redirect_uri = "{redirect_uri}"\nname = "Hospital account"\n'
        f'scopes = ["profile", "groups"]\n{more}\n'
        '[roles]\nradiology = "reader"\nlibrarians = "curator"\n'
    )
    return file


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery that nobody searches."""
    folder = tmp_path_factory.mktemp("oidc") / "gallery"
    filled_gallery(folder, 3).close()
    return folder


@pytest.fixture(scope="module")
def real(
    gallery: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[httpx.Client, Path]]:
    """The service with users and a real provider, and its audit log."""
    if reason := why_no_provider():
        pytest.skip(f"no OpenID provider: {reason}")
    folder, port = tmp_path_factory.mktemp("oidc"), free_port()
    redirect_uri = f"http://127.0.0.1:{port}{CALLBACK}"
    add_user(folder / "users.json", "rita", PASSWORD, "admin")
    with running_provider(redirect_uri) as issuer:
        oidc = write_oidc(folder, issuer, redirect_uri)
        settings = settings_for(
            gallery, folder / "audit.jsonl", oidc=oidc, users=folder / "users.json",
            static=WEB / "static",
        )  # fmt: skip
        with serving(settings, port) as client:
            yield client, folder / "audit.jsonl"


@pytest.fixture
def browser(real: tuple[httpx.Client, Path]) -> Iterator[httpx.Client]:
    """A browser that was never here."""
    with httpx.Client(base_url=real[0].base_url) as fresh:
        yield fresh


def way_back(browser: httpx.Client, person: str, then: str = "/") -> httpx.URL:
    """The address to which the real provider leads a person back."""
    base = str(browser.base_url)
    begin = f"{base}{API}/oidc/login?then={then}"
    return walk(browser, begin, person, base.rstrip("/") + CALLBACK)


def events(audit: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in audit.read_text().splitlines()]


def strict_cookies(browser: httpx.Client) -> dict[str, str]:
    return {c.name: str(c.value) for c in browser.cookies.jar if c.name.startswith("braincase")}


class TestRealProvider:
    def test_a_person_signs_in_and_out(
        self, real: tuple[httpx.Client, Path], browser: httpx.Client, capfd: Any
    ) -> None:
        assert browser.get(f"{API}/me").status_code == 401
        choices = {"password": True, "provider": "Hospital account"}
        assert browser.get(f"{API}/login").json() == choices
        back = way_back(browser, "rita", "/plain?k=3")
        begun = strict_cookies(browser)
        page = browser.get(back)
        assert page.status_code == 200
        assert 'content="0;url=../../../plain?k=3"' in page.text
        cookie = page.headers.get_list("set-cookie")[0].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        me = browser.get(f"{API}/me").json()
        # Not the user `rita` of the file of users, who is an administrator.
        assert {key: me[key] for key in ("user", "shown", "role", "login", "password")} == {
            "user": "oidc:rita", "shown": "Dr. rita", "role": "reader", "login": True,
            "password": False,
        }  # fmt: skip
        assert browser.get(f"{API}/tokens").status_code == 404
        assert browser.post(f"{API}/logout").status_code == 403  # no CSRF token
        out = browser.post(f"{API}/logout", headers={"X-CSRF-Token": me["csrf"]}).json()
        assert out["provider_logout"].endswith("/session/end?client_id=braincase")
        assert browser.get(f"{API}/me").status_code == 401
        login, logout = (e for e in events(real[1]) if e["action"] in ("login", "logout"))
        assert (login["action"], login["user"], login["by"]) == ("login", "oidc:rita", "oidc")
        assert (logout["action"], logout["user"]) == ("logout", "oidc:rita")
        seen = real[1].read_text() + "".join(capfd.readouterr())
        query = parse_qs(back.query.decode())
        for hidden in (SECRET, query["code"][0], query["state"][0], *begun.values()):
            assert hidden not in seen

    def test_the_highest_group_counts_and_unknown_people_are_refused(
        self, real: tuple[httpx.Client, Path], browser: httpx.Client
    ) -> None:
        browser.get(way_back(browser, "carl"))
        assert browser.get(f"{API}/me").json()["role"] == "curator"
        browser.cookies.clear()
        page = browser.get(way_back(browser, "nobody"))
        assert page.status_code == 403
        assert "Hospital account knows you, but you have no rights" in page.text
        assert 'lang="ja"' in page.text
        assert browser.get(f"{API}/me").status_code == 401
        refused = [e for e in events(real[1]) if e["action"] == "login refused"][-1]
        assert (refused["user"], refused["reason"]) == ("oidc:nobody", "sign_in_no_role")

    def test_a_way_back_works_once_and_in_the_browser_that_began(
        self, real: tuple[httpx.Client, Path], browser: httpx.Client
    ) -> None:
        back = way_back(browser, "rita")
        with httpx.Client() as thief:  # a stolen code, and its state
            stolen = thief.get(back)
            assert stolen.status_code == 400
            assert "begun in another browser" in stolen.text
            assert not strict_cookies(thief)
        # A page elsewhere cannot end somebody's login by leading them here with another state.
        assert browser.get(back.copy_set_param("state", "x" * 43)).status_code == 400
        twice = f"{back}&state=x"
        assert browser.get(twice).status_code == 400
        before = strict_cookies(browser)
        assert browser.get(back).status_code == 200
        session = strict_cookies(browser)
        assert session.keys() != before.keys()
        assert browser.get(f"{API}/me").json()["user"] == "oidc:rita"
        browser.cookies.update(before)  # the cookie that is used up
        assert browser.get(back).status_code == 400

    def test_another_sites_page_may_lead_back_and_begin_nothing(
        self, browser: httpx.Client
    ) -> None:
        foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        foreign["Sec-Fetch-Dest"] = "document"
        back = way_back(browser, "rita")
        begin = browser.get(f"{API}/oidc/login", headers=foreign)
        assert (begin.status_code, begin.json()["error"]) == (403, "foreign")
        assert browser.get(back, headers={**foreign, "Sec-Fetch-Dest": "image"}).status_code == 403
        assert browser.get(back, headers=foreign).status_code == 200

    def test_an_error_or_another_issuer_in_the_way_back_signs_nobody_in(
        self, browser: httpx.Client
    ) -> None:
        for change in ({"iss": "https://evil.example"}, {"iss": None}, {"error": "access_denied"}):
            back = way_back(browser, "rita")
            for name, value in change.items():
                without = back.copy_remove_param(name)
                back = without.copy_set_param(name, value) if value else without
            page = browser.get(back)
            assert page.status_code == 403, change
            assert "did not sign you in" in page.text
            assert browser.get(f"{API}/me").status_code == 401


@pytest.mark.parametrize(
    ("then", "leads_to"),
    [
        ("/", ""),
        ("/?s=abc#study=1", "?s=abc#study=1"),
        ("/plain?case=x", "plain?case=x"),
        ("//evil.example/", ""),
        ("https://evil.example/", ""),
        ("/\\evil.example", ""),
        ("\t//evil.example", ""),
        ("javascript:alert(1)", ""),
        ("/api/v1/cases", ""),
        ("/?\\\\evil", ""),
        ("//[", ""),
    ],
)
def test_after_the_login_only_an_own_page_is_opened(then: str, leads_to: str) -> None:
    assert own_page(then) == leads_to


KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Hostile:
    """A provider that answers what a test wants; what it was asked for is in `asked`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.issuer = f"http://127.0.0.1:{port}"
        self.asked: list[str] = []
        self.metadata: dict[str, Any] = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
        }
        self.claims: dict[str, Any] = {}
        self.sign: Any = lambda claims: jwt.encode(claims, KEY, "RS256", headers={"kid": "k"})
        #: Of a path: bytes sent instead, with headers.
        self.instead: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.pause_s = 0.0

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(path)
        if path in self.instead:
            return self.instead[path]
        now = int(time.time())
        usual = {"iss": self.issuer, "aud": "braincase", "sub": "eve", "iat": now}
        usual |= {"exp": now + 60, "groups": ["radiology"], "name": "Eve"}
        key = jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
        content: dict[str, Any] = {
            oidc_http.WELL_KNOWN: self.metadata,
            "/jwks": {"keys": [{**key, "kid": "k"}, {"kty": "new", "kid": "later"}]},
            "/token": {"access_token": "a", "token_type": "Bearer"},
        }[path]
        if path == "/token":
            claims = {k: v for k, v in (usual | self.claims).items() if v is not None}
            content["id_token"] = self.sign(claims)
        return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


@contextmanager
def hostile_provider(port: int = 0) -> Iterator[Hostile]:
    class Handler(BaseHTTPRequestHandler):
        wbufsize = -1  # head and body at once

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            self.rfile.read(length)
            status, headers, body = provider.answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                for at in (
                    range(0, len(body), 1 << 16) if not provider.pause_s else range(len(body))
                ):
                    step = 1 if provider.pause_s else 1 << 16
                    self.wfile.write(body[at : at + step])
                    self.wfile.flush()
                    time.sleep(provider.pause_s)
            except OSError:  # the service has had enough
                self.close_connection = True

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        provider = Hostile(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield provider
        finally:
            server.shutdown()


@pytest.fixture(scope="module")
def trusting(
    gallery: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Hostile, httpx.Client]]:
    folder, port = tmp_path_factory.mktemp("hostile"), free_port()
    with hostile_provider() as provider:
        oidc = write_oidc(folder, provider.issuer, f"http://127.0.0.1:{port}{CALLBACK}")
        settings = settings_for(gallery, folder / "audit.jsonl", oidc=oidc)
        with serving(settings, port) as client:
            yield provider, client


@pytest.fixture
def hostile(
    trusting: tuple[Hostile, httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> tuple[Hostile, httpx.Client]:
    """A provider that does no wrong yet, and a service that trusts it, and asks it each time."""
    provider, client = trusting
    monkeypatch.setattr(oidc_http, "FRESH_S", -1.0)
    provider.__init__(provider.port)  # type: ignore[misc]
    client.cookies.clear()
    return provider, client


def begun(client: httpx.Client, provider: Hostile) -> str:
    """Begin a login; put its nonce into the provider's claims and return the state."""
    sent = client.get(f"{API}/oidc/login")
    assert sent.status_code == 303, sent.text
    query = parse_qs(urlsplit(sent.headers["location"]).query)
    assert query["code_challenge_method"] == ["S256"]
    provider.claims.setdefault("nonce", query["nonce"][0])
    return query["state"][0]


def finished(client: httpx.Client, provider: Hostile) -> httpx.Response:
    state = begun(client, provider)
    return client.get(CALLBACK, params={"code": "c", "state": state})


def hs256(claims: dict[str, Any]) -> str:
    """A token signed with the public key as if it were a shared secret (algorithm confusion)."""
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    unsigned = jwt.encode(claims, "x" * 32, "HS256", headers={"kid": "k"}).rsplit(".", 1)[0]
    mac = hmac.new(pem, unsigned.encode(), hashlib.sha256).digest()
    return f"{unsigned}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


class TestHostileProvider:
    def test_only_a_token_for_this_login_signs_in(
        self, hostile: tuple[Hostile, httpx.Client], capfd: Any
    ) -> None:
        provider, client = hostile
        usual = provider.sign
        wrong: list[tuple[dict[str, Any], Any]] = [
            ({"nonce": "of another login"}, usual),
            ({"nonce": ""}, usual),
            ({"iss": "https://evil.example"}, usual),
            ({"aud": "elsewhere"}, usual),
            ({"aud": "elsewhere", "azp": "braincase"}, usual),
            ({"aud": ["braincase", "elsewhere"], "azp": "elsewhere"}, usual),
            ({"exp": int(time.time()) - 120}, usual),
            ({"exp": None}, usual),
            ({"sub": None}, usual),
            ({"sub": ""}, usual),
            ({"sub": ["eve"]}, usual),
            ({"sub": "x" * 256}, usual),
            ({"at_hash": "of another access token"}, usual),
            ({}, lambda c: jwt.encode(c, OTHER_KEY, "RS256", headers={"kid": "k"})),
            ({}, lambda c: jwt.encode(c, None, "none", headers={"kid": "k"})),
            ({}, hs256),
            ({}, lambda _: "no token"),
            ({}, lambda _: None),
        ]
        for claims, sign in wrong:
            provider.claims, provider.sign = dict(claims), sign
            page = finished(client, provider)
            assert page.status_code == 403, (claims, page.text)
            assert "did not sign you in" in page.text
            assert client.get(f"{API}/me").status_code == 401, claims
        lines = capfd.readouterr().err.splitlines()
        assert len([line for line in lines if "sign-in at" in line]) == len(wrong)
        provider.claims, provider.sign = {}, usual  # the very same flow with nothing wrong
        assert finished(client, provider).status_code == 200
        assert client.get(f"{API}/me").json()["user"] == "oidc:eve"

    def test_the_record_of_another_person_is_not_taken(
        self, hostile: tuple[Hostile, httpx.Client]
    ) -> None:
        provider, client = hostile
        provider.metadata["userinfo_endpoint"] = f"{provider.issuer}/userinfo"
        provider.claims["groups"] = None  # so that the record is asked for
        for sub, status in (("adam", 403), ("eve", 200)):
            record = json.dumps({"sub": sub, "groups": ["librarians"]}).encode()
            provider.instead["/userinfo"] = (200, {}, record)
            assert finished(client, provider).status_code == status
            del provider.claims["nonce"]
        assert client.get(f"{API}/me").json()["role"] == "curator"

    def test_metadata_lead_nowhere_else(self, hostile: tuple[Hostile, httpx.Client]) -> None:
        provider, client = hostile
        good = dict(provider.metadata)
        with hostile_provider() as inside:  # a service of the hospital that no browser reaches
            for change in (
                {"issuer": "https://evil.example"},
                {"token_endpoint": f"{inside.issuer}/token"},
                {"jwks_uri": "file:///etc/passwd"},
                {"jwks_uri": "http://169.254.169.254/"},
                {"userinfo_endpoint": "http://127.0.0.1@evil.example/"},
                {"authorization_endpoint": "javascript:alert(1)"},
                {"token_endpoint": 7},
                {"token_endpoint": provider.issuer.replace("//", "//user@") + "/token"},
            ):
                provider.metadata = {**good, **change}
                assert client.get(f"{API}/oidc/login").status_code == 403, change
            provider.metadata = good
            moved = {"Location": f"{inside.issuer}/token"}
            provider.instead["/token"] = (307, moved, b"")
            assert finished(client, provider).status_code == 503
            assert inside.asked == []

    def test_no_answer_takes_memory_or_time(
        self, hostile: tuple[Hostile, httpx.Client], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        provider, client = hostile
        large = json.dumps({**provider.metadata, "more": " " * (8 << 20)}).encode()
        packed = gzip.compress(large)
        for headers, body in (
            ({}, large),
            ({"Content-Encoding": "gzip"}, packed),
            ({}, b"[" * 500_000),
            ({}, b"\xff"),
            ({}, b"[]"),
        ):
            provider.instead[oidc_http.WELL_KNOWN] = (200, headers, body)
            assert client.get(f"{API}/oidc/login").status_code == 403, body[:10]
        monkeypatch.setattr(oidc_client, "STEP_S", 0.5)
        provider.pause_s = 0.2  # after each byte: it never stops to answer
        provider.instead[oidc_http.WELL_KNOWN] = (200, {}, large)
        started = time.monotonic()
        page = client.get(f"{API}/oidc/login")
        assert time.monotonic() - started < 3
        assert page.status_code == 503
        assert "cannot be reached" in page.text


def test_without_the_provider_the_service_starts_and_passwords_go_on(
    gallery: Path, tmp_path: Path, capfd: Any
) -> None:
    port = free_port()
    oidc = write_oidc(
        tmp_path, f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{port}{CALLBACK}"
    )
    users = tmp_path / "users.json"
    add_user(users, "rita", PASSWORD, "reader")
    settings = settings_for(
        gallery, tmp_path / "audit.jsonl", oidc=oidc, users=users, limits={"sign_ins": "1/minute"}
    )
    with serving(settings, port) as client:
        page = client.get(f"{API}/oidc/login")
        assert page.status_code == 503
        assert "Hospital account cannot be reached at the moment" in page.text
        assert client.get(f"{API}/oidc/login").status_code == 429
        assert "Sign in with Hospital account" in client.get("/plain").text
        answer = client.post(f"{API}/login", json={"user": "rita", "password": PASSWORD})
        assert answer.json()["password"] is True
    lines = capfd.readouterr().err.splitlines()
    assert len([line for line in lines if "sign-in at http://127.0.0.1" in line]) == 2, lines


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            ("http://127.0.0.1:9/", "http://id.example/"),
            "issuer 'http://id.example/'; expected https",
        ),
        (("[roles]", "[rules]"), "unknown key 'rules'"),
        (('"curator"', '"chief"'), "role 'chief'"),
        (("[roles]", 'default_role = "chief"\n[roles]'), "role 'chief'"),
        (("http://127.0.0.1:8765", "https://127.0.0.1:8765"), "expected http, as it is served"),
        (("127.0.0.1:8765", "room.example"), "http only on this machine"),
        ((CALLBACK, "/callback"), "the reading room's address"),
        (('"secret"', '"missing"'), "missing: cannot be read"),
        (('client_secret_file = "secret"\n', ""), "no client secret"),
        (('["profile", "groups"]', '"profile"'), "scopes 'profile'"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    os.environ.pop(SECRET_VARIABLE, None)
    file = write_oidc(tmp_path, "http://127.0.0.1:9/", f"http://127.0.0.1:8765{CALLBACK}")
    text = file.read_text()
    assert change[0] in text
    file.write_text(text.replace(*change))
    with pytest.raises(BraincaseError) as refused:
        read_oidc(file, ServiceSettings("gallery"))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_example_can_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "oidc.secret").write_text(SECRET)
    (tmp_path / "oidc.secret").chmod(0o600)
    example = Path(__file__).parents[1] / "release" / "deploy" / "oidc.toml"
    shutil.copy(example, tmp_path)
    served = ServiceSettings("gallery", hosts=("reading-room.example",), tls_elsewhere=True)
    read = read_oidc(tmp_path / "oidc.toml", served)
    assert (read.roles["it"], read.default_role) == ("admin", None)
    assert read.scopes == ("openid", "profile", "groups")
    with pytest.raises(BraincaseError, match="a name that the service knows"):
        read_oidc(tmp_path / "oidc.toml", ServiceSettings("gallery", tls_elsewhere=True))


def test_the_secret_is_its_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_oidc(tmp_path, "http://127.0.0.1:9/", f"http://127.0.0.1:8765{CALLBACK}")
    assert SECRET not in repr(read_oidc(file, ServiceSettings("gallery")))
    (tmp_path / "secret").chmod(0o640)
    with pytest.raises(BraincaseError, match="others on this machine may read"):
        read_oidc(file, ServiceSettings("gallery"))
    file.write_text(re.sub("client_secret_file.*\n", "", file.read_text()))
    monkeypatch.setenv(SECRET_VARIABLE, SECRET)
    assert read_oidc(file, ServiceSettings("gallery")).secret() == SECRET


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-3d-apis"]
AXE = WEB / "frontend" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.skipif(not (WEB / "static" / "index.html").is_file(), reason="no page: `make page`")
def test_on_the_page_a_button_leads_to_the_provider_and_back(
    real: tuple[httpx.Client, Path],
) -> None:
    """In a real browser, as its rules for cookies and for pages elsewhere are what matters."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with (
        sync_api.sync_playwright() as playing,
        playing.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser,
    ):
        page = browser.new_page(locale="en-GB")
        page.goto(f"{real[0].base_url}/")
        button = page.get_by_role("link", name="Sign in with Hospital account")
        button.wait_for()
        if AXE.is_file():
            page.evaluate(AXE.read_text(encoding="utf-8"))
            found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa']})")
            assert [one["id"] for one in found["violations"]] == []
        page.evaluate("document.getElementById('language').click()")
        page.get_by_role("link", name="Hospital account でログイン").wait_for()
        page.evaluate("document.getElementById('language').click()")
        button.click()
        page.fill("[name=login]", "rita")
        page.fill("[name=password]", "any")
        page.click("button")
        page.click("button")  # what the service may learn
        page.get_by_role("button", name="Dr. rita").wait_for()
        assert page.url == f"{real[0].base_url}/"
        page.get_by_role("button", name="Sign out").click()
        ending = page.get_by_role("link", name="Sign out there too")
        assert "/session/end?client_id=braincase" in str(ending.get_attribute("href"))
