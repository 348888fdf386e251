"""The service as a program meets it: gallery, cases, images, searches, links, reports."""

from __future__ import annotations

import gzip
import html
import io
import json
import re
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import nibabel
import numpy as np
import pytest
from PIL import Image

from braincase.answer.maps import difference_map
from braincase.cohort.cohort import Cohort
from braincase.gallery import NewCase, Query, open_gallery
from braincase.images.atlas import load_regions, region_weights
from braincase.population.direction import learn_direction
from braincase.population.spread import usual_spread
from braincase.population.usual import FEWEST_PEOPLE, MOST_PEOPLE, usual_of
from braincase.search.nearest import search
from braincase.search.refine import refined_code
from braincase.web.routes.pages import _templates
from command_line import run
from web_service import API, serving, settings_for


@pytest.fixture(scope="module")
def gallery_folder(web_gallery: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api") / "gallery"
    shutil.copytree(web_gallery, folder)
    return folder


@pytest.fixture(scope="module")
def client(
    gallery_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    audit = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    with serving(settings_for(gallery_folder, audit)) as client:
        yield client


def asked(client: httpx.Client, **wish: Any) -> dict[str, Any]:
    answer = client.post(f"{API}/searches", json=wish)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def first_case(client: httpx.Client, offset: int = 3) -> str:
    found = client.get(f"{API}/cases", params={"offset": offset, "limit": 1})
    return str(found.json()["cases"][0]["scan_id"])


def test_the_gallery_says_what_it_holds_and_never_where_it_lies(
    client: httpx.Client, gallery_folder: Path, tiny: Cohort
) -> None:
    told = client.get(f"{API}/gallery").json()
    assert (told["name"], told["cases"]) == ("gallery", len(tiny))
    assert told["label"] == "diagnosis"
    assert told["simulated"] is True
    assert told["can_upload"] is False
    assert told["upload_bytes"] == 1 << 30
    columns = {column["name"]: column for column in told["columns"]}
    assert columns["sex"]["values"] == ["F", "M"]
    assert columns["age"]["minimum"] == pytest.approx(float(tiny.table["age"].min()))
    assert "hippocampus" in told["regions"]
    answers = [client.get(f"{API}/{path}").text for path in ("gallery", "cases", "gallery/map")]
    assert not any(str(gallery_folder.parent) in text for text in answers)


def test_who_changed_alike_is_asked_with_an_earlier_scan_of_the_same_person(
    client: httpx.Client, tiny: Cohort
) -> None:
    scans = tiny.table.groupby("subject")["scan_id"].agg(list)
    twice = [sorted(own) for own in scans if len(own) == 2]
    prior, current = twice[0]
    search = asked(client, case=current)["search"]
    found = client.get(f"{API}/searches/{search}/changes/{prior}", params={"k": 3})
    assert found.status_code == 200, found.text
    told = found.json()
    assert (told["years"], told["n_people"]) == (1.0, len(twice) - 1)
    assert [hit["rank"] for hit in told["hits"]] == [1, 2, 3]
    pairs = [[hit["prior"], hit["current"]] for hit in told["hits"]]
    assert all(pair in twice[1:] for pair in pairs)
    others = client.get(f"{API}/searches/{search}/changes/{twice[1][0]}")
    assert others.status_code == 404
    backwards = asked(client, case=prior)["search"]
    refused = client.get(f"{API}/searches/{backwards}/changes/{current}")
    assert refused.status_code == 400
    assert "years between the scans" in refused.json()["message"]


def test_cases_are_filtered_and_paged(client: httpx.Client, tiny: Cohort) -> None:
    women = client.get(f"{API}/cases", params={"where": "sex = 'F'", "limit": 5}).json()
    assert women["total"] == int((tiny.table["sex"] == "F").sum())
    assert len(women["cases"]) == 5
    assert all(case["labels"]["sex"] == "F" for case in women["cases"])
    page = client.get(f"{API}/cases", params={"where": "sex = 'F'", "offset": 3, "limit": 2}).json()
    assert page["cases"] == women["cases"][3:5]
    scan_id = first_case(client)
    assert client.get(f"{API}/cases", params={"text": scan_id.upper()}).json()["total"] == 1
    assert client.get(f"{API}/cases/{scan_id}").json()["scan_id"] == scan_id


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("cases?where=agee > 3", 400, "The filter: no column 'agee'; expected one of"),
        ("cases?limit=0", 400, "limit"),
        ("cases/sub-nobody", 404, "There is no case 'sub-nobody'."),
        ("cases/sub-nobody/volume.nii.gz", 404, "sub-nobody"),
        ("searches/cnonsense", 404, "There is no such search"),
        ("searches/tnonsense", 404, "There is no such search"),
        ("gallery/map?colour=nothing", 400, "no column 'nothing'"),
        ("nothing", 404, "There is nothing here."),
        ("jobs/x", 503, "without a model"),
    ],
)
def test_a_wrong_request_gets_one_plain_sentence(
    client: httpx.Client, path: str, status: int, says: str
) -> None:
    answer = client.get(f"{API}/{path}")
    assert answer.status_code == status
    told = answer.json()
    assert set(told) == {"error", "message"}
    assert says in told["message"]
    assert "\n" not in told["message"]


