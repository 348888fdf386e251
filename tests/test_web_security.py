"""The service as an intruder meets it; each test fails when its defence is taken away."""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from starlette.datastructures import Headers

from braincase.errors import UsageError
from braincase.web.app import ROUTES, build_app
from braincase.web.routes.sign_in import sign_in_choices
from braincase.web.security.proxy import Proxy, token_proxy
from braincase.web.security.users import add_user, read_users, remove_user
from braincase.web.service_settings import ServiceSettings, is_loopback
from web_service import API, serving, settings_for

PASSWORD = "a long password"
ROLES = {"rita": "reader", "carl": "curator", "ada": "admin"}


def write_users(path: Path) -> Path:
    for name, role in ROLES.items():
        add_user(path, name, PASSWORD, role, force=True)
    return path


@pytest.fixture(scope="module")
def users_written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of users; do not change it. Its three hashes take long, as they should."""
    return write_users(tmp_path_factory.mktemp("users") / "users.json")


@pytest.fixture
def users(users_written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy2(users_written, tmp_path / "users.json"))


@pytest.fixture(scope="module")
def guarded_service(
    users_written: Path, web_gallery: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[httpx.Client, Path]]:
    folder = tmp_path_factory.mktemp("guarded")
    users = Path(shutil.copy2(users_written, folder / "users.json"))
    with serving(settings_for(web_gallery, folder / "audit.jsonl", users=users)) as client:
        yield client, users


@pytest.fixture
def guarded(guarded_service: tuple[httpx.Client, Path]) -> httpx.Client:
    """A service with users; the client is nobody yet."""
    client, _ = guarded_service
    client.cookies.clear()
    client.headers.pop("X-CSRF-Token", None)
    return client


@pytest.fixture(scope="module")
def open_service(
    web_gallery: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A service without users, as on one's own machine."""
    audit = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    limits = {"body_bytes": 10_000}
    with serving(settings_for(web_gallery, audit, limits=limits)) as client:
        yield client


def log_in(client: httpx.Client, user: str, password: str = PASSWORD) -> httpx.Response:
    answer = client.post(f"{API}/login", json={"user": user, "password": password})
    if answer.status_code == 200:
        client.headers["X-CSRF-Token"] = answer.json()["csrf"]
    return answer


