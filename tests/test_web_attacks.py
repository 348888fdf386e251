"""Attacks on the service that once worked: on memory, on other people's access, on its log."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from braincase.errors import UsageError
from braincase.gallery import open_gallery
from braincase.web.security.users import add_user
from braincase.web.service_settings import ServiceSettings
from web_service import API, serving, settings_for

PASSWORD = "blue tractor melts quietly"


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("users") / "users.json"
    for name, role in {"rita": "reader", "ron": "reader", "carl": "curator", "ada": "admin"}.items():
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
            for path in (f"/plain?case={case}&where=age>1", f"{API}/cases", f"{API}/searches/{link}"):
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
            told = client.post(f"{API}/searches", json={"case": cases[0]["scan_id"], "k": 20}).json()
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
