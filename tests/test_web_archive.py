"""From a case to its study in the archive's viewer and back: roles, links, logs without numbers."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from braincase.errors import ParameterError, UsageError
from braincase.gallery import open_gallery
from braincase.images.geometry import grid_of_resolution
from braincase.population.volumes import image_of_case
from braincase.sources.archive_links import Link, add_link, find_links, forget_session, links_of
from braincase.web.intake.messages import Embedded
from braincase.web.intake.prepared_study import write_prepared
from braincase.web.security.users import add_token, add_user
from braincase.web.viewer_links import check_template, viewer_url
from web_service import API, serving, settings_for, wait_for

STUDY, ACCESSION = "1.2.826.0.1.3680043.8.498.77", "ACC/7&x=1 山"
VIEWER = "https://pacs.example/ohif/viewer?StudyInstanceUIDs={study}"


@pytest.fixture
def linked(web_gallery: Path, tmp_path: Path) -> tuple[str, Path]:
    """A case of the gallery whose study the link file knows, and the link file."""
    gallery = open_gallery(str(web_gallery))
    case = gallery.cases()[0]
    gallery.close()
    path = tmp_path / "spool" / "links.sqlite"
    add_link(path, Link(case.session or "", case.subject, STUDY, ACCESSION))
    add_link(path, Link("elsewhere", "nobody", f"{STUDY}.1", "ACC8"))
    return case.scan_id, path


def test_a_link_file_says_which_study_a_session_is_and_forgets_it(tmp_path: Path) -> None:
    path = tmp_path / "spool" / "links.sqlite"
    assert links_of(path, ["s"]) == {}
    image = ("1.2.840.10008.5.1.4.1.1.4", "1.2.3", "1.2")
    links = [Link("s", "p", STUDY, "A", image), Link("t", "p", f"{STUDY}.1", "A")]
    for link in links:
        add_link(path, link)
    assert path.stat().st_mode & 0o777 == 0o600
    assert links_of(path, ["s", "t", "u"]) == {"s": links[0], "t": links[1]}
    assert find_links(path, study=STUDY) == links[:1]
    assert find_links(path, accession="A") == find_links(path, subject="p") == links
    assert find_links(path) == []
    assert (forget_session(path, "s"), forget_session(path, "s")) == (1, 0)
    assert STUDY.encode() + b"A" not in path.read_bytes()
    assert find_links(path, accession="A") == links[1:]
    path.write_bytes(b"no database" * 100)
    with pytest.raises(UsageError, match="link file"):
        links_of(path, ["s"])


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("javascript:alert({study})", "scheme"),
        ("file:///etc/{study}", "scheme"),
        ("https://pacs/viewer?x={patient}", "placeholder {patient}"),
        ("https://pacs/viewer?x={study!r}", "placeholder {study}"),
        ("https://pacs/viewer?x={study.__class__}", "placeholder"),
        ("https://pacs/viewer", "no placeholder"),
        ("https://{study}.evil/viewer", "host"),
        ("https://me:secret@pacs/{study}", "host"),
        ("https:///{study}", "host"),
        ("https://pacs/ {study}", "space"),
        ("https://pacs/{study", "no URL"),
        ("weasis://%24dicom%3Ars%20-r%20{accession}", "accession"),
    ],
)
def test_a_viewer_template_that_could_lead_elsewhere_is_refused(template: str, told: str) -> None:
    with pytest.raises(ParameterError, match=told.replace("{", r"\{")):
        check_template(template)


def test_a_viewer_address_has_its_values_encoded() -> None:
    link = Link("s", "p", STUDY, ACCESSION)
    for template in (VIEWER, "http://w/weasis?studyUID={study}", "weasis://%24dicom%20{study}"):
        check_template(template)
        assert viewer_url(template, link) == template.replace("{study}", STUDY)
    wanted = "https://pacs/?a=ACC%2F7%26x%3D1%20%E5%B1%B1"
    assert viewer_url("https://pacs/?a={accession}", link) == wanted
    with pytest.raises(UsageError, match="accession"):
        viewer_url("https://pacs/?a={accession}", Link("s", "p", STUDY, ""))
    with pytest.raises(UsageError, match="UID"):
        viewer_url(VIEWER, Link("s", "p", "1.2&x=", ""))


def test_only_who_may_read_the_link_file_gets_from_case_to_study_and_back(
    linked: tuple[str, Path], web_gallery: Path, tmp_path: Path
) -> None:
    case, path = linked
    users, audit = tmp_path / "users.json", tmp_path / "audit.jsonl"
    for name, role in (("ann", "reader"), ("bob", "curator")):
        add_user(users, name, "nine purple lamps agree", role)
    settings = settings_for(web_gallery, audit, users=users, links=path, viewer=VIEWER)
    with serving(settings) as client:

        def ask(name: str, method: str, url: str, body: object = None) -> httpx.Response:
            bearer = {"Authorization": f"Bearer {tokens[name]}"}
            return client.request(method, f"{API}{url}", json=body, headers=bearer)

        tokens = {name: add_token(users, name) for name in ("ann", "bob")}
        assert client.post(f"{API}/studies", json={"study": STUDY}).status_code == 401
        for url, body in ((f"/cases/{case}/viewer", None), ("/studies", {"study": STUDY})):
            refused = ask("ann", "POST", url, body)
            assert (refused.status_code, refused.json()["error"]) == (403, "role")
        may = [ask(name, "GET", "/me").json() for name in ("ann", "bob")]
        assert [(me["opens_viewer"], me["finds_studies"]) for me in may] == [(0, 0), (1, 1)]
        opened = ask("bob", "POST", f"/cases/{case}/viewer")
        assert opened.json() == {"url": VIEWER.replace("{study}", STUDY)}
        for body in ({"study": STUDY}, {"accession": ACCESSION}):
            found = ask("bob", "POST", "/studies", body)
            assert [one["scan_id"] for one in found.json()["cases"]] == [case]
        for body in ({"study": f"{STUDY}.1"}, {"study": f"{STUDY}.2"}, {"accession": "no"}):
            unknown = ask("bob", "POST", "/studies", body)
            assert (unknown.status_code, unknown.json()["error"]) == (404, "no_study")
        for body in ({}, {"study": "1/2"}, {"study": STUDY, "accession": "A"}):
            assert ask("bob", "POST", "/studies", body).status_code == 400
        other = open_gallery(str(web_gallery)).cases()[-1].scan_id
        assert ask("bob", "POST", f"/cases/{other}/viewer").status_code == 404
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    seen = [(line["user"], line["action"], line["scan_id"]) for line in lines if "scan_id" in line]
    assert seen == [("bob", "open viewer", case), *[("bob", "open study", case)] * 2]
    assert "1.2.826" not in audit.read_text()
    assert "ACC" not in audit.read_text()


def test_a_study_that_the_node_has_just_prepared_is_searched_with_and_its_person_set_apart(
    linked: tuple[str, Path], web_gallery: Path, web_model: Path, tmp_path: Path
) -> None:
    case, path = linked
    add_link(path, Link("new5tudy", "nobody", f"{STUDY}.9", "ACC9"))
    with closing(open_gallery(str(web_gallery))) as gallery:
        stored, info = gallery.get(case), gallery.info()
        grid, fingerprint = grid_of_resolution(info.resolution_mm), gallery.fingerprint
    volume = image_of_case(stored, grid).volume
    scan = Embedded(volume, stored.code, {"age": 70, "sex": "F"}, (), {})
    folders = [path.parent / "studies" / name / "prepared" for name in ("new5tudyabcd", "old")]
    for folder, model in zip(folders, (fingerprint, "another"), strict=True):
        folder.mkdir(parents=True)
        write_prepared(folder, scan, stored.subject, ["0.dcm"], grid, model)
    add_link(path, Link("old", "nobody", f"{STUDY}.10", "ACC10"))
    audit = tmp_path / "audit.jsonl"
    with serving(settings_for(web_gallery, audit, web_model, links=path)) as client:
        opened = client.post(f"{API}/studies", json={"accession": "ACC9"}).json()
        assert (opened["cases"], opened["subject"]) == ([], stored.subject)
        request = {"upload": opened["upload"], "subject": opened["subject"], "k": 3}
        answer = client.post(f"{API}/searches", json=request).json()
        assert {hit["subject"] for hit in answer["hits"]} & {stored.subject} == set()
        assert answer["same_subject"][0]["distance"] < 1e-5
        volume_url = f"{API}/uploads/{opened['upload']}/volume.nii.gz"
        assert client.get(volume_url).status_code == 200
        other = client.post(f"{API}/studies", json={"accession": "ACC10"})
        assert (other.status_code, other.json()["error"]) == (404, "no_study")
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [line["session"] for line in lines if line["action"] == "open study"] == ["new5tudy"]
    assert "ACC9" not in audit.read_text()


def test_whatever_writes_the_link_file_overwrites_what_it_moves_or_removes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, said = tmp_path / "links.sqlite", list[list[str]]()
    connect = sqlite3.connect

    def traced(*given: Any, **named: Any) -> sqlite3.Connection:
        connection = connect(*given, **named)
        said.append([])
        connection.set_trace_callback(said[-1].append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    add_link(path, Link("session", "subject", STUDY, "ACC"))
    assert forget_session(path, "session") == 1
    assert len(said) == 2
    # Not left to how SQLite was built: moving a row leaves a copy of it otherwise.
    assert {statements[0] for statements in said} == {"PRAGMA secure_delete = ON"}


def test_a_service_refuses_links_that_others_may_read_and_a_viewer_without_them(
    linked: tuple[str, Path], web_gallery: Path, tmp_path: Path
) -> None:
    _, path = linked
    with pytest.raises(ParameterError, match="without a link file"):
        settings_for(web_gallery, tmp_path / "audit", viewer=VIEWER)
    with pytest.raises(UsageError, match="no link file"):
        settings_for(web_gallery, tmp_path / "audit", links=tmp_path / "links.sqlite")
    with pytest.raises(ParameterError, match="links_role"):
        settings_for(web_gallery, tmp_path / "audit", links=path, links_role="doctor")
    path.chmod(0o644)
    with pytest.raises(UsageError, match="others on this machine"):
        settings_for(web_gallery, tmp_path / "audit", links=path)


def test_no_log_of_the_service_shows_the_study_that_an_address_names(
    linked: tuple[str, Path], web_gallery: Path, tmp_path: Path
) -> None:
    case, path = linked
    log = tmp_path / "log"
    command = [sys.executable, "-m", "braincase", "serve", str(web_gallery), "--port", "0",
               "--links", str(path), "--viewer", VIEWER, "--audit", str(tmp_path / "audit"),
               "--access-log", "--log-level", "info"]  # fmt: skip
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env={**os.environ})
    try:
        wait_for(lambda: "Braincase: http" in log.read_text())
        address = log.read_text().split("Braincase: ")[1].split()[0]
        with httpx.Client(base_url=address) as client:
            assert client.get("/", params={"study": STUDY}).status_code == 200
            assert client.get("/nowhere", params={"accession": "SECRET9"}).status_code == 404
            assert client.post(f"{API}/studies", json={"study": f"{STUDY}.5"}).status_code == 404
            assert client.post(f"{API}/studies", json={"study": STUDY}).status_code == 200
            metrics = client.get("/metrics").text
    finally:
        process.terminate()
        process.wait(20)
    told = log.read_text() + metrics + (tmp_path / "audit").read_text()
    assert '"GET / HTTP/1.1" 200' in told
    assert case in told
    assert [secret for secret in (STUDY, "SECRET9") if secret in told] == []