class TestBinding:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "reading-room.example"])
    def test_other_machines_are_not_let_in_without_users(self, host: str) -> None:
        with pytest.raises(UsageError, match="without users") as refused:
            ServiceSettings("gallery", host=host)
        assert refused.value.exit_code == 2
        assert "--users" in str(refused.value)

    def test_nor_do_passwords_cross_the_network_in_clear(self, users: Path) -> None:
        with pytest.raises(UsageError, match="in clear"):
            ServiceSettings("gallery", host="0.0.0.0", users=users)
        assert ServiceSettings("gallery", host="0.0.0.0", users=users, tls_elsewhere=True).encrypted

    def test_the_command_says_so_with_exit_code_2(self, web_gallery: Path) -> None:
        command = [sys.executable, "-m", "braincase", "serve", web_gallery, "--host", "0.0.0.0"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 2
        assert done.stderr.startswith("braincase: --host 0.0.0.0: open to other machines")
        assert done.stderr.count("\n") == 1

    def test_the_default_listens_on_the_loopback_only(self) -> None:
        assert is_loopback(ServiceSettings("gallery").host)
        assert not is_loopback("127.0.0.1.example.com")


class TestUsers:
    def test_every_route_but_health_and_login_wants_a_login(self, guarded: httpx.Client) -> None:
        for route in ROUTES:
            path = re.sub(r"\{\w+\}", "1", API + route.path)
            body = {"user": "x", "password": "x"} if route.method == "POST" else None
            status = guarded.request(route.method, path, json=body).status_code
            is_open = route.path in ("/health", "/ready") or route.endpoint is sign_in_choices
            expected = 200 if is_open else 404 if route.path.startswith("/oidc/") else 401
            assert status == expected, (route.method, path, status)
        assert guarded.get("/metrics").status_code == 401
        plain = guarded.get("/")
        assert plain.status_code == 401
        assert "sub-" not in plain.text

    def test_roles_bound_what_people_may_do(self, guarded: httpx.Client) -> None:
        case = {"upload": "x", "scan_id": "sub-x", "subject": "x"}
        allowed = {}
        for name in ROLES:
            log_in(guarded, name)
            added = guarded.post(f"{API}/cases", json=case).status_code
            removed = guarded.delete(f"{API}/cases/sub-nobody").status_code
            allowed[name] = (added, removed, guarded.get("/metrics").status_code)
        assert allowed == {"rita": (403, 403, 403), "carl": (404, 404, 403), "ada": (404, 404, 200)}

    def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
        self, guarded: httpx.Client
    ) -> None:
        cookie = log_in(guarded, "rita").headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "path=/" in cookie

    def test_under_tls_the_cookie_never_travels_without(
        self, web_gallery: Path, users: Path, tmp_path: Path
    ) -> None:
        settings = settings_for(web_gallery, tmp_path / "a", users=users, tls_elsewhere=True)
        with serving(settings) as client:
            answer = log_in(client, "rita")
        assert answer.headers["set-cookie"].startswith("__Host-")
        assert "secure" in answer.headers["set-cookie"].lower()
        assert "strict-transport-security" in answer.headers

    def test_a_forged_or_altered_cookie_is_nobody(self, guarded: httpx.Client) -> None:
        log_in(guarded, "rita")
        (name,) = guarded.cookies
        held = guarded.cookies[name]
        guarded.cookies.set(name, held[:-3] + ("AAA" if held[-3:] != "AAA" else "BBB"))
        assert guarded.get(f"{API}/me").status_code == 401

    def test_a_change_needs_the_token_of_its_own_page(self, guarded: httpx.Client) -> None:
        log_in(guarded, "ada")
        token = guarded.headers.pop("X-CSRF-Token")
        assert guarded.get(f"{API}/cases").status_code == 200
        for wrong in ({}, {"X-CSRF-Token": "x"}, {"X-CSRF-Token": token[:-1]}):
            answer = guarded.post(f"{API}/searches", json={"case": "sub-x"}, headers=wrong)
            assert (answer.status_code, answer.json()["error"]) == (403, "forged")
        right = {"X-CSRF-Token": token}
        assert (
            guarded.post(f"{API}/searches", json={"case": "sub-x"}, headers=right).status_code
            == 404
        )

    def test_a_session_ends_with_logout_also_for_a_copy(self, guarded: httpx.Client) -> None:
        log_in(guarded, "rita")
        copied = dict(guarded.cookies)
        assert guarded.post(f"{API}/logout").status_code == 200
        guarded.cookies.update(copied)
        assert guarded.get(f"{API}/me").status_code == 401

    def test_a_session_ends_with_the_user_and_with_a_new_password(
        self, guarded: httpx.Client, guarded_service: tuple[httpx.Client, Path]
    ) -> None:
        _, users = guarded_service
        log_in(guarded, "rita")
        add_user(users, "rita", "another password", "reader", force=True)
        assert guarded.get(f"{API}/me").status_code == 401
        log_in(guarded, "carl")
        assert guarded.get(f"{API}/me").json()["role"] == "curator"
        remove_user(users, "carl")
        assert guarded.get(f"{API}/me").status_code == 401
        write_users(users)

    def test_passwords_are_hashed_and_the_file_is_private(self, users: Path) -> None:
        assert PASSWORD not in users.read_text()
        assert users.read_text().count("$argon2id$") == 3
        hashes = {user.hashed for user in read_users(users).values()}
        assert len(hashes) == 3  # salted
        assert stat.S_IMODE(users.stat().st_mode) == 0o600
        users.chmod(0o644)
        with pytest.raises(UsageError, match="others on this machine"):
            read_users(users)

    def test_weak_passwords_and_wrong_roles_are_refused(self, users: Path) -> None:
        with pytest.raises(UsageError, match="at least 12"):
            add_user(users, "new", "short", "reader")
        with pytest.raises(UsageError, match="reader or curator or admin"):
            add_user(users, "new", PASSWORD, "god")
        with pytest.raises(UsageError, match="is a user already"):
            add_user(users, "rita", PASSWORD, "admin")

    def test_guessing_is_slowed_and_noted_without_the_guess(
        self, web_gallery: Path, users: Path, tmp_path: Path
    ) -> None:
        audit = tmp_path / "audit.jsonl"
        limits = {"logins": "3/minute"}
        with serving(settings_for(web_gallery, audit, users=users, limits=limits)) as client:
            answers = [log_in(client, "rita", f"guess number {n}") for n in range(5)]
            assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
            assert "retry-after" in answers[-1].headers
        assert "guess" not in audit.read_text()
        assert audit.read_text().count("login refused") == 4  # that one has to wait, once

    def test_uploads_and_their_searches_belong_to_who_made_them(
        self, guarded: httpx.Client
    ) -> None:
        log_in(guarded, "rita")
        code = [0.1] * 150
        told = guarded.post(f"{API}/searches", json={"code": code, "k": 2}).json()
        path = f"{API}/searches/{told['search']}"
        assert guarded.get(path).status_code == 200
        log_in(guarded, "carl")
        assert guarded.get(path).status_code == 404

    def test_the_plain_pages_form_logs_in(self, guarded: httpx.Client) -> None:
        wrong = guarded.post("/plain/login", data={"user": "rita", "password": "x"})
        assert wrong.status_code == 401
        right = guarded.post("/plain/login", data={"user": "rita", "password": PASSWORD})
        assert right.status_code == 303
        assert "You are rita" in guarded.get("/plain").text