@pytest.mark.parametrize(
    ("wish", "status", "says"),
    [
        ({}, 400, "Name one of case, upload and code; found none of them."),
        ({"case": "sub-x", "code": [0.0]}, 400, "found case and code"),
        ({"case": "sub-x"}, 404, "no scan 'sub-x'"),
        ({"code": [0.0, 1.0]}, 400, "expected 150 numbers"),
        ({"code": [1e9] * 150}, 400, "less than or equal to 1000000"),
        ({"code": [0.0] * 150, "regions": [{"name": "hipocampus"}]}, 400, "Did you mean"),
        ({"code": [0.0] * 150, "as_of": 999}, 400, "version 999"),
        ({"code": [0.0] * 150, "plus": ["sub-x"]}, 404, "sub-x"),
        ({"upload": "x"}, 404, "without a model"),
        ({"case": "sub-x", "surplus": 1}, 400, "surplus"),
        ({"code": [0.0] * 150, "similar_by": "normal"}, 400, "age and sex (F or M) of the query"),
        (
            {"code": [0.0] * 150, "similar_by": "normal", "known": {"age": 70, "sex": "F"}},
            409,
            "This gallery is too small for such a search: 12 controls",
        ),
        (
            {"case": "sub-x", "similar_by": "normal", "regions": [{"name": "hippocampus"}]},
            400,
            "Regions can only be compared overall",
        ),
    ],
)
def test_a_wrong_search_gets_one_plain_sentence(
    client: httpx.Client, wish: dict[str, Any], status: int, says: str
) -> None:
    answer = client.post(f"{API}/searches", json=wish)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["message"]


