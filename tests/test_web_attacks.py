"""Attacks on the service that once worked: on memory, on other people's access, on its log."""

from __future__ import annotations

import asyncio
import json
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import jwt
import psutil
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from braincase.cohort.cohort import Cohort
from braincase.errors import AuditError, UsageError
from braincase.gallery import open_gallery
from braincase.web.app import build_app
from braincase.web.middleware import Guard
from braincase.web.run import PatientServer, open_port, server_config
from braincase.web.security.audit import AuditLog
from braincase.web.security.audit_chain import verify_chain
from braincase.web.security.proxy_kinds import read_proxy
from braincase.web.security.users import add_token, add_user, read_users
from braincase.web.service_settings import ServiceSettings
from web_service import API, serving, settings_for, uploaded, wait_for

PASSWORD = "blue tractor melts quietly"


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("users") / "users.json"
    for name, role in {
        "rita": "reader",
        "ron": "reader",
        "carl": "curator",
        "ada": "admin",
    }.items():
        add_user(path, name, PASSWORD, role)
    return path


@pytest.fixture
def gallery_copy(web_gallery: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(web_gallery, tmp_path / "gallery"))


@pytest.fixture(scope="module")
def open_service(
    web_gallery: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A service without users, as on one's own machine."""
    audit = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    with serving(settings_for(web_gallery, audit)) as client:
        yield client


def log_in(client: httpx.Client, user: str, password: str = PASSWORD) -> httpx.Response:
    answer = client.post(f"{API}/login", json={"user": user, "password": password})
    if answer.status_code == 200:
        client.headers["X-CSRF-Token"] = answer.json()["csrf"]
    return answer


def from_address(client: httpx.Client, address: str) -> httpx.Client:
    """A second client of the same service that calls from another loopback address."""
    transport = httpx.HTTPTransport(local_address=address)
    return httpx.Client(base_url=client.base_url, transport=transport, timeout=60)


def audit_lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class TestMemory:
    def test_made_up_methods_and_paths_share_one_label(self, open_service: httpx.Client) -> None:
        for n in range(50):
            open_service.request(f"EVIL{n}", f"/nothing/{n}")
            open_service.request(f"EVIL{n}", f"{API}/health")
        told = open_service.get("/metrics").text
        assert "EVIL" not in told
        assert 'method="other"' in told

    def test_searches_that_a_link_can_make_again_take_little_memory(
        self, open_service: httpx.Client
    ) -> None:
        service = open_service.app.state.service  # type: ignore[attr-defined]
        wish = {"case": first_case(open_service), "k": 2}
        answers = [
            open_service.post(f"{API}/searches", json={**wish, "older": n / 10}).json()
            for n in range(70)
        ]
        assert len(service.searches) <= 64
        again = open_service.get(f"{API}/searches/{answers[0]['search']}").json()
        assert again["hits"] == answers[0]["hits"]

    def test_the_cache_of_searches_is_bounded_by_bytes(self, open_service: httpx.Client) -> None:
        from braincase.web.expiring_cache import ExpiringCache

        cache = ExpiringCache[bytes](1000, 60.0, 100, len)
        for n in range(20):
            cache.put(str(n), b"x" * 30)
        assert [cache.get(str(n)) is not None for n in range(16, 20)] == [False, True, True, True]

    def test_a_link_is_a_search_and_counts_as_one(self, web_gallery: Path, tmp_path: Path) -> None:
        limits = {"searches": "3/minute"}
        with serving(settings_for(web_gallery, tmp_path / "a", limits=limits)) as client:
            case = first_case(client)
            links = [
                client.post(f"{API}/searches", json={"case": case, "k": k}).json()["search"]
                for k in (1, 2)
            ]
        with serving(settings_for(web_gallery, tmp_path / "b", limits=limits)) as client:
            wishes = [client.get(f"{API}/searches/{link}").status_code for link in links]
            more = [
                client.post(f"{API}/searches", json={"case": case, "k": k}).status_code
                for k in (3, 4)
            ]
        assert (wishes, more) == ([200, 200], [200, 429])


def first_case(client: httpx.Client) -> str:
    return str(client.get(f"{API}/cases").json()["cases"][0]["scan_id"])


class TestGuessing:
    def test_guesses_from_elsewhere_do_not_lock_anybody_out(
        self, web_gallery: Path, users: Path, tmp_path: Path
    ) -> None:
        audit, limits = tmp_path / "audit.jsonl", {"logins": "3/minute"}
        with serving(settings_for(web_gallery, audit, users=users, limits=limits)) as client:
            with from_address(client, "127.0.0.2") as thief:
                for _ in range(4):
                    last = log_in(thief, "ada", "a wrong guess")
                assert last.status_code == 429
                assert int(last.headers["retry-after"]) >= 1
                # Neither the name's owner elsewhere nor others at this address are kept out.
                assert log_in(thief, "rita").status_code == 200
            assert log_in(client, "ada").status_code == 200
        refused = [line for line in audit_lines(audit) if line["action"] == "login refused"]
        assert [line["reason"] for line in refused] == ["wrong"] * 3 + ["too many"]
        assert {line["client"] for line in refused} == {"127.0.0.2"}

    def test_guesses_that_have_to_wait_fill_neither_the_log_nor_the_disk(
        self, web_gallery: Path, users: Path, tmp_path: Path
    ) -> None:
        audit, limits = tmp_path / "audit.jsonl", {"logins": "2/minute"}
        with serving(settings_for(web_gallery, audit, users=users, limits=limits)) as client:
            answers = [log_in(client, "ada", "a wrong guess").status_code for _ in range(30)]
        assert answers == [401] * 2 + [429] * 28
        refused = [line["reason"] for line in audit_lines(audit)]
        assert refused == ["wrong", "wrong", "too many"]

    def test_right_passwords_are_not_counted(
        self, web_gallery: Path, users: Path, tmp_path: Path
    ) -> None:
        limits = {"logins": "2/minute"}
        with serving(
            settings_for(web_gallery, tmp_path / "a", users=users, limits=limits)
        ) as client:
            assert {log_in(client, "ada").status_code for _ in range(5)} == {200}

    def test_the_delay_grows_and_names_in_turn_are_bounded_too(self) -> None:
        from braincase.web.security.throttle import LoginThrottle

        throttle = LoginThrottle("2/minute")
        assert [throttle.begin("ada", "1.1.1.1") for _ in range(2)] == [0, 0]
        first = throttle.begin("ada", "1.1.1.1")
        assert 0 < first <= 5
        assert throttle.begin("ada", "2.2.2.2") == 0
        waits = [throttle.begin(f"name{n}", "3.3.3.3") for n in range(30)]
        assert waits[10] == 0
        assert waits[-1] > 0

    def test_a_trusted_proxy_tells_the_address_and_nobody_else_does(
        self, web_gallery: Path, users: Path, tmp_path: Path
    ) -> None:
        options = {"users": users, "tls_elsewhere": True, "client_header": "X-Forwarded-For"}
        for place, (proxies, told) in enumerate(
            {("127.0.0.1",): "203.0.113.9", ("192.0.2.1",): "127.0.0.1"}.items()
        ):
            audit = tmp_path / f"audit{place}.jsonl"
            settings = settings_for(web_gallery, audit, proxy_addresses=proxies, **options)
            with serving(settings) as client:
                client.headers["X-Forwarded-For"] = "198.51.100.7, 203.0.113.9"
                log_in(client, "rita")
            assert audit_lines(audit)[-1]["client"] == told

    def test_a_header_without_a_proxy_is_refused(self, users: Path) -> None:
        with pytest.raises(UsageError, match="without a reverse proxy"):
            ServiceSettings("gallery", users=users, client_header="X-Forwarded-For")


class TestOtherSites:
    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_what_another_site_reads_is_refused_and_leaves_no_trace(
        self, web_gallery: Path, tmp_path: Path, site: str
    ) -> None:
        audit = tmp_path / "audit.jsonl"
        with serving(settings_for(web_gallery, audit)) as client:
            case = first_case(client)
            link = client.post(f"{API}/searches", json={"case": case}).json()["search"]
            before = audit.read_text().count('"search"')
            image = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
            opened = {**image, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
            framed = {**opened, "Sec-Fetch-Dest": "iframe"}
            for path in (
                f"/plain?case={case}&where=age>1",
                f"{API}/cases",
                f"{API}/searches/{link}",
            ):
                for headers in (image, opened, framed):
                    assert client.get(path, headers=headers).status_code == 403, path
            assert client.get("/", headers=image).status_code == 403
            # A link elsewhere may open the front page, but not search on its own.
            page = client.get(f"/?case={case}&where=age>1", headers=opened)
            assert page.status_code == 200
            assert audit.read_text().count('"search"') == before


class TestErased:
    def test_an_old_link_does_not_tell_an_erased_persons_labels(
        self, gallery_copy: Path, tmp_path: Path
    ) -> None:
        with serving(settings_for(gallery_copy, tmp_path / "a")) as client:
            cases = client.get(f"{API}/cases").json()["cases"]
            told = client.post(
                f"{API}/searches", json={"case": cases[0]["scan_id"], "k": 20}
            ).json()
            by_code = client.post(f"{API}/searches", json={"code": [0.0] * 150, "k": 30}).json()
            hit = told["hits"][0]["scan_id"]
            assert hit in [one["scan_id"] for one in by_code["hits"]]
            with closing(open_gallery(str(gallery_copy))) as gallery:
                gallery.remove([hit], erase=True)
            for path in ("", "/cases.tsv", "/report.html"):
                again = client.get(f"{API}/searches/{told['search']}{path}")
                assert again.status_code == 200
                assert hit not in again.text, path
            assert client.get(f"{API}/searches/{by_code['search']}").status_code == 404

    def test_no_map_of_an_erased_person_is_kept(self, gallery_copy: Path, tmp_path: Path) -> None:
        with serving(settings_for(gallery_copy, tmp_path / "a")) as client:
            service = client.app.state.service  # type: ignore[attr-defined]
            told = client.post(f"{API}/searches", json={"case": first_case(client)}).json()
            hit = told["hits"][0]["scan_id"]
            link = f"{API}/searches/{told['search']}"
            assert client.get(f"{link}/maps/{hit}/difference.nii.gz").status_code == 200
            assert not [*service.folder.rglob("*.nii.gz")]
            with closing(open_gallery(str(gallery_copy))) as gallery:
                gallery.remove([hit], erase=True)
            assert client.get(link).status_code == 200
            assert service.searches.maps.values() == []
            assert client.get(f"{link}/maps/{hit}/difference.nii.gz").status_code == 404


class TestPlaces:
    """Uploads that never end take their own person's places, not everybody's."""

    def test_slow_senders_keep_nobody_from_uploading(
        self, web_gallery: Path, web_model: Path, users: Path, tmp_path: Path
    ) -> None:
        settings = settings_for(web_gallery, tmp_path / "a", web_model, users=users)
        with serving(settings) as client, from_address(client, "127.0.0.2") as slow:
            log_in(slow, "rita")
            log_in(client, "ron")
            lines = [slow_upload(slow) for _ in range(10)]
            time.sleep(1.0)
            headers = {"X-Filename": "a.nii.gz"}
            mine = client.post(f"{API}/uploads", content=b"no scan", headers=headers)
            assert mine.status_code == 202, mine.text
            more = slow.post(f"{API}/uploads", content=b"no scan", headers=headers)
            assert (more.status_code, more.json()["error"]) == (503, "queue_full")
            for line in lines:
                line.close()

            def accepted() -> bool:
                answer = slow.post(f"{API}/uploads", content=b"no scan", headers=headers)
                return answer.status_code == 202

            wait_for(accepted, 20)

    def test_a_form_is_refused_at_once(
        self, web_gallery: Path, web_model: Path, tmp_path: Path
    ) -> None:
        with serving(settings_for(web_gallery, tmp_path / "a", web_model)) as client:
            answer = client.post(
                f"{API}/uploads", files={"file": b"x"}, headers={"X-Filename": "a.nii.gz"}
            )
            assert answer.status_code == 415
            assert "--data-binary" in answer.json()["message"]

    def test_a_full_disk_is_told_in_one_line(
        self, web_gallery: Path, web_model: Path, tmp_path: Path
    ) -> None:
        with serving(settings_for(web_gallery, tmp_path / "a", web_model)) as client:
            wait_for(lambda: client.get(f"{API}/health").status_code == 200)
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
            try:
                answer = client.post(
                    f"{API}/uploads", content=b"x" * (2 << 20), headers={"X-Filename": "a.nii"}
                )
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            assert (answer.status_code, answer.json()["error"]) == (507, "disk")
            assert "/" not in answer.json()["message"]
            queue = client.app.state.service.queue  # type: ignore[attr-defined]
            assert [*queue._folder.iterdir()] == []


def slow_upload(client: httpx.Client) -> socket.socket:
    """An upload that begins and then sends nothing for a while."""
    host, port = client.base_url.host, client.base_url.port
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    head = (
        f"POST {API}/uploads HTTP/1.1\r\nHost: {host}:{port}\r\nX-Filename: a.nii.gz\r\n"
        f"Cookie: {cookies}\r\nX-CSRF-Token: {client.headers['X-CSRF-Token']}\r\n"
        "Content-Length: 1000000\r\n\r\n"
    )
    line = socket.create_connection((host, port), timeout=10)
    line.sendall(head.encode() + b"x" * 100)
    return line


class TestConnections:
    def test_one_address_cannot_take_all_connections(self, open_service: httpx.Client) -> None:
        host, port = open_service.base_url.host, open_service.base_url.port
        lines = [
            socket.create_connection((host, port), timeout=5, source_address=("127.0.0.2", 0))
            for _ in range(220)
        ]
        try:
            time.sleep(0.5)
            assert open_service.get(f"{API}/health").status_code == 200
            closed = 0
            for line in lines:
                line.settimeout(0.01)
                try:
                    closed += line.recv(1) == b""
                except TimeoutError:
                    pass
                except ConnectionResetError:
                    closed += 1
            assert closed >= 100
        finally:
            for line in lines:
                line.close()
        with from_address(open_service, "127.0.0.2") as again:
            wait_for(lambda: again.get(f"{API}/health").status_code == 200, 10)

    @pytest.mark.parametrize("read_first", [1, 1 << 20])
    def test_a_client_that_reads_no_answer_is_broken_off(
        self, large_answers: httpx.Client, read_first: int
    ) -> None:
        with asking_for_much(large_answers) as line:
            size = read(line, read_first)
            wait_for(lambda: n_connections(large_answers) == 0, 20)
            assert size + read(line, 9 << 20) < 8 << 20

    def test_a_client_that_reads_slowly_gets_all_of_it(self, large_answers: httpx.Client) -> None:
        with asking_for_much(large_answers) as line:
            assert read(line, 9 << 20, pause_s=0.02) > 8 << 20

    def test_a_silent_tls_connection_is_closed_soon(
        self, web_gallery: Path, users: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("braincase.web.run.HANDSHAKE_S", 0.5)
        certificate, key = self_signed(tmp_path)
        options = {"users": users, "certificate": certificate, "key": key}
        settings = settings_for(web_gallery, tmp_path / "a", **options)
        app = build_app(settings)
        listening = open_port("127.0.0.1", 0)
        server = PatientServer(server_config(app, settings))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            wait_for(lambda: server.started)
            host, port = listening.getsockname()[:2]
            with socket.create_connection((host, port), timeout=8) as silent:
                assert silent.recv(1) == b""
            trusted = ssl.create_default_context(cafile=str(certificate))
            answer = httpx.get(f"https://localhost:{port}{API}/health", verify=trusted)
            assert answer.status_code == 200
        finally:
            server.should_exit = True
            thread.join(timeout=20)
            listening.close()


@pytest.fixture
def large_answers(
    web_gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[httpx.Client]:
    """A service of little patience, with a path that answers 8 MiB to anybody."""
    for name in ("UNREAD_S", "HEAD_S"):
        monkeypatch.setattr(f"braincase.web.run.{name}", 0.7)
    with serving(settings_for(web_gallery, tmp_path / "a")) as client:
        app = client.app  # type: ignore[attr-defined]
        app.add_api_route("/large", lambda: Response(bytes(8 << 20)))
        yield client


@contextmanager
def asking_for_much(client: httpx.Client) -> Iterator[socket.socket]:
    """A connection with small buffers that has asked for 8 MiB and read nothing yet."""
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 15)
        line.connect((client.base_url.host, client.base_url.port))
        line.settimeout(10)
        line.sendall(f"GET /large HTTP/1.1\r\nHost: {client.base_url.host}\r\n\r\n".encode())
        yield line


def read(line: socket.socket, most: int, pause_s: float = 0.0) -> int:
    """Read from a connection, at most so many bytes, and say how many came."""
    size = 0
    with suppress(ConnectionResetError):
        while size < most and (part := line.recv(min(most - size, 1 << 17))):
            size += len(part)
            time.sleep(pause_s)
    return size


def n_connections(client: httpx.Client) -> int:
    """How many connections the process of the service has accepted and not closed."""
    port = client.base_url.port
    lines = psutil.Process().net_connections("tcp")
    return sum(line.laddr.port == port and line.status == "ESTABLISHED" for line in lines)


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key,
               "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
               "-addext", "subjectAltName=DNS:localhost"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


class TestFaults:
    def test_an_unforeseen_fault_carries_the_security_headers(
        self, open_service: httpx.Client
    ) -> None:
        async def broken(scope: Scope, receive: Receive, send: Send) -> None:
            raise RuntimeError("nobody thought of this")

        guard = Guard(broken, open_service.app.state.service)  # type: ignore[attr-defined]
        wait = httpx.AsyncClient(
            transport=httpx.ASGITransport(guard), base_url="http://127.0.0.1"
        ).get("/")
        answer = asyncio.run(wait)
        assert (answer.status_code, answer.json()["error"]) == (500, "fault")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"

    def test_the_plain_login_keeps_nobody_waiting(
        self, web_gallery: Path, users: Path, tmp_path: Path
    ) -> None:
        with serving(settings_for(web_gallery, tmp_path / "a", users=users)) as client:
            form = {"user": "rita", "password": "a wrong password"}
            url = f"{client.base_url}/plain/login"
            waiting = [
                threading.Thread(
                    target=httpx.post, args=(url,), kwargs={"data": form, "timeout": 60}
                )
                for _ in range(24)
            ]
            for thread in waiting:
                thread.start()
            time.sleep(0.1)
            for _ in range(5):
                assert client.get(f"{API}/health").status_code == 200
            waited = sum(thread.is_alive() for thread in waiting)
            for thread in waiting:
                thread.join()
            assert waited > 12


class TestAudit:
    def test_a_changed_a_missing_and_a_forged_line_show(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        path.write_text('{"action": "of an earlier release"}\n')
        for n in range(3):
            with closing(AuditLog(path)) as log:
                log.write("ada", "search", k=n)
                log.write("ada", "view", k=n)
        chain = verify_chain(path)
        assert (chain.lines, chain.unchained, chain.torn) == (7, 1, 0)
        lines = path.read_text().splitlines(keepends=True)
        changed = [*lines[:2], lines[2].replace("ada", "bob"), *lines[3:]]
        for forged in (changed, lines[:2] + lines[3:], lines[:3] + lines[2:], lines[1:], lines[2:],
                       [*lines, '{"action": "x"}\n']):  # fmt: skip
            path.write_text("".join(forged))
            with pytest.raises(AuditError, match="does not follow the line before it"):
                verify_chain(path)
        path.write_text("".join(lines))
        command = [sys.executable, "-m", "braincase", "audit", "verify", path]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "7 events, the chain holds" in done.stdout
        assert chain.last in done.stdout

    def test_two_writers_keep_one_chain(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        logs = [AuditLog(path) for _ in range(2)]
        threads = [
            threading.Thread(target=lambda log=log: [log.write("a", "b", n=n) for n in range(50)])
            for log in logs
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert verify_chain(path).lines == 100

    def test_a_line_of_any_length_is_followed_by_the_next(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        with closing(AuditLog(path)) as service, closing(AuditLog(path)) as command_line:
            service.write("ada", "search")
            for n in (6_000, 1, 40_000):
                scan_ids = [f"sub-{number:06}" for number in range(n)]
                command_line.write("root", "erase", scan_ids=scan_ids)
                service.write("ada", "search")
        assert verify_chain(path).lines == 7
        with path.open("ab") as log:
            log.write(b'{"broken off": "' + b"x" * 200_000)
        with closing(AuditLog(path)) as again:
            again.write("ada", "search")
        chain = verify_chain(path)
        assert (chain.lines, chain.torn) == (8, 1)

    def test_a_short_write_is_no_success_and_merges_no_lines(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        with closing(AuditLog(path)) as log:
            log.write("ada", "first")
            with largest_file(path.stat().st_size + 20), pytest.raises(AuditError):
                log.write("ada", "lost")
            log.write("ada", "second")
        chain = verify_chain(path)
        assert (chain.lines, chain.torn) == (2, 1)
        whole = [line for line in path.read_text().splitlines() if '"previous"' in line]
        assert [json.loads(line)["action"] for line in whole] == ["first", "second"]

    def test_what_cannot_be_logged_is_not_done(self, gallery_copy: Path, tmp_path: Path) -> None:
        audit = tmp_path / "audit.jsonl"
        audit.write_bytes(b'{"action": "earlier"}\n' * 400_000)
        with serving(settings_for(gallery_copy, audit)) as client:
            case = first_case(client)
            with largest_file(audit.stat().st_size):
                answers = [
                    client.delete(f"{API}/cases/{case}"),
                    client.get(f"{API}/cases/{case}/volume.nii.gz"),
                    client.post(f"{API}/searches", json={"case": case}),
                ]
            assert [(a.status_code, a.json()["error"]) for a in answers] == [(503, "audit")] * 3
            assert client.get(f"{API}/cases/{case}").status_code == 200
            assert client.delete(f"{API}/cases/{case}").status_code == 200
        lines = [line for line in audit_lines(audit) if line["action"] == "remove"]
        assert [line["stage"] for line in lines] == ["intent", "done"]

    def test_views_denials_and_forged_requests_are_in_it(
        self, web_gallery: Path, web_model: Path, users: Path, tmp_path: Path, tiny: Cohort
    ) -> None:
        audit = tmp_path / "audit.jsonl"
        brain = (tiny.folder / tiny.table["image"].iloc[0]).read_bytes()
        with serving(settings_for(web_gallery, audit, web_model, users=users)) as client:
            client.get(f"{API}/cases")
            log_in(client, "rita")
            case = first_case(client)
            for n in range(3):
                client.get(f"{API}/cases/{case}/slices/axial/{20 + n}.png")
            client.get(f"{API}/cases/{case}/volume.nii.gz")
            job = uploaded(client, brain)["job"]
            client.delete(f"{API}/cases/{case}")
            client.delete(f"{API}/cases/{case}", headers={"X-CSRF-Token": "made up"})
            log_in(client, "ron")
            client.get(f"{API}/uploads/{job}/thumbnail.png")
            log_in(client, "ada")
            assert client.get(f"{API}/uploads/{job}/thumbnail.png").status_code == 200
        lines = audit_lines(audit)
        views = [(w["user"], w["scan_id"], w["kind"]) for w in lines if w["action"] == "view case"]
        assert views == [("rita", case, "slices"), ("rita", case, "volume")]
        denied = [(w["user"], w["status"], w["error"]) for w in lines if w["action"] == "denied"]
        assert denied == [
            ("unknown", 401, "login"),
            ("rita", 403, "role"),
            ("rita", 403, "forged"),
            ("ron", 404, "not_found"),
        ]
        opened = [w for w in lines if w["action"] == "open other's upload"]
        assert [(w["user"], w["owner"]) for w in opened] == [("ada", "rita")]
        assert verify_chain(audit).lines == len(lines)

    def test_erasing_by_the_command_line_is_in_it(self, gallery_copy: Path, tmp_path: Path) -> None:
        audit = tmp_path / "audit.jsonl"
        with closing(open_gallery(str(gallery_copy))) as gallery:
            scan_id = gallery.one_scan_each(1)[0].scan_id
        command = [sys.executable, "-m", "braincase", "gallery", "remove", gallery_copy, scan_id,
                   "--erase", "--yes", "--audit", audit]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        lines = audit_lines(audit)
        assert [line["stage"] for line in lines] == ["intent", "done"]
        assert {str(line["scan_ids"]) for line in lines} == {str([scan_id])}


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A disk that is full: no file of this process grows beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestPasswords:
    @pytest.mark.parametrize(
        "weak",
        ["aaaaaaaaaaaaaa", "password12345", "qwertyuiop123", "rita-rita-rita", "elevenchars"],
    )
    def test_short_and_common_ones_are_refused(self, tmp_path: Path, weak: str) -> None:
        with pytest.raises(UsageError, match=r"easily guessed|at least 12"):
            add_user(tmp_path / "users.json", "rita", weak, "reader")

    def test_a_user_changes_their_own_and_other_sessions_end(
        self, web_gallery: Path, tmp_path: Path
    ) -> None:
        users, new = tmp_path / "users.json", "green lamps sing at noon"
        add_user(users, "rita", PASSWORD, "reader")
        token = add_token(users, "rita")
        with serving(settings_for(web_gallery, tmp_path / "a", users=users)) as client:
            with from_address(client, "127.0.0.2") as other:
                log_in(other, "rita")
                log_in(client, "rita")
                url = f"{API}/password"
                wrong = client.post(url, json={"old": "a wrong guess", "new": new})
                weak = client.post(url, json={"old": PASSWORD, "new": "password12345"})
                assert (wrong.status_code, weak.status_code) == (401, 400)
                assert other.get(f"{API}/me").status_code == 200
                assert client.post(url, json={"old": PASSWORD, "new": new}).status_code == 200
                assert client.get(f"{API}/me").status_code == 200
                assert other.get(f"{API}/me").status_code == 401
                assert log_in(other, "rita").status_code == 401
                assert log_in(other, "rita", new).status_code == 200
            bearer = {"Authorization": f"Bearer {token}"}
            assert httpx.get(f"{client.base_url}{API}/me", headers=bearer).status_code == 401

    def test_sessions_are_listed_ended_and_end_when_idle(
        self, web_gallery: Path, users: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with (
            serving(settings_for(web_gallery, tmp_path / "a", users=users)) as client,
            from_address(client, "127.0.0.2") as other,
        ):
            log_in(client, "rita")
            log_in(other, "rita")
            told = client.get(f"{API}/sessions").json()
            assert [session["current"] for session in told] == [True, False]
            assert client.delete(f"{API}/sessions").status_code == 200
            assert {client.get(f"{API}/me").status_code, other.get(f"{API}/me").status_code} == {
                401
            }
            log_in(client, "rita")
            monkeypatch.setattr("braincase.web.security.sessions.IDLE_S", 0.2)
            time.sleep(0.4)
            assert client.get(f"{API}/me").status_code == 401

    def test_the_cookie_is_signed_with_sha256_and_has_the_port(
        self, web_gallery: Path, users: Path, tmp_path: Path
    ) -> None:
        with serving(settings_for(web_gallery, tmp_path / "a", users=users)) as client:
            log_in(client, "rita")
            (name,) = client.cookies
            assert name == f"braincase-{client.base_url.port}"
            assert len(client.cookies[name].rpartition(".")[2]) == 43  # 256 bits


class TestTokens:
    def test_a_program_comes_in_with_a_token_until_it_is_revoked(
        self, web_gallery: Path, tmp_path: Path
    ) -> None:
        users, audit = tmp_path / "users.json", tmp_path / "audit.jsonl"
        add_user(users, "rita", PASSWORD, "reader")
        run = [sys.executable, "-m", "braincase", "user", "token"]

        def told(*words: str) -> str:
            command = [*run, *words, "--users", str(users)]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout

        token = told("add", "rita", "--note", "nightly script").strip()
        assert token.rpartition("_")[2] not in users.read_text()
        key, user, _, note, end = told("list").strip().split("\t")
        assert (user, note, end, key in token) == ("rita", "nightly script", "never", True)
        with serving(settings_for(web_gallery, audit, users=users)) as client:
            right = {"Authorization": f"Bearer {token}"}
            case = client.get(f"{API}/cases", headers=right).json()["cases"][0]["scan_id"]
            wish = {"case": case, "k": 2}
            assert client.post(f"{API}/searches", json=wish, headers=right).status_code == 200
            assert client.delete(f"{API}/cases/{case}", headers=right).status_code == 403
            for wrong in (
                token[:-1],
                f"{token}x",
                token.replace(key, "00000000"),
                "braincase_",
                "x",
            ):
                headers = {"Authorization": f"Bearer {wrong}"}
                assert client.get(f"{API}/me", headers=headers).status_code == 401, wrong
            change = {"old": PASSWORD, "new": "green lamps sing at noon"}
            assert client.post(f"{API}/password", json=change, headers=right).status_code == 403
            told("revoke", key)
            assert client.get(f"{API}/me", headers=right).status_code == 401
        searched = [line for line in audit_lines(audit) if line["action"] == "search"]
        assert [(line["user"], line["token"]) for line in searched] == [("rita", key)]
        assert token.rpartition("_")[2] not in audit.read_text()

    def test_a_user_makes_and_revokes_their_own_and_nobody_elses(
        self, web_gallery: Path, tmp_path: Path
    ) -> None:
        users, audit = tmp_path / "users.json", tmp_path / "audit.jsonl"
        for name in ("rita", "ada"):
            add_user(users, name, PASSWORD, "reader" if name == "rita" else "admin")
        hers = add_token(users, "ada").split("_")[1]
        url = f"{API}/tokens"
        with serving(settings_for(web_gallery, audit, users=users)) as client:
            log_in(client, "rita")
            made = client.post(url, json={"note": "night script", "days": 30})
            assert made.status_code == 201
            right = {"Authorization": f"Bearer {made.json()['token']}"}
            with httpx.Client(base_url=client.base_url, headers=right) as program:
                assert program.get(f"{API}/me").json()["role"] == "reader"
                # A stolen token makes no further tokens, and does not see the others.
                assert {program.get(url).status_code, program.post(url, json={}).status_code} == {
                    403
                }
                (token,) = client.get(url).json()
                assert (token["note"], token["until"] > token["made"]) == ("night script", True)
                assert client.delete(f"{url}/{hers}").status_code == 404
                assert client.delete(f"{url}/{token['id']}").status_code == 200
                assert program.get(f"{API}/me").status_code == 401
            for wrong in ({"days": 0}, {"days": 5000}, {"note": "x" * 300}, {"user": "ada"}):
                assert client.post(url, json=wrong).status_code == 400, wrong
            for number in range(20):
                add_token(users, "rita", f"{number}")
            assert client.post(url, json={}).status_code == 400  # enough
        done = [(e["action"], e.get("stage")) for e in audit_lines(audit) if "token" in e["action"]]
        assert done[:4] == [("make token", "intent"), ("make token", "done"),
                            ("revoke token", "intent"), ("revoke token", "done")]  # fmt: skip


class TestWrongKinds:
    @pytest.mark.parametrize(
        "wish",
        [
            {"known": {"age": "seventy"}},
            {"known": {"age": "70"}},
            {"known": {"age": True}},
            {"known": {"age": -1}},
            {"known": {"sex": "female"}},
            {"known": {"sex": 1}},
            {"known": {"site": True}},
            {"k": "5"},
            {"k": True},
            {"normality": "yes"},
            {"older": "3"},
            {"regions": [{"name": "left-hippocampus", "weight": "2"}]},
        ],
        ids=str,
    )
    def test_values_of_the_wrong_kind_are_refused_and_not_ignored(
        self, open_service: httpx.Client, wish: dict[str, object]
    ) -> None:
        case = first_case(open_service)
        answer = open_service.post(f"{API}/searches", json={"case": case, **wish})
        assert (answer.status_code, answer.json()["error"]) == (400, "usage")

    @pytest.mark.parametrize("depth", [300, 900, 5_000])
    @pytest.mark.parametrize("brackets", ["[]", ('{"a":', "}")], ids=["lists", "objects"])
    def test_what_is_nested_deep_is_refused(
        self, open_service: httpx.Client, depth: int, brackets: tuple[str, str]
    ) -> None:
        nested = brackets[0] * depth + '"x"' + brackets[1] * depth
        for path, field in {"login": "password", "searches": "known", "cases": "labels"}.items():
            answer = open_service.post(
                f"{API}/{path}",
                content=f'{{"{field}": {nested}}}',
                headers={"Content-Type": "application/json"},
            )
            assert answer.status_code == 400, (path, answer.text)

    @pytest.mark.parametrize("value", ['"\\ud800"', "1e400", "1" + "0" * 400, "NaN", '"a\\u0000b"'])
    def test_what_could_not_be_stored_is_refused(
        self, open_service: httpx.Client, value: str
    ) -> None:
        body = f'{{"case": "{first_case(open_service)}", "known": {{"x": {value}}}}}'
        json_type = {"Content-Type": "application/json"}
        answer = open_service.post(f"{API}/searches", content=body, headers=json_type)
        assert answer.status_code == 400
        body = body.replace('"known"', '"labels"')
        answer = open_service.post(f"{API}/cases", content=body, headers=json_type)
        assert answer.status_code == 400

    def test_right_ones_are_taken(self, open_service: httpx.Client) -> None:
        wish = {"known": {"age": 70, "sex": "F", "site": "A"}, "older": 3, "normality": False,
                "regions": [{"name": "left-hippocampus", "weight": 2}]}  # fmt: skip
        case = first_case(open_service)
        answer = open_service.post(f"{API}/searches", json={"case": case, "k": 2, **wish})
        assert answer.status_code == 200, answer.text


class TestProxyKeys:
    def test_keys_are_exchanged_while_it_runs_and_long_names_are_not_cut(
        self, web_gallery: Path, tmp_path: Path
    ) -> None:
        first, second = (rsa.generate_private_key(65537, 2048) for _ in range(2))
        (tmp_path / "proxy.toml").write_text(
            'header = "X-Token"\npublic_key = "key.pem"\nissuer = "i"\naudience = "a"\n'
            '[roles]\nstaff = "reader"\n'
        )

        def use(key: rsa.RSAPrivateKey) -> None:
            pem = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            (tmp_path / "key.pem").write_bytes(key.public_key().public_bytes(*pem))

        def status(key: rsa.RSAPrivateKey, user: str = "rita") -> int:
            claims = {"sub": user, "iss": "i", "aud": "a", "exp": time.time() + 60,
                      "roles": ["staff"]}  # fmt: skip
            token = jwt.encode(claims, key, "RS256")
            return client.get(f"{API}/me", headers={"X-Token": token}).status_code

        use(first)
        settings = settings_for(
            web_gallery, tmp_path / "a", proxy=tmp_path / "proxy.toml",
            limits={"requests": "40/minute"},
        )  # fmt: skip
        with serving(settings) as client:
            assert (status(first), status(second)) == (200, 401)
            assert status(first, "x" * 201) == 401
            use(second)
            assert (status(first), status(second)) == (401, 200)
            (tmp_path / "key.pem").write_text("half written")
            assert status(second) == 200
            # Made-up tokens are nobody's own rate.
            made_up = [client.get(f"{API}/me", headers={"X-Token": str(n)}) for n in range(45)]
            assert 429 in {answer.status_code for answer in made_up}
            assert status(second) == 200

    def test_a_file_nested_deep_is_told_in_one_line(self, tmp_path: Path) -> None:
        path = tmp_path / "deep"
        path.write_text("a = " + "[" * 100_000)
        with pytest.raises(UsageError):
            read_proxy(path, ServiceSettings("gallery"))
        path.write_text("[" * 100_000)
        path.chmod(0o600)
        with pytest.raises(UsageError):
            read_users(path)