class TestMetrics:
    TOKEN = "0123456789abcdef" * 4

    @pytest.fixture
    def token(self, tmp_path: Path) -> Path:
        path = tmp_path / "metrics.token"
        path.write_text(self.TOKEN + "\n")
        path.chmod(0o640)
        return path

    def test_a_scraper_with_the_token_reads_metrics_and_nothing_else(
        self, web_gallery: Path, users: Path, token: Path, tmp_path: Path
    ) -> None:
        settings = settings_for(web_gallery, tmp_path / "a", users=users, metrics_token=token)
        right = {"Authorization": f"Bearer {self.TOKEN}"}
        with serving(settings) as client:
            told = client.get("/metrics", headers=right)
            assert told.status_code == 200
            assert "braincase_requests_total" in told.text
            for path in ("gallery", "me", "cases"):
                assert client.get(f"{API}/{path}", headers=right).status_code == 401
            wrong = ("", "Bearer", f"Bearer {self.TOKEN[:-1]}", f"Bearer {self.TOKEN}0",
                     self.TOKEN, f"Basic {self.TOKEN}", "Bearer \xe9")  # fmt: skip
            for said in wrong:
                headers = {"Authorization": said.encode("latin-1")}
                assert client.get("/metrics", headers=headers).status_code == 401, said
            twice = [("Authorization", f"Bearer {self.TOKEN}"), ("Authorization", "Bearer x")]
            assert client.get("/metrics", headers=twice).status_code == 401
            log_in(client, "ada")
            assert client.get("/metrics").status_code == 200

    def test_a_new_token_counts_at_once_and_a_missing_one_closes_the_door(
        self, web_gallery: Path, users: Path, token: Path, tmp_path: Path
    ) -> None:
        settings = settings_for(web_gallery, tmp_path / "a", users=users, metrics_token=token)
        with serving(settings) as client:
            headers = {"Authorization": f"Bearer {self.TOKEN}"}
            token.write_text("another token, of some length".replace(" ", "-") + "-indeed")
            assert client.get("/metrics", headers=headers).status_code == 401
            headers = {"Authorization": f"Bearer {token.read_text()}"}
            assert client.get("/metrics", headers=headers).status_code == 200
            token.write_text("")
            assert client.get("/metrics", headers={"Authorization": "Bearer"}).status_code == 401
            token.unlink()
            assert client.get("/metrics", headers=headers).status_code == 401

    def test_a_token_that_protects_nothing_is_refused_at_the_start(
        self, web_gallery: Path, users: Path, token: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError, match="without --users, --oidc or --proxy"):
            settings_for(web_gallery, tmp_path / "a", metrics_token=token)
        settings = settings_for(web_gallery, tmp_path / "a", users=users, metrics_token=token)
        token.chmod(0o644)
        with pytest.raises(UsageError, match="everybody on this machine"):
            build_app(settings)
        token.chmod(0o640)
        for weak, why in (("short", "5 characters"), ("two words", "not one word"), ("", "word")):
            token.write_text(weak)
            with pytest.raises(UsageError, match=why):
                build_app(settings)
        token.unlink()
        with pytest.raises(UsageError, match="cannot be read"):
            build_app(settings)