def test_a_body_that_is_no_json_is_refused(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/json"}
    for body in (b"{", b"\xff\xfe", b'"text"', b'{"case": "\\ud800"}', b'{"code": [NaN]}'):
        answer = client.post(f"{API}/searches", content=body, headers=headers)
        assert answer.status_code == 400, answer.text


def test_a_volume_comes_whole_in_ranges_and_only_once(client: httpx.Client, tiny: Cohort) -> None:
    scan_id = first_case(client)
    path = f"{API}/cases/{scan_id}/volume.nii.gz"
    whole = client.get(path)
    row = tiny.table.set_index("scan_id").loc[scan_id]
    assert whole.content == (tiny.folder / row["image"]).read_bytes()
    part = client.get(path, headers={"Range": "bytes=100-299"})
    assert part.status_code == 206
    assert part.content == whole.content[100:300]
    assert part.headers["content-range"] == f"bytes 100-299/{len(whole.content)}"
    tag = whole.headers["etag"]
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 304
    stale = client.get(path, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (stale.status_code, stale.content) == (200, whole.content)
    fresh = client.get(path, headers={"Range": "bytes=0-9", "If-Range": tag})
    assert (fresh.status_code, fresh.content) == (206, whole.content[:10])
    assert client.get(path, headers={"Range": "bytes=99999999-"}).status_code == 416


def test_a_slice_shows_the_patients_right_on_the_left_and_up_as_up(
    client: httpx.Client, tiny: Cohort
) -> None:
    scan_id = first_case(client)
    row = tiny.table.set_index("scan_id").index.get_loc(scan_id)
    volume = tiny.volumes[np.array([row])][0]
    path = f"{API}/cases/{scan_id}/slices/coronal/24.png"
    picture = np.asarray(Image.open(io.BytesIO(client.get(path).content)), float)
    # Slow and obvious: pixel by pixel, from the top left.
    expected = np.zeros((40, 40))
    for down in range(40):
        for across in range(40):
            expected[down, across] = volume[39 - across, 24, 39 - down]
    small = np.asarray(Image.fromarray(picture.astype(np.uint8)).resize((40, 40)), float)
    assert np.corrcoef(small.ravel(), expected.ravel())[0, 1] > 0.98
    assert np.corrcoef(small[:, ::-1].ravel(), expected.ravel())[0, 1] < 0.97
    assert client.get(f"{API}/cases/{scan_id}/slices/axial/40.png").status_code == 404
    assert client.get(f"{API}/cases/{scan_id}/slices/oblique/4.png").status_code == 400


def test_a_thumbnail_is_a_png_of_three_planes(client: httpx.Client) -> None:
    answer = client.get(f"{API}/cases/{first_case(client)}/thumbnail.png")
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size == (96 + 80 + 80, 96)


def test_a_search_gives_what_the_library_gives(client: httpx.Client, gallery_folder: Path) -> None:
    scan_id = first_case(client)
    told = asked(client, case=scan_id, k=5, where="age > 60")
    gallery = open_gallery(gallery_folder)
    case = gallery.get(scan_id)
    query = Query(case.code, gallery.fingerprint, 5, case.subject, scan_id, where="age > 60")
    expected = search(gallery, query)
    assert [hit["scan_id"] for hit in told["hits"]] == [hit.scan_id for hit in expected.hits]
    assert told["hits"][0]["distance"] == pytest.approx(expected.hits[0].distance)
    assert told["n_searched"] == expected.n_searched
    assert case.subject not in {hit["subject"] for hit in told["hits"]}
    assert scan_id in {hit["scan_id"] for hit in told["same_subject"]}
    assert sum(share for _, share in told["hits"][0]["regions"]) <= 1 + 1e-6
    gallery.close()


def test_regions_examples_and_age_move_the_search_as_in_the_library(
    client: httpx.Client, gallery_folder: Path
) -> None:
    gallery = open_gallery(gallery_folder)
    names = [case["scan_id"] for case in client.get(f"{API}/cases").json()["cases"]]
    query, plus, minus = names[0], names[8], names[-1]
    wish = {"regions": [{"name": "hippocampus", "weight": 2}], "plus": [plus], "minus": [minus]}
    told = asked(client, case=query, k=4, older=5, **wish)
    case = gallery.get(query)
    code = refined_code([case.code], [gallery.get(plus).code], [gallery.get(minus).code])
    code = learn_direction(gallery, "age").moved(code, 5)
    weights, name = region_weights(["hippocampus:2"], load_regions())
    by_hand = Query(code, gallery.fingerprint, 4, case.subject, weights=weights)
    assert [hit["scan_id"] for hit in told["hits"]] == [
        hit.scan_id for hit in search(gallery, by_hand).hits
    ]
    assert told["weights_name"] == name == "2 hippocampus"
    gallery.close()


def test_a_search_by_code_finds_its_own_case_and_is_forgotten_with_the_service(
    client: httpx.Client, gallery_folder: Path
) -> None:
    gallery = open_gallery(gallery_folder)
    scan_id = first_case(client)
    code = gallery.get(scan_id).code.tolist()
    told = asked(client, code=code, k=3)
    assert told["same_subject"][0]["scan_id"] == scan_id
    assert told["search"].startswith("t")
    assert client.get(f"{API}/searches/{told['search']}").json()["hits"] == told["hits"]
    report = client.get(f"{API}/searches/{told['search']}/report.html")
    assert report.status_code == 200
    assert "Query: a code" in report.text
    gallery.close()


def test_a_link_to_a_stored_case_works_after_a_restart_and_a_change(
    client: httpx.Client, web_gallery: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "gallery"
    shutil.copytree(web_gallery, folder)
    with serving(settings_for(folder, tmp_path / "a.jsonl")) as first:
        scan_id = first_case(first)
        told = asked(first, case=scan_id, k=4, where="sex = 'F'")
        nearest = told["hits"][0]["scan_id"]
    with serving(settings_for(folder, tmp_path / "a.jsonl")) as second:
        assert second.delete(f"{API}/cases/{nearest}").status_code == 200
        again = second.get(f"{API}/searches/{told['search']}").json()
        assert [hit["scan_id"] for hit in again["hits"]] == [h["scan_id"] for h in told["hits"]]
        assert again["gallery_version"] == told["gallery_version"]
        assert again["request"]["where"] == "sex = 'F'"
        now = asked(second, case=scan_id, k=4, where="sex = 'F'")
        assert nearest not in {hit["scan_id"] for hit in now["hits"]}


def test_a_removed_case_is_still_seen_and_reported_as_of_its_version(
    web_gallery: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "gallery"
    shutil.copytree(web_gallery, folder)
    with serving(settings_for(folder, tmp_path / "a.jsonl")) as client:
        scan_id = first_case(client)
        told = asked(client, case=scan_id, k=2)
        version, hit = told["gallery_version"], told["hits"][0]["scan_id"]
        paths = ["", "/thumbnail.png", "/volume.nii.gz", "/slices/axial/20.png"]
        before = [client.get(f"{API}/cases/{hit}{path}").content for path in paths]
        for name in (hit, scan_id):
            gone = client.delete(f"{API}/cases/{name}", params={"seen": version})
            assert gone.json()["removed"] == [name]
        for path, content in zip(paths, before, strict=True):
            assert client.get(f"{API}/cases/{hit}{path}").status_code == 404
            old = client.get(f"{API}/cases/{hit}{path}", params={"as_of": version})
            assert old.content == content, path
        report = client.get(f"{API}/searches/{told['search']}/report.html")
        assert report.status_code == 200
        assert f"Query: {scan_id}" in report.text
        assert client.delete(f"{API}/cases/{hit}").status_code == 404


def test_a_case_replaced_since_it_was_seen_is_not_removed(
    web_gallery: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "gallery"
    shutil.copytree(web_gallery, folder)
    with serving(settings_for(folder, tmp_path / "a.jsonl")) as client:
        scan_id = first_case(client)
        seen = client.get(f"{API}/gallery").json()["version"]
        with closing(open_gallery(folder)) as gallery:
            old = gallery.get(scan_id)
            other = NewCase(scan_id, old.subject, old.code + 1, old.session, dict(old.labels))
            gallery.update([other], gallery.fingerprint)
            gallery.remove([first_case(client, 5)])
        refused = client.delete(f"{API}/cases/{scan_id}", params={"seen": seen})
        assert refused.status_code == 409
        assert refused.json()["error"] == "changed"
        assert client.get(f"{API}/cases/{scan_id}").status_code == 200
        now = client.get(f"{API}/gallery").json()["version"]
        gone = client.delete(f"{API}/cases/{scan_id}", params={"seen": now})
        assert gone.json() == {
            "version": now + 1,
            "added": [],
            "removed": [scan_id],
            "duplicates": [],
        }


def test_the_controls_are_those_whom_a_request_names_as_on_the_command_line(
    clinic_gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit = tmp_path / "audit.jsonl"
    with closing(open_gallery(clinic_gallery)) as gallery:
        healthy = [c for c in gallery.one_scan_each(99) if c.labels["diagnosis"] == "CN"]
        case = next(c for c in gallery.one_scan_each(99) if c.labels["diagnosis"] == "AD").scan_id
    youngest = f"age < {sorted(float(c.labels['age'] or 0) for c in healthy)[26]:.9f}"
    chosen = f"diagnosis = 'CN' and {youngest}"
    asking = ("search", case, "--gallery", clinic_gallery, "-k", 3, "--json", "--controls")
    with serving(settings_for(clinic_gallery, audit)) as client:
        usual = asked(client, case=case, k=3, normality=True)
        told = asked(client, case=case, k=3, normality=True, controls=chosen)
        expected = json.loads(run(capsys, *asking, chosen, "--normality")[1])
        assert (usual["normality"]["controls"], told["normality"]["controls"]) == (32, 26)
        for part in ("normality", "hits", "notes", "volume_norms"):
            assert told[part] == expected[part]
        again = client.get(f"{API}/searches/{told['search']}").json()
        assert again["request"]["controls"] == chosen
        maps = [
            client.get(f"{API}/searches/{name}/maps/{told['hits'][0]['scan_id']}/{kind}.nii.gz")
            for kind in ("difference", "deviation")
            for name in (usual["search"], told["search"])
        ]
        assert [sent.status_code for sent in maps] == [200] * 4
        assert len({sent.content for sent in maps}) == 4
        report = client.get(f"{API}/searches/{told['search']}/report.html?lang=ja").text
        assert f"健常例の条件</dt><dd>{chosen}" in html.unescape(report)
        for wrong in ("cdr = 0", "age = 'F'", "age ="):
            refused = client.post(f"{API}/searches", json={"case": case, "controls": wrong})
            code, _, line = run(capsys, *asking, wrong)
            assert (refused.status_code, code) == (400, 2)
            said = refused.json()["message"].removeprefix("The filter of controls: ").rstrip(".")
            assert said == line.strip().partition("--controls: ")[2].rstrip(".")
    assert json.dumps(chosen) in audit.read_text()


def test_the_difference_map_is_the_librarys_and_lies_in_mni_space(
    client: httpx.Client, gallery_folder: Path, tiny: Cohort
) -> None:
    told = asked(client, case=first_case(client), k=2)
    hit = told["hits"][0]["scan_id"]
    path = f"{API}/searches/{told['search']}/maps/{hit}"
    image = nibabel.Nifti1Image.from_bytes(
        gzip.decompress(client.get(f"{path}/difference.nii.gz").content)
    )
    np.testing.assert_allclose(image.affine, tiny.grid.affine)
    gallery = open_gallery(gallery_folder)
    index = tiny.table.set_index("scan_id").index
    volumes = {name: tiny.volumes[np.array([index.get_loc(name)])][0] for name in index}
    people = [volumes[case.scan_id] for case in gallery.one_scan_each(MOST_PEOPLE)]
    query = volumes[told["query_id"]]
    expected = difference_map(query, volumes[hit], tiny.grid, usual_spread(people, tiny.grid))
    np.testing.assert_allclose(np.asarray(image.dataobj), expected, atol=1e-4)
    agreement = nibabel.Nifti1Image.from_bytes(
        gzip.decompress(client.get(f"{path}/agreement.nii.gz").content)
    )
    values = np.asarray(agreement.dataobj)
    assert values.min() >= 0
    assert values.max() <= 1
    deviation = client.get(f"{path}/deviation.nii.gz")
    assert deviation.status_code == 404  # 11 controls are too few
    assert deviation.json()["error"] == "no_controls"
    gallery.close()


def test_a_map_is_refused_where_the_library_knows_no_usual_spread(
    web_gallery: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "gallery"
    shutil.copytree(web_gallery, folder)
    with closing(open_gallery(folder)) as gallery:
        people = gallery.one_scan_each(1000)
        leaving = [case.subject for case in people[FEWEST_PEOPLE - 1 :]]
        gallery.remove([case.scan_id for name in leaving for case in gallery.person(name)])
        assert gallery.info().people == FEWEST_PEOPLE - 1
        assert usual_of(gallery).spread is None
    with serving(settings_for(folder, tmp_path / "audit.jsonl")) as client:
        answer = asked(client, case=people[0].scan_id, k=2)
        hit = answer["hits"][0]["scan_id"]
        path = f"{API}/searches/{answer['search']}/maps/{hit}/difference.nii.gz"
        refused = client.get(path)
        assert (refused.status_code, refused.json()["error"]) == (404, "few_images")


def test_who_asks_at_once_for_what_is_being_made_gets_it_whole(
    web_gallery: Path, tmp_path: Path
) -> None:
    with serving(settings_for(web_gallery, tmp_path / "audit.jsonl")) as client:
        told = asked(client, case=first_case(client), k=2)
        hit = told["hits"][0]["scan_id"]
        for path in (
            "regions/atlas.nii.gz",
            "regions/template.nii.gz",
            f"searches/{told['search']}/maps/{hit}/difference.nii.gz",
        ):
            with ThreadPoolExecutor(4) as pool:
                answers = [*pool.map(client.get, [f"{API}/{path}"] * 4)]
            assert [answer.status_code for answer in answers] == [200] * 4
            assert len({gzip.decompress(answer.content) for answer in answers}) == 1


def test_atlas_and_template_lie_on_the_galleries_grid(client: httpx.Client, tiny: Cohort) -> None:
    regions = client.get(f"{API}/regions").json()
    by_name = {region["name"]: region for region in regions}
    assert by_name["left-hippocampus"]["hemisphere"] == "left"
    atlas, template = (
        nibabel.Nifti1Image.from_bytes(
            gzip.decompress(client.get(f"{API}/regions/{name}.nii.gz").content)
        )
        for name in ("atlas", "template")
    )
    for image in (atlas, template):
        np.testing.assert_allclose(image.affine, tiny.grid.affine)
    labels = np.asarray(atlas.dataobj)
    places = np.argwhere(labels == by_name["left-hippocampus"]["index"])
    centre = (tiny.grid.affine @ [*places.mean(axis=0), 1])[:3]
    assert -32 < centre[0] < -20  # MNI mm, left is negative
    assert np.asarray(template.dataobj)[labels > 0].mean() > 0.3


def test_the_query_lies_on_the_map_where_its_case_lies(client: httpx.Client) -> None:
    told = asked(client, case=first_case(client), k=2)
    found = client.get(f"{API}/gallery/map", params={"search": told["search"], "colour": "age"})
    places = {point["scan_id"]: point for point in found.json()["points"]}
    own = places[told["query_id"]]
    assert (own["x"], own["y"]) == pytest.approx(
        (found.json()["query"]["x"], found.json()["query"]["y"]), abs=1e-5
    )
    assert own["value"] == told["query_labels"]["age"]
    assert found.json()["explained"][0] >= found.json()["explained"][1] > 0


def test_report_and_table_can_be_taken_away(client: httpx.Client, gallery_folder: Path) -> None:
    told = asked(client, case=first_case(client), k=3)
    report = client.get(f"{API}/searches/{told['search']}/report.html")
    page = report.text
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert "<script" not in page
    assert str(gallery_folder) not in page
    assert all(hit["scan_id"] in page for hit in told["hits"])
    table = client.get(f"{API}/searches/{told['search']}/cases.tsv").text.splitlines()
    assert table[0].split("\t")[:4] == ["rank", "scan_id", "subject", "session"]
    assert [line.split("\t")[1] for line in table[1:]] == [h["scan_id"] for h in told["hits"]]


def test_no_answer_holds_a_code(client: httpx.Client, gallery_folder: Path) -> None:
    """A code is as personal as the picture it came from."""
    gallery = open_gallery(gallery_folder)
    scan_id = first_case(client)
    numbers = [f"{x:.4f}".rstrip("0") for x in gallery.get(scan_id).code.tolist() if abs(x) > 0.001]
    told = asked(client, case=scan_id, k=3)
    paths = [
        "gallery",
        "cases?limit=500",
        f"cases/{scan_id}",
        f"searches/{told['search']}",
        f"searches/{told['search']}/report.html",
    ]
    for path in paths:
        text = client.get(f"{API}/{path}").text
        assert sum(number in text for number in numbers) < 20, path
    gallery.close()


def test_readers_see_whole_versions_while_a_curator_adds(web_gallery: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    shutil.copytree(web_gallery, folder)
    with serving(settings_for(folder, tmp_path / "a.jsonl")) as client:
        scan_id = first_case(client)
        seen: list[tuple[int, int]] = []
        wrong: list[str] = []
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                told = client.post(f"{API}/searches", json={"case": scan_id, "k": 3})
                if told.status_code != 200:
                    wrong.append(told.text)
                else:
                    seen.append((told.json()["gallery_version"], told.json()["n_cases"]))

        before = client.get(f"{API}/gallery").json()
        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        writer = open_gallery(folder)
        code = writer.get(scan_id).code
        for number in range(8):
            new = NewCase(f"sub-new{number}", f"new{number}", code + 1 + number)
            writer.add([new], writer.fingerprint)
        stop.set()
        for reader in readers:
            reader.join()
        writer.close()
        after = client.get(f"{API}/gallery").json()
    assert not wrong
    assert after["cases"] == before["cases"] + 8
    for version, n_cases in seen:
        assert n_cases - before["cases"] == version - before["version"]


def test_the_plain_page_answers_without_any_script(client: httpx.Client) -> None:
    scan_id = first_case(client)
    page = client.get("/", params={"case": scan_id, "k": 3, "at": "20-20-20"}).text
    assert "is not built here" in page
    assert "<script" not in page
    assert not re.search(r"\sstyle=|\son\w+=", page)
    pictures = re.findall(r'src="([^"]+\.png)"', page)
    assert len(pictures) >= 12
    assert all(client.get(path).status_code == 200 for path in pictures[:3])
    wrong = client.get("/", params={"case": scan_id, "where": "<b>"})
    assert "<b>" not in wrong.text
    assert "The filter" in wrong.text
    assert _templates().autoescape


def test_a_gallery_that_grows_is_not_learned_anew_at_every_step(
    web_gallery: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "gallery"
    shutil.copytree(web_gallery, folder)
    gallery = open_gallery(folder)
    code = gallery.get(gallery.one_scan_each(1)[0].scan_id).code
    many = [NewCase(f"sub-m{n}", f"m{n}", code + 0.01 * (1 + n)) for n in range(120)]
    gallery.add(many, gallery.fingerprint)
    with serving(settings_for(folder, tmp_path / "a.jsonl")) as client:
        scan_id = first_case(client)

        def learned(extra: int) -> set[str]:
            for number in range(extra):
                new = NewCase(f"sub-n{gallery.info().version}{number}", f"n{number}", code + 2)
                gallery.add([new], gallery.fingerprint)
            asked(client, case=scan_id, k=3)
            return {file.name for file in (folder / "learned").iterdir()}

        first = learned(0)
        assert first
        assert learned(1) == first  # less than 2 % more
        assert learned(4) != first
    gallery.close()