class TestOtherSites:
    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ],
    )
    def test_a_change_that_another_site_asks_for_is_refused(
        self, open_service: httpx.Client, headers: dict[str, str]
    ) -> None:
        for method, path in (("POST", "searches"), ("DELETE", "cases/x"), ("POST", "uploads")):
            answer = open_service.request(method, f"{API}/{path}", headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (403, "foreign")

    def test_our_own_page_is_let_through(self, open_service: httpx.Client) -> None:
        own = str(open_service.base_url).rstrip("/")
        headers = {"Origin": own, "Sec-Fetch-Site": "same-origin"}
        answer = open_service.post(f"{API}/searches", json={"case": "x"}, headers=headers)
        assert answer.status_code == 404

    @pytest.mark.parametrize(
        "host", ["evil.example", "127.0.0.1.evil.example:80", "", "[::1", "a b"]
    )
    def test_a_name_made_to_point_here_is_not_answered(
        self, open_service: httpx.Client, host: str
    ) -> None:
        """DNS rebinding: the browser believes that our answers are another site's own."""
        answer = open_service.get(f"{API}/cases", headers={"Host": host})
        assert answer.status_code == 400
        assert "sub-" not in answer.text

    def test_every_answer_forbids_inline_scripts_framing_and_sniffing(
        self, open_service: httpx.Client
    ) -> None:
        paths = ["/", f"{API}/cases", f"{API}/nothing", "/plain.css", "/metrics"]
        for path in paths:
            headers = open_service.get(path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
        assert open_service.get(f"{API}/cases").headers["cache-control"] == "no-store"
        assert "server" not in open_service.get(f"{API}/health").headers


class TestLimits:
    def test_a_large_body_is_refused(self, open_service: httpx.Client) -> None:
        answer = open_service.post(f"{API}/searches", content=b"x" * 20_000)
        assert answer.status_code == 413
        pieces = (b"x" * 1000 for _ in range(20))
        assert open_service.post(f"{API}/searches", content=pieces).status_code == 413

    def test_a_slow_body_is_refused(
        self, open_service: httpx.Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("braincase.web.middleware.BODY_S", 0.5)
        host, port = open_service.base_url.host, open_service.base_url.port
        head = f"POST {API}/searches HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 100\r\n\r\n"
        with socket.create_connection((host, port), timeout=10) as line:
            line.sendall(head.encode())
            assert b"408" in line.recv(4096).splitlines()[0]

    def test_a_silent_connection_is_closed(
        self, open_service: httpx.Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("braincase.web.run.HEAD_S", 0.5)
        host, port = open_service.base_url.host, open_service.base_url.port
        whole = f"GET {API}/health HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
        for first in (b"", whole[:20], whole, whole + whole[:20]):
            with socket.create_connection((host, port), timeout=5) as line:
                line.sendall(first)
                while line.recv(4096):  # an answer where a request was whole, then the end
                    pass

    def test_rates_are_limited(self, web_gallery: Path, tmp_path: Path) -> None:
        limits = {"requests": "20/minute", "searches": "2/minute"}
        with serving(settings_for(web_gallery, tmp_path / "a", limits=limits)) as client:
            searches = [
                client.post(f"{API}/searches", json={"code": [0.0] * 150}) for _ in range(3)
            ]
            assert [answer.status_code for answer in searches] == [200, 200, 429]
            others = [client.get(f"{API}/health").status_code for _ in range(20)]
            assert others.count(429) == 3


class TestAudit:
    def test_who_searched_what_when_is_appended_and_names_no_code(
        self, web_gallery: Path, users: Path, tmp_path: Path
    ) -> None:
        audit = tmp_path / "audit.jsonl"
        audit.write_text('{"action": "earlier"}\n')
        with serving(settings_for(web_gallery, audit, users=users)) as client:
            log_in(client, "rita")
            scan_id = client.get(f"{API}/cases").json()["cases"][0]["scan_id"]
            wish = {"case": scan_id, "k": 2, "where": "age > 1"}
            told = client.post(f"{API}/searches", json=wish).json()
            client.post(f"{API}/searches", json={"code": [0.123456] * 150})
            client.get(f"{API}/searches/{told['search']}/report.html")
        lines = [json.loads(line) for line in audit.read_text().splitlines()]
        assert lines[0] == {"action": "earlier"}
        searched = next(line for line in lines if line["action"] == "search")
        assert (searched["user"], searched["case"]) == ("rita", scan_id)
        assert (searched["where"], searched["version"]) == ("age > 1", told["gallery_version"])
        assert searched["at"].startswith("20")
        assert [line["action"] for line in lines[1:]] == ["login", "search", "search", "report"]
        assert "0.123" not in audit.read_text()

    def test_the_log_cannot_be_rewritten_by_the_service_and_is_private(
        self, web_gallery: Path, tmp_path: Path
    ) -> None:
        audit = tmp_path / "audit.jsonl"
        with serving(settings_for(web_gallery, audit)) as client:
            service = client.app.state.service  # type: ignore[attr-defined]
            service.audit.write("a", "first")
            os.lseek(service.audit._descriptor, 0, os.SEEK_SET)
            service.audit.write("b", "second\nforged")
        lines = audit.read_text().splitlines()
        assert [json.loads(line)["user"] for line in lines] == ["a", "b"]
        assert stat.S_IMODE(audit.stat().st_mode) == 0o600


@pytest.fixture(scope="module")
def keys() -> dict[str, Any]:
    mine, other = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    public = mine.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return {"mine": mine, "other": other, "public": public}


@pytest.fixture(scope="module")
def behind_proxy(
    keys: Mapping[str, Any], web_gallery: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("proxy")
    (folder / "key.pem").write_bytes(keys["public"])
    (folder / "proxy.toml").write_text(
        'header = "X-Token"\npublic_key = "key.pem"\nissuer = "https://id.example"\n'
        'audience = "braincase"\nroles_claim = "groups"\n'
        '[roles]\nradiology = "reader"\nlibrarians = "curator"\n'
    )
    settings = settings_for(web_gallery, folder / "a", proxy=folder / "proxy.toml")
    with serving(settings) as client:
        yield client


WHOLE = """
header = "X"
issuer = "i"
audience = "a"
algorithms = ["RS256"]
[roles]
staff = "reader"
"""


class TestProxy:
    def claims(self, **changes: Any) -> dict[str, Any]:
        usual = {
            "sub": "dr.who",
            "iss": "https://id.example",
            "aud": "braincase",
            "exp": time.time() + 60,
            "groups": ["staff", "radiology"],
        }
        return {k: v for k, v in {**usual, **changes}.items() if v is not None}

    def test_a_signed_token_says_who_and_which_role(
        self, behind_proxy: httpx.Client, keys: Mapping[str, Any]
    ) -> None:
        token = jwt.encode(self.claims(), keys["mine"], "RS256")
        me = behind_proxy.get(f"{API}/me", headers={"X-Token": f"Bearer {token}"}).json()
        assert (me["user"], me["role"]) == ("dr.who", "reader")
        both = jwt.encode(self.claims(groups=["radiology", "librarians"]), keys["mine"], "RS256")
        assert behind_proxy.get(f"{API}/me", headers={"X-Token": both}).json()["role"] == "curator"
        change = behind_proxy.post(
            f"{API}/searches", json={"case": "x"}, headers={"X-Token": token}
        )
        assert change.json()["error"] == "forged"  # the page's own token is needed too

    def test_anything_less_is_nobody(
        self, behind_proxy: httpx.Client, keys: Mapping[str, Any]
    ) -> None:
        mine = keys["mine"]
        wrong = {
            "signed by another": jwt.encode(self.claims(), keys["other"], "RS256"),
            "signed by nobody": jwt.encode(self.claims(), None, "none"),
            "another method": jwt.encode(self.claims(), mine, "RS512"),
            "expired": jwt.encode(self.claims(exp=time.time() - 5), mine, "RS256"),
            "never expires": jwt.encode(self.claims(exp=None), mine, "RS256"),
            "another audience": jwt.encode(self.claims(aud="mail"), mine, "RS256"),
            "no audience": jwt.encode(self.claims(aud=None), mine, "RS256"),
            "another issuer": jwt.encode(self.claims(iss="https://evil.example"), mine, "RS256"),
            "no role": jwt.encode(self.claims(groups=["staff"]), mine, "RS256"),
            "no user": jwt.encode(self.claims(sub=None), mine, "RS256"),
            "no token": "dr.who",
        }
        for what, token in wrong.items():
            answer = behind_proxy.get(f"{API}/me", headers={"X-Token": token})
            assert answer.status_code == 401, what
        plain = {"X-Forwarded-User": "ada", "Remote-User": "ada", "X-Forwarded-Role": "admin"}
        assert behind_proxy.get(f"{API}/me", headers=plain).status_code == 401
        good = jwt.encode(self.claims(), mine, "RS256")
        twice = [("X-Token", good), ("X-Token", wrong["signed by another"])]
        assert behind_proxy.get(f"{API}/me", headers=twice).status_code == 401

    def test_a_public_key_is_no_shared_secret(
        self, behind_proxy: httpx.Client, keys: Mapping[str, Any]
    ) -> None:
        """The old confusion: HS256 with the public key as the secret."""
        import base64
        import hashlib
        import hmac

        def part(content: Any) -> bytes:
            return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=")

        body = part({"alg": "HS256", "typ": "JWT"}) + b"." + part(self.claims())
        mark = hmac.new(keys["public"], body, hashlib.sha256).digest()
        token = body + b"." + base64.urlsafe_b64encode(mark).rstrip(b"=")
        answer = behind_proxy.get(f"{API}/me", headers={"X-Token": token.decode()})
        assert answer.status_code == 401

    def test_certificates_and_key_sets_verify_as_well(
        self, keys: Mapping[str, Any], tmp_path: Path
    ) -> None:
        mine, elliptic = keys["mine"], ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "proxy")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = x509.CertificateBuilder(
            name, name, mine.public_key(), 1, now, now + datetime.timedelta(days=1)
        ).sign(mine, hashes.SHA256())
        (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        later = {"kty": "AKP", "kid": "later"}
        for_kid = jwt.algorithms.ECAlgorithm.to_jwk(elliptic.public_key(), as_dict=True)
        for_all = jwt.algorithms.RSAAlgorithm.to_jwk(mine.public_key(), as_dict=True)
        key_set = {"keys": [later, for_all, {**for_kid, "kid": "k2"}]}
        (tmp_path / "keys.json").write_text(json.dumps(key_set))
        common = {"header": "X-Token", "issuer": "https://id.example", "audience": "braincase",
                  "roles_claim": "groups", "roles": {"radiology": "reader"},
                  "algorithms": ["RS256", "ES256"]}  # fmt: skip
        by_cert = token_proxy(tmp_path / "p.toml", {**common, "public_key": "cert.pem"})
        by_set = token_proxy(tmp_path / "p.toml", {**common, "jwks": "keys.json"})

        def who(proxy: Proxy, key: Any, algorithm: str, **headers: str) -> object:
            token = jwt.encode(self.claims(), key, algorithm, headers=headers)
            return proxy.identify(Headers({"X-Token": token}), "10.0.0.1")

        assert who(by_cert, mine, "RS256") == ("dr.who", "reader")
        assert who(by_cert, keys["other"], "RS256") is None
        assert who(by_set, elliptic, "ES256", kid="k2") == ("dr.who", "reader")
        assert who(by_set, mine, "RS256", kid="unnamed") == ("dr.who", "reader")
        assert who(by_set, elliptic, "ES256", kid="later") is None

    @pytest.mark.parametrize(
        "text", ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
    )
    def test_a_key_that_verifies_nothing_is_refused_at_the_start(
        self, tmp_path: Path, text: str
    ) -> None:
        (tmp_path / "key.pem").write_text(text)
        config = {"header": "X", "issuer": "i", "audience": "a", "roles": {"staff": "reader"}}
        with pytest.raises(UsageError, match="a PEM key or a JWK set"):
            token_proxy(tmp_path / "proxy.toml", {**config, "public_key": "key.pem"})

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("", "no 'audience'"),
            (WHOLE.replace("RS256", "HS256"), "algorithm 'HS256'"),
            ('secret = "s"\n' + WHOLE, "unknown key 'secret'"),
            (WHOLE.replace("reader", "god"), "role 'god'"),
            (WHOLE, "both or none of public_key and jwks"),
            (WHOLE.replace('["RS256"]', "5"), "algorithms 5"),
            (WHOLE.replace('[roles]\nstaff = "reader"', "roles = 5"), "'roles' that is no table"),
        ],
    )
    def test_a_half_configuration_is_refused(
        self, web_gallery: Path, tmp_path: Path, text: str, says: str
    ) -> None:
        path = tmp_path / "proxy.toml"
        path.write_text(text)
        with (
            pytest.raises(UsageError) as refused,
            serving(settings_for(web_gallery, tmp_path / "a", proxy=path)),
        ):
            pass
        assert says in str(refused.value)


def test_no_route_was_added_beside_the_site_map(open_service: httpx.Client) -> None:
    app = open_service.app  # type: ignore[attr-defined]
    paths = {route.path for route in app.routes}
    beside = {path for path in paths if not path.startswith(API)}
    assert beside == {"/", "/plain", "/plain/login", "/plain.css", "/metrics"}
