"""The reading room as a radiologist meets it: Chromium, the built page, the real service."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image
from PIL import Image
from pydicom.uid import generate_uid

import braincase
from braincase.cohort.cohort import Cohort, open_cohort
from braincase.cohort.view import SLOPE, ViewVolume, write_view
from braincase.gallery import open_gallery
from braincase.images.geometry import VIEW_GRIDS
from braincase.models.encoder import Encoder
from braincase.population.disease_axes import disease_axes_of
from braincase.purpose import PURPOSE
from braincase.simulate.head import Scanning, simulate_head
from braincase.sources.archive_links import Link, add_link
from braincase.web.security.users import add_user
from markers import write_dicom
from web_service import API, fill, serving, settings_for, wait_for

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
Page = sync_api.Page
expect = sync_api.expect

WEB = Path(braincase.__file__).parent / "web"
BUILT = WEB / "static"
AXE = WEB / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
#: WebGL 2 without a screen or a graphics card. The software that stands in for one draws the views
#: alone and not the page around them: half the processor time.
FLAGS = [
    "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-gpu-compositing", "--disable-gpu-rasterization",
]  # fmt: skip
#: A machine of two cores may be busy with everything else that is tested.
PATIENCE_MS = 240_000
#: What the page shows after a request: with a browser in each worker that takes its time.
expect.set_options(timeout=30_000)
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(
        not (BUILT / "index.html").is_file(),
        reason="the page is not built: `make page` needs npm",
    ),
]


@pytest.fixture(scope="module")
def address(
    web_gallery: Path, web_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The real service on the gallery of the tiny cohort."""
    audit = tmp_path_factory.mktemp("page") / "audit.jsonl"
    with serving(settings_for(web_gallery, audit, web_model, static=BUILT)) as client:
        yield str(client.base_url)


@pytest.fixture(scope="module")
def clinic_address(
    clinic_gallery: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """The service on a gallery with controls and patients enough to say what is normal."""
    audit = tmp_path_factory.mktemp("clinic-page") / "audit.jsonl"
    with serving(settings_for(clinic_gallery, audit, static=BUILT)) as client:
        yield str(client.base_url), clinic_gallery


@pytest.fixture(scope="module")
def playing() -> Iterator[sync_api.Playwright]:
    with sync_api.sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playing: sync_api.Playwright) -> Iterator[sync_api.Browser]:
    with playing.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as running:
        yield running


@contextmanager
def opened(browser: sync_api.Browser, url: str, **options: object) -> Iterator[Page]:
    """A fresh reader's page, which may neither throw, nor be refused anything by its own policy."""
    settings = {"locale": "en-GB", "viewport": {"width": 1280, "height": 800}, **options}
    context = browser.new_context(**settings)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if is_refusal(line) else None)
    page.goto(url)
    yield page
    context.close()
    assert wrong == []


def is_refusal(line: sync_api.ConsoleMessage) -> bool:
    return line.type == "error" and "Content Security Policy" in line.text


def hits(page: Page) -> list[str]:
    return page.locator("#hits > .card").evaluate_all("cards => cards.map(c => c.dataset.scan)")


def wait_for_hits(page: Page) -> list[str]:
    """The scans found, once search and pictures are there."""
    page.locator("#hits > .card").first.wait_for()
    expect(page.locator("#search")).to_be_enabled()
    for side in ("query", "beside"):
        page.locator(f".pane-{side}[data-busy=false] canvas[data-place]").wait_for()
    return hits(page)


def places(page: Page) -> list[tuple[float, ...]]:
    """Where the crosses of both views stand, in MNI millimetres."""
    told = page.locator(".panes canvas").evaluate_all("views => views.map(v => v.dataset.place)")
    return [tuple(float(value) for value in place.split()) for place in told]


def spoken(place: tuple[float, ...]) -> str:
    return " ".join(f"{value:.1f}" for value in place)


def search_again(page: Page, button: str = "#search") -> list[str]:
    with page.expect_response(lambda answer: answer.url.endswith("/searches")) as told:
        page.click(button)
    assert told.value.ok
    return wait_for_hits(page)


def first_case(page: Page) -> str:
    page.get_by_role("button", name="Stored case").click()
    entry = page.locator(".finder-list button").first
    name = entry.locator("span").first.inner_text()
    entry.click()
    wait_for_hits(page)
    return name


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw whole head of an invented person, as a scanner gives it."""
    made = simulate_head(7, scanning=Scanning(zooms_mm=(2, 2, 2)))
    path = tmp_path_factory.mktemp("head") / "head.nii.gz"
    Nifti1Image(made.data, made.affine).to_filename(path)
    return path


def test_a_reader_uploads_a_scan_judges_the_hits_and_takes_a_report_away(
    browser: sync_api.Browser, address: str, head: Path
) -> None:
    with opened(browser, address) as page:
        expect(page.locator(".top")).to_contain_text(PURPOSE)
        expect(page.locator(".badge-simulated")).to_be_visible()
        page.set_input_files("#scan-file", head)
        expect(page.locator(".transfer progress")).to_be_visible()
        found = wait_for_hits(page)
        assert len(found) == 8
        assert page.locator("#hits > .card").first.get_attribute("data-chosen") == "true"
        expect(page.locator(".pane-query strong")).to_have_text("head.nii.gz")

        page.locator(".card .mark-plus").nth(1).click()
        page.locator(".card .mark-minus").nth(0).click()
        expect(page.locator(".again")).to_contain_text("1 for, 1 against")
        liked = page.locator(".card:has(.mark-plus[aria-pressed=true])").get_attribute("data-scan")
        again = search_again(page, "#search-again")
        assert again != found
        assert len(again) == 8
        assert liked not in again  # the query was moved to it: it stands apart
        expect(page.locator(".marked-cases .card")).to_have_attribute("data-scan", str(liked))

        # The file tells no age and sex, and the gallery has too few controls for it anyway.
        page.get_by_role("button", name="Anatomy", exact=True).click()
        page.click("#search")
        expect(page.locator(".notice-error")).to_contain_text("age and sex (F or M) of the query")
        page.fill("#known-age", "70")
        page.get_by_role("button", name="F, female").click()
        if AXE.is_file():
            assert faults(page) == []
        page.click("#search")
        expect(page.locator(".notice-error")).to_contain_text("too small for such a search")
        page.get_by_role("button", name="Overall", exact=True).click()

        report = page.get_attribute("#report", "href")
        answer = page.request.get(f"{address}/{report}")
        assert answer.ok
        assert PURPOSE in answer.text()
        with page.expect_download() as download:
            page.click("#table")
        table = download.value.path().read_text().splitlines()
        named = [row.split("\t")[1] for row in table[1:]]
        assert [name for name in named if name != liked] == hits(page)


def test_readers_sign_in_and_a_curator_keeps_a_scan(
    browser: sync_api.Browser,
    web_gallery: Path,
    web_model: Path,
    tmp_path: Path,
    head: Path,
) -> None:
    folder = shutil.copytree(web_gallery, tmp_path / "gallery")
    users = tmp_path / "users.json"
    add_user(users, "rita", "a long enough password", "reader")
    add_user(users, "carl", "another long password", "curator")
    settings = settings_for(folder, tmp_path / "audit.jsonl", web_model, users=users, static=BUILT)
    with serving(settings) as client:
        with opened(browser, str(client.base_url)) as page:
            sign_in(page, "rita", "wrong")
            page.locator(".login-dialog .fault").wait_for()
            sign_in(page, "rita", "a long enough password")
            expect(page.locator(".gallery")).to_contain_text("34 cases")
            page.set_input_files("#scan-file", head)
            wait_for_hits(page)
            expect(page.locator("#keep")).to_have_count(0)
            page.get_by_role("button", name="Sign out").click()
            page.locator(".login-dialog").wait_for()
        with opened(browser, str(client.base_url)) as page:
            sign_in(page, "carl", "another long password")
            expect(page.locator(".gallery")).to_contain_text("34 cases")
            page.set_input_files("#scan-file", head)
            wait_for_hits(page)
            page.click("#keep")
            page.fill(".keep-dialog [name=subject]", "New1")
            page.fill(".keep-dialog [name='label:age']", "70")
            page.locator(".keep-dialog button.primary").click()
            expect(page.locator(".notice")).to_contain_text("sub-New1")
            expect(page.locator(".gallery")).to_contain_text("35 cases")


def test_a_curator_removes_a_case_after_reading_what_that_means(
    browser: sync_api.Browser, web_gallery: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(web_gallery, tmp_path / "gallery")
    users = tmp_path / "users.json"
    add_user(users, "rita", "a long enough password", "reader")
    add_user(users, "carl", "another long password", "curator")
    with serving(settings_for(folder, tmp_path / "a.jsonl", users=users, static=BUILT)) as client:
        with opened(browser, str(client.base_url)) as page:
            sign_in(page, "rita", "a long enough password")
            first_case(page)
            page.locator("#hits summary").first.click()
            expect(page.locator(".remove")).to_have_count(0)
        with opened(browser, str(client.base_url)) as page:
            sign_in(page, "carl", "another long password")
            query = first_case(page)
            found, link = hits(page), page.url
            card = page.locator("#hits > .card").first
            card.locator("summary").click()
            card.locator(".remove").click()
            asked = page.locator(".remove-dialog")
            expect(asked).to_contain_text(f"Remove {found[0]} from the gallery?")
            expect(asked).to_contain_text("It is not erased: version")
            expect(asked).to_be_visible()
            page.keyboard.press("Escape")
            expect(asked).to_have_count(0)
            assert hits(page) == found
            card.locator(".remove").click()
            page.locator(".remove-dialog .danger").click()
            expect(page.locator(".notice")).to_contain_text(f"{found[0]} is no longer")
            expect(page.locator(".gallery")).to_contain_text("33 cases")
            assert found[0] not in wait_for_hits(page)

            # Somebody else is quicker: the page says so, and nothing else happens.
            with closing(open_gallery(folder)) as gallery:
                gallery.remove([query])
            page.locator(".chosen .more summary").click()
            page.locator(".chosen .remove").click()
            page.locator(".remove-dialog .danger").click()
            expect(page.locator(".remove-dialog .fault")).to_contain_text(query)
            page.keyboard.press("Escape")

            # The link from before still shows both, pictures and all.
            page.goto(link)
            assert wait_for_hits(page) == found
            pictures = page.locator(":is(#hits, .chosen) .thumbnail-plane:first-child img")
            for picture in pictures.all():
                picture.scroll_into_view_if_needed()
                expect(picture).to_have_js_property("complete", True)
            widths = pictures.evaluate_all("all => all.map(one => one.naturalWidth)")
            assert len(widths) == 9
            assert all(widths)


def test_a_reader_changes_the_password_and_makes_and_revokes_a_token(
    browser: sync_api.Browser, web_gallery: Path, tmp_path: Path
) -> None:
    users, old, new = tmp_path / "users.json", "a long enough password", "green lamps sing at noon"
    add_user(users, "rita", old, "reader")
    settings = settings_for(web_gallery, tmp_path / "audit.jsonl", users=users, static=BUILT)
    with serving(settings) as client, opened(browser, str(client.base_url)) as page:
        sign_in(page, "rita", old)
        page.click("#account")
        dialog = page.locator(".account-dialog")
        expect(dialog.get_by_text("this one")).to_be_visible()
        for wrong, right in (("not this one", False), (old, True)):
            page.fill("[name=old]", wrong)
            page.fill("[name=new]", new)
            dialog.get_by_role("button", name="Change password").click()
            expect(dialog.get_by_role("status" if right else "alert")).to_have_count(1)
        page.fill("[name=note]", "night script")
        dialog.get_by_role("button", name="Make a token").click()
        token = dialog.locator(".fresh-token").text_content()
        right = {"Authorization": f"Bearer {token}"}
        me = f"{client.base_url}{API}/me"
        assert httpx.get(me, headers=right).json()["user"] == "rita"
        expect(dialog.get_by_text("night script: made")).to_be_visible()
        if AXE.is_file():
            assert faults(page) == []
        dialog.get_by_role("button", name="Revoke").click()
        expect(dialog.get_by_text("night script: made")).to_have_count(0)
        assert httpx.get(me, headers=right).status_code == 401
        dialog.get_by_role("button", name="End all sessions").click()
        sign_in(page, "rita", new)
        expect(page.locator(".gallery")).to_contain_text("34 cases")


def sign_in(page: Page, user: str, password: str) -> None:
    page.fill("[name=user]", user)
    page.fill("[name=password]", password)
    page.locator(".login-dialog button.primary").click()


def test_an_upload_can_be_cancelled(browser: sync_api.Browser, address: str, head: Path) -> None:
    with opened(browser, address) as page:
        page.set_input_files("#scan-file", head)
        with page.expect_response(lambda answer: answer.request.method == "DELETE") as told:
            page.locator(".transfer[data-phase=job]").wait_for()
            page.get_by_role("button", name="Cancel").click()
        job = told.value.json()["job"]
        wait_for(lambda: state_of(page, address, job) == "cancelled")
        expect(page.locator(".drop")).to_be_visible()


def state_of(page: Page, address: str, job: str) -> str:
    return str(page.request.get(f"{address}/api/v1/jobs/{job}").json()["state"])


def test_what_is_no_scan_is_refused_in_plain_words(
    browser: sync_api.Browser, address: str, tmp_path: Path
) -> None:
    holiday = tmp_path / "holiday.nii.gz"
    holiday.write_bytes(b"no image at all")
    with opened(browser, address) as page:
        page.set_input_files("#scan-file", holiday)
        told = page.locator(".notice-error")
        told.wait_for()
        assert "Traceback" not in told.inner_text()
        assert len(told.locator("p").inner_text()) > 20
        expect(page.locator(".drop")).to_be_visible()


def test_a_folder_is_sent_as_one_zip(
    browser: sync_api.Browser, address: str, tmp_path: Path
) -> None:
    series = tmp_path / "series"
    series.mkdir()
    for number in range(3):
        (series / f"{number}.dcm").write_bytes(b"no DICOM at all")
    with opened(browser, address) as page:
        with page.expect_request(lambda request: request.url.endswith("/uploads")) as sent:
            page.set_input_files("#scan-folder", series)
        assert sent.value.headers["x-filename"] == "series.zip"
        page.locator(".notice-error").wait_for()


def test_a_reader_chooses_the_series_where_a_study_does_not_say_which(
    browser: sync_api.Browser, address: str, tmp_path: Path
) -> None:
    """Two series whose names and settings say nothing; one is a head, the other a noise."""
    head, uid = simulate_head(7, scanning=Scanning(zooms_mm=(2.5, 2.5, 2.5))), generate_uid()
    voxels = (1000 / head.data.max() * head.data).astype(np.int16)
    for number, name in ((3, "axial"), (4, "<b>vol</b>")):
        fields = {"SeriesNumber": number, "SeriesDescription": name, "MRAcquisitionType": None}
        data = voxels if number == 4 else voxels[::-1, ::-1] // 3
        write_dicom(tmp_path / "study" / str(number), data, head.affine,
                    StudyInstanceUID=uid, **fields)  # fmt: skip
    with opened(browser, address) as page:
        page.set_input_files("#scan-folder", tmp_path / "study")
        asked = page.locator(".series-choice")
        asked.wait_for()
        expect(asked).to_contain_text("study.zip: nothing says which series is the T1-weighted")
        expect(asked.get_by_role("listitem")).to_have_text(
            [f"{name}series {number} · {voxels.shape[2]} slices"
             for number, name in ((3, "axial"), (4, "<b>vol</b>"))]
        )  # fmt: skip
        page.click("#language")
        expect(asked).to_contain_text("どのシリーズが T1 強調画像か分かりません")
        page.click("#language")
        with page.expect_request(lambda request: "/uploads" in request.url) as sent:
            asked.get_by_role("button", name="<b>vol</b>").click()
        assert sent.value.url.endswith("/uploads?series=4")
        assert wait_for_hits(page)
        expect(asked).to_have_count(0)


def test_a_query_like_nobody_comes_with_a_warning(browser: sync_api.Browser, address: str) -> None:
    token = httpx.get(f"{address}/api/v1/me").json()["csrf"]
    strange = {"code": [100.0] * 150, "k": 3}
    answer = httpx.post(
        f"{address}/api/v1/searches", json=strange, headers={"X-CSRF-Token": token}, timeout=60
    ).json()
    assert answer["typicality"]["unlike"]
    with opened(browser, f"{address}/?s={answer['search']}") as page:
        expect(page.locator(".warning").first).to_contain_text("No similar case in this gallery")
        assert len(hits(page)) == 3


def test_without_webgl_the_service_draws_the_slices(
    playing: sync_api.Playwright, address: str
) -> None:
    flags = ["--no-sandbox", "--disable-3d-apis"]
    with (
        playing.chromium.launch(executable_path=CHROMIUM, args=flags) as plain,
        opened(plain, address) as page,
    ):
        page.get_by_role("button", name="Stored case").click()
        page.locator(".finder-list button").first.click()
        axial = page.locator(".pane-query .slice-axial")
        axial.wait_for()
        first = axial.get_attribute("src")
        page.locator("input[data-axis=z]").focus()
        for _ in range(8):
            page.keyboard.press("ArrowRight")
        assert axial.get_attribute("src") != first
        assert axial.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        letters = page.locator(".pane-query .slices .side")
        expect(letters).to_have_text(["A", "P", "R", "L", "R", "L"])


def test_both_views_scroll_together_and_keep_their_sides(
    browser: sync_api.Browser, address: str
) -> None:
    with opened(browser, address) as page:
        first_case(page)
        query, beside = (page.locator(f".pane-{side} canvas") for side in ("query", "beside"))
        before = places(page)
        assert before[0] == before[1]
        box = query.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.2)
        page.mouse.wheel(0, 200)
        expect(beside).not_to_have_attribute("data-place", spoken(before[1]))
        after = places(page)
        assert after[0] == after[1]
        assert after[0][2] != before[0][2]  # the axial slice, and only that
        assert after[0][:2] == before[0][:2]

        beside.focus()
        page.keyboard.press("ArrowRight")  # to the right of the picture is the patient's left
        assert places(page)[0][0] == places(page)[1][0] == after[0][0] - 2
        page.get_by_role("button", name="Neurological").click()
        page.locator(".pane-beside canvas").focus()
        page.keyboard.press("ArrowRight")
        assert places(page)[0][0] == after[0][0]

        page.locator("input[data-axis=y]").fill("12")
        assert {place[1] for place in places(page)} == {12.0}


def told_of(page: Page, what: str) -> list[str | None]:
    """What both views say of themselves: `view` (pan and zoom) or `grey` (black and white)."""
    return [page.locator(f".pane-{s} canvas").get_attribute(f"data-{what}") for s in SIDES]


SIDES = ("query", "beside")


def test_grey_scale_zoom_and_place_are_one_for_both_views(
    browser: sync_api.Browser, address: str
) -> None:
    with opened(browser, address) as page:
        first_case(page)
        page.locator(".readout-region").get_by_text("L hippocampus").wait_for()
        expect(page.locator(".readout")).to_contain_text("-26, -20, -14")
        start = told_of(page, "grey")
        assert start[0] == start[1]
        box = page.locator(".pane-query canvas").bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.2

        page.mouse.move(x, y)
        page.mouse.down(button="right")
        page.mouse.move(x - 60, y + 20, steps=3)
        page.mouse.up(button="right")
        expect(page.locator(".pane-beside canvas")).not_to_have_attribute("data-grey", start[1])
        (black, white), other = (tuple(map(int, str(t).split())) for t in told_of(page, "grey"))
        assert (black, white) == other
        before = tuple(map(int, str(start[0]).split()))
        assert white - black == before[1] - before[0] - 60
        assert abs((black + white - sum(before)) / 2 - 20) <= 1
        assert places(page)[0] == (-26.0, -20.0, -14.0)  # the cross has not moved

        bar = page.locator(".pane-query .scale-bar")
        expect(bar).to_be_visible()
        length = bar.bounding_box()
        page.keyboard.down("Control")
        page.mouse.wheel(0, -100)
        page.keyboard.up("Control")
        expect(page.locator(".pane-beside canvas")).to_have_attribute("data-view", ZOOMED)
        assert places(page)[1] == (-26.0, -20.0, -14.0)
        wait_for(lambda: wider(bar.bounding_box(), length, 1.15**2))
        zoomed = told_of(page, "view")
        page.mouse.down(button="middle")
        page.mouse.move(x - 20, y + 20, steps=3)
        page.mouse.up(button="middle")
        moved = told_of(page, "view")
        assert moved[0] == moved[1] != zoomed[0]

        page.click("#tool-reset")
        assert told_of(page, "view") == ["0.00 0.00 0.00 1.00"] * 2
        expect(page.locator(".pane-beside canvas")).to_have_attribute("data-grey", start[1])
        page.select_option("#grey-scale", label="Fluid")
        expect(page.locator(".pane-query canvas")).not_to_have_attribute("data-grey", start[0])
        page.select_option("#layout", label="Axial")
        wait_for(lambda: wider(bar.bounding_box(), length, 1.5))
        page.select_option("#layout", label="Slices")
        slices = page.locator(".pane-query .mosaic-slice")
        expect(slices).to_have_count(12)
        expect(slices.first).to_have_text("Rz -50L")  # radiological: the right is on the left
        expect(slices.last).to_have_text("Rz 71L")
        wait_for(lambda: wider(length, bar.bounding_box(), 1.1))  # twelve slices are smaller
        page.get_by_role("button", name="Neurological").click()
        expect(slices.first).to_have_text("Lz -50R")
        page.click("#help")
        expect(page.locator(".help-dialog")).to_contain_text("Ctrl and wheel")


ZOOMED = re.compile(r" 1\.32$")


def wider(now: dict[str, float] | None, before: dict[str, float] | None, factor: float) -> bool:
    assert now is not None
    assert before is not None
    return now["width"] > 0.95 * factor * before["width"]


@pytest.fixture(scope="module")
def views_address(
    tiny: Cohort, web_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, set[str]]]:
    """The service on the tiny cohort, whose even rows have views, and which those are."""
    folder = tmp_path_factory.mktemp("seen")
    shutil.copytree(tiny.folder, folder / "cohort")
    rows = range(0, len(tiny), 2)
    for row in rows:
        brain = np.repeat(np.repeat(np.repeat(tiny.volumes[np.array([row])][0], 2, 0), 2, 1), 2, 2)
        view = np.pad((brain / SLOPE).astype(np.uint8), 8)
        view[:, :, :10] = 250  # what only the whole scan shows
        write_view(folder / "cohort" / tiny.table["image"][row], ViewVolume(view, VIEW_GRIDS[2]))
    gallery = fill(folder / "gallery", open_cohort(folder / "cohort"), web_model)
    with serving(settings_for(gallery, folder / "audit.jsonl", static=BUILT)) as client:
        yield str(client.base_url), {str(tiny.table["scan_id"][row]) for row in rows}


def test_query_and_hit_are_shown_as_scanned_or_as_they_are_compared(
    browser: sync_api.Browser, views_address: tuple[str, set[str]]
) -> None:
    address, seen = views_address
    with opened(browser, f"{address}/?case={min(seen)}") as page:
        names = wait_for_hits(page)
        kind = {side: page.locator(f".pane-{side} .pane-kind") for side in ("query", "beside")}
        expect(kind["query"]).to_have_text("as scanned, 2 mm")
        cross, grey = places(page), told_of(page, "grey")
        whole = page.locator(".pane-query canvas").screenshot()
        # Step to a case without a view, and to one with: each says what it shows.
        for name in (next(n for n in names if n not in seen), next(n for n in names if n in seen)):
            page.locator(f"#hits > .card[data-scan='{name}'] .card-picture").click()
            wait_for_hits(page)
            text = "as scanned, 2 mm" if name in seen else "scan not kept: standard volume, 4 mm"
            expect(kind["beside"]).to_contain_text(text)
        page.locator(".pane-beside canvas").press("ArrowUp")
        page.keyboard.press("i")
        expect(page.locator(".key-image")).to_have_text(re.compile(r"sub-.*-26, -20, -12"))
        report = page.request.get(f"{address}/{page.get_attribute('#report', 'href')}")
        assert "MNI x -26, y -20, z -12 mm" in report.text()
        page.locator(".key-image .icon").click()
        page.locator(".pane-beside canvas").press("ArrowDown")
        assert "key=" not in str(page.get_attribute("#report", "href"))
        with page.expect_response(re.compile(r"/agreement\.nii\.gz")) as told:
            page.get_by_role("button", name="Agreement", exact=True).click()
        assert told.value.ok
        page.get_by_role("button", name="None", exact=True).click()
        page.keyboard.press("v")
        wait_for_hits(page)
        for side in kind.values():
            expect(side).to_have_text("standard volume, 4 mm")
        assert places(page) == cross
        assert told_of(page, "grey")[0] == told_of(page, "grey")[1]
        page.wait_for_timeout(500)
        assert page.locator(".pane-query canvas").screenshot() != whole
        page.reload()  # the choice is remembered
        wait_for_hits(page)
        expect(kind["query"]).to_have_text("standard volume, 4 mm")
        page.get_by_role("button", name="As scanned").click()
        expect(kind["query"]).to_have_text("as scanned, 2 mm")
        assert grey[0] == grey[1]


def test_no_picture_stands_under_another_cases_name_and_a_failed_one_says_why(
    browser: sync_api.Browser, address: str
) -> None:
    with opened(browser, address) as page:
        first_case(page)
        assert bright(page, "beside") > 0.05
        page.route("**/volume.nii.gz*", lambda route: None)
        page.keyboard.press("j")  # the next case, whose picture does not come
        expect(page.locator(".pane-beside")).to_have_attribute("data-busy", "true")
        assert bright(page, "beside") < 0.01  # black but for the word 'Loading'
        expect(page.locator(".readout")).to_contain_text("Similar case –")
        for side in ("beside", "query"):  # neither the pointer nor the other view can fail at it
            page.locator(f".pane-{side} canvas").click(position={"x": 150, "y": 80})
            page.mouse.wheel(0, 100)
        cross = places(page)[0]
        page.keyboard.press("j")
        page.keyboard.press("k")  # what was asked for twice is there once
        page.unroute("**/volume.nii.gz*")  # lets go what was held
        page.locator(".pane-beside[data-busy=false]").wait_for()
        assert bright(page, "beside") > 0.05
        assert places(page) == [cross, cross]

        page.route("**/volume.nii.gz*", lambda route: route.abort())
        page.keyboard.press("j")
        expect(page.locator(".pane-beside .pane-fault")).to_contain_text("could not be loaded")
        assert bright(page, "beside") < 0.03  # that text alone
        page.unroute("**/volume.nii.gz*")
        page.get_by_role("button", name="Difference").click()  # another try
        page.locator(".pane-beside[data-busy=false]").wait_for()
        expect(page.locator(".pane-fault")).to_have_count(0)
        assert bright(page, "beside") > 0.05


def test_the_ruler_measures_in_millimetres_of_mni_space_and_says_so(
    browser: sync_api.Browser, address: str
) -> None:
    with opened(browser, address) as page:
        first_case(page)
        grey = told_of(page, "grey")
        page.select_option("#layout", label="Axial")
        bar = page.locator(".pane-query .scale-bar")
        wait_for(lambda: (bar.bounding_box() or {"width": 0})["width"] > 60)
        page.click("#tool-ruler")
        assert "not the patient's" in str(page.locator("#tool-ruler").get_attribute("title"))
        expect(page.locator(".pane-beside .scale-space")).to_have_text(
            "mm in MNI space, not the patient's"
        )
        box, length = page.locator(".pane-query canvas").bounding_box(), bar.bounding_box()
        assert box is not None
        assert length is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 3
        page.mouse.move(x - 50, y)
        page.mouse.down(button="right")
        page.mouse.move(x + 50, y, steps=5)
        page.mouse.up(button="right")
        canvas = page.locator(".pane-query canvas")
        expect(canvas).to_have_attribute("data-measured", re.compile(r"\d"))
        measured = float(str(canvas.get_attribute("data-measured")))
        assert measured == pytest.approx(100 * 50 / length["width"], rel=0.05)  # as the bar says
        assert told_of(page, "grey") == grey  # the right button sets no grey levels meanwhile
        page.click("#tool-ruler")
        expect(page.locator(".scale-space")).to_have_count(0)


def bright(page: Page, side: str) -> float:
    """Return the share of a view's pixels that are brighter than a ground can be."""
    page.wait_for_timeout(1500)  # until the graphics card, here the processor, has drawn it
    picture = page.locator(f".pane-{side} canvas").screenshot()
    return float((np.asarray(Image.open(io.BytesIO(picture)).convert("L")) > 60).mean())


def test_maps_lie_over_the_views_with_their_legend(browser: sync_api.Browser, address: str) -> None:
    with opened(browser, address) as page:
        first_case(page)
        plain = page.locator(".pane-query canvas").screenshot()
        for name, url in (("Difference", "difference"), ("Agreement", "agreement")):
            with page.expect_response(re.compile(rf"/{url}\.nii\.gz")) as told:
                page.get_by_role("button", name=name, exact=True).click()
            assert told.value.ok
            expect(page.locator(".legend-bar")).to_be_visible()
            page.wait_for_timeout(1500)  # until the graphics card, here the processor, has drawn it
            assert page.locator(".pane-query canvas").screenshot() != plain
        # Twelve controls are too few to say what is normal; the page tells so.
        page.get_by_role("button", name="Deviation").click()
        expect(page.locator(".pane-fault").first).to_contain_text("too few controls")


def test_the_planes_stay_where_they_are_and_the_readout_names_both_deviations(
    browser: sync_api.Browser, clinic_address: tuple[str, Path]
) -> None:
    size = {"width": 1366, "height": 768}
    with opened(browser, clinic_address[0], viewport=size) as page:
        first_case(page)
        canvas = page.locator(".pane-query canvas")
        expect(canvas).to_have_attribute("data-arranged", re.compile("grid|column|row"))
        before = canvas.get_attribute("data-arranged"), canvas.bounding_box()
        for name in ("Difference", "Deviation", "None"):
            page.get_by_role("button", name=name, exact=True).click()
            page.locator(".pane-beside[data-busy=false]").wait_for()
            if name == "Deviation":
                number = r"[-−]?\d+\.\d\d"
                both = re.compile(f"Deviation Query {number} · Similar case {number} SD")
                expect(page.locator(".readout-map")).to_have_text(both)
            assert (canvas.get_attribute("data-arranged"), canvas.bounding_box()) == before
        page.keyboard.press("i")  # a key image takes room, and turns nothing over
        page.locator(".key-image").wait_for()
        assert canvas.get_attribute("data-arranged") == before[0]


def test_thumbnails_follow_the_convention_and_carry_their_letters(
    browser: sync_api.Browser, address: str
) -> None:
    with opened(browser, address) as page:
        first_case(page)
        planes = page.locator(".chosen .thumbnail-plane, #hits .card-picture .thumbnail-plane")
        assert sides_of(planes) == {(None, None), ("R", "L")}  # the sagittal has none
        radiological = [thumbnail(page, place) for place in range(3)]
        page.get_by_role("button", name="Neurological").click()
        assert sides_of(planes) == {(None, None), ("L", "R")}
        sagittal, *others = (thumbnail(page, place) for place in range(3))
        assert np.abs(sagittal - radiological[0]).mean() < 2  # its nose still points to the left
        for before, after in zip(radiological[1:], others, strict=True):
            assert np.abs(after - before[:, ::-1]).mean() < 0.8 * np.abs(after - before).mean()


def sides_of(planes: sync_api.Locator) -> set[tuple[str | None, str | None]]:
    """Return the letters that planes carry on their left and right."""
    read = "all => all.map(({dataset}) => [dataset.left ?? null, dataset.right ?? null])"
    return {(left, right) for left, right in planes.evaluate_all(read)}


def thumbnail(page: Page, place: int) -> np.ndarray:
    """Return a plane of the query's thumbnail without the row of its letters."""
    picture = page.locator(".chosen .thumbnail-plane").nth(place).screenshot()
    grey = np.asarray(Image.open(io.BytesIO(picture)).convert("L"), dtype=float)
    return grey[: int(0.75 * len(grey))]


def test_a_scan_dropped_while_a_query_stands_is_taken_or_refused_in_words(
    browser: sync_api.Browser, address: str
) -> None:
    with opened(browser, address) as page:
        page.route("**/gallery", small_uploads)
        page.reload()
        name = first_case(page)
        page.evaluate(DROP, ["large.nii.gz", 3 << 20])
        told = page.locator(".notice-error")
        expect(told).to_contain_text("large.nii.gz has 3 MiB; this service takes up to 1 MiB")
        expect(page.locator(".chosen strong")).to_have_text(name)  # and nothing was sent
        with page.expect_request(lambda request: request.url.endswith("/uploads")) as sent:
            page.evaluate(DROP, ["small.txt", 10])
        assert sent.value.headers["x-filename"] == "small.txt"
        expect(told).to_contain_text("expected a NIfTI")


#: A file let go over the views, as far as a script can do that.
DROP = """([name, size]) => {
  const dropped = new DataTransfer();
  dropped.items.add(new File([new Uint8Array(size)], name));
  for (const kind of ["dragover", "drop"])
    document.querySelector(".viewers").dispatchEvent(
      new DragEvent(kind, {dataTransfer: dropped, bubbles: true, cancelable: true}));
}"""


def small_uploads(route: sync_api.Route) -> None:
    """Answer as a service that takes 1 MiB."""
    route.fulfill(json={**route.fetch().json(), "upload_bytes": 1 << 20})


def test_filter_and_regions_narrow_the_search_and_a_link_brings_it_back(
    browser: sync_api.Browser, address: str
) -> None:
    with opened(browser, address) as page:
        first_case(page)
        sex = page.get_by_role("group", name="sex")
        sex.get_by_role("button", name="F", exact=True).click()
        page.fill("[data-filter=age-low]", "60")
        page.locator("[data-filter=age-low]").press("Tab")
        expect(page.locator("#where")).to_have_value("age >= 60 and sex = 'F'")
        search_again(page)
        labels = page.locator("#hits .card-labels").all_inner_texts()
        assert labels
        assert all(re.search(r"\bF\b", text) for text in labels)

        page.fill("#where", "sex = 'M'")
        expect(page.locator(".filters")).to_have_attribute("data-by-hand", "true")
        expect(sex.get_by_role("button", pressed=True)).to_have_count(0)
        expect(page.locator(".again")).to_contain_text("Settings changed since these cases")
        men = search_again(page)
        expect(page.locator(".again")).to_have_count(0)

        page.click("#pick-regions")
        page.locator(".brain canvas[data-busy=false]").wait_for()
        box = page.locator(".brain canvas").bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.25)
        clicked = page.locator(".brain canvas").get_attribute("data-region")
        assert clicked
        page.fill("#region-finder", "left hippo")
        page.get_by_label("left-hippocampus").check()
        page.get_by_role("button", name="Use these regions").click()
        by_region = search_again(page)
        assert by_region != men
        expect(page.locator(".found")).to_contain_text(f"{clicked} + left-hippocampus")
        expect(page.locator("#hits .why").first).to_contain_text("L hippocampus: ")
        link = page.url
        assert "?s=" in link
        page.go_back()
        expect(page.locator("#hits > .card").first).to_have_attribute("data-scan", men[0])
        assert wait_for_hits(page) == men
        expect(page.locator(".left .region-list")).to_have_count(0)
        expect(page.locator(".searches button")).to_have_count(4)
        page.locator(".searches button").first.click()
        assert wait_for_hits(page) == by_region
        assert page.url == link

        page.fill("#where", "age > 130")
        page.click("#search")
        expect(page.locator(".panel-cases .empty")).to_have_text("No case fits this filter.")
        expect(page.locator(".pane-beside strong")).to_have_text("–")
        expect(page.locator(".pane-beside .pane-empty")).to_be_visible()
    with opened(browser, link) as page:
        assert wait_for_hits(page) == by_region
        expect(page.locator("#where")).to_have_value("sex = 'M'")
        expect(page.locator(".left .region-list")).to_contain_text("left-hippocampus")


def test_a_filter_that_cannot_be_read_is_told_and_the_answer_stays(
    browser: sync_api.Browser, address: str
) -> None:
    with opened(browser, address) as page:
        first_case(page)
        before = hits(page)
        page.fill("#where", "agee > 60")
        page.locator("#where").press("Enter")
        expect(page.locator(".notice-error")).to_contain_text("agee")
        assert hits(page) == before


def test_own_scans_stand_apart_and_the_map_leads_to_other_cases(
    browser: sync_api.Browser, address: str
) -> None:
    with opened(browser, address) as page:
        name = first_case(page)
        own = page.locator(".own .card")
        expect(own.first).to_be_visible()
        person = name.split("_")[0]
        assert all(scan.split("_")[0] != person for scan in hits(page))
        owned = own.evaluate_all("cards => cards.map(card => card.dataset.scan)")
        assert name not in owned  # it is the query
        assert {scan.split("_")[0] for scan in owned} == {person}
        own.first.locator(".card-picture").click()
        expect(page.locator(".pane-beside .pane-title")).to_have_text("Own scan")
        page.click("#tab-neighbours")
        expect(page.locator(".shares tbody tr").first).to_be_visible()
        page.click("#tab-map")
        canvas = page.locator(".map canvas:not([data-points='0'])")
        canvas.focus()
        for key in ("ArrowRight", "ArrowRight", "Enter"):
            page.keyboard.press(key)
        chosen = page.locator(".map-chosen strong").inner_text()
        expect(page.locator(".pane-beside strong")).to_have_text(chosen)
        page.get_by_role("button", name="Search from this case").click()
        expect(page.locator(".pane-query strong")).to_have_text(chosen)


def test_who_changed_alike_tells_every_rate_in_a_narrow_column(
    browser: sync_api.Browser, address: str
) -> None:
    with opened(browser, address, viewport={"width": 1366, "height": 768}) as page:
        first_case(page)
        later = page.locator(".own .card").last.get_attribute("data-scan")
        page.goto(f"{address}/?case={later}")
        wait_for_hits(page)
        page.route("**/changes/*", with_rates)
        own = page.locator(".own .card").first
        own.get_by_role("button", name="Who changed alike since?").click()
        rates = own.locator(".rates").first
        expect(rates).to_contain_text("lateral ventricle")
        assert rates.evaluate(
            "line => Math.max(...[...line.children].map(c => c.getBoundingClientRect().right))"
            " <= line.closest('.card').getBoundingClientRect().right"
        )


def with_rates(route: sync_api.Route) -> None:
    """Answer as a gallery whose codes hold volumes."""
    names = ("left-hippocampus", "right-hippocampus", "lateral-ventricle")
    route.fulfill(json={**route.fetch().json(), "volume_rates": dict.fromkeys(names, -12.5)})


def test_a_card_says_where_a_case_is_alike_before_any_share_of_the_distance(
    browser: sync_api.Browser, address: str
) -> None:
    with opened(browser, address) as page:
        with page.expect_response(lambda answer: answer.url.endswith("/searches")) as told:
            first_case(page)
        hit = told.value.json()["hits"][0]
        card = page.locator("#hits > .card").first
        sentence = card.locator(".why").inner_text()
        closer = card.locator("meter").evaluate("one => [one.value, one.max]")
        assert closer == [hit["closer_than"], 1]
        share = int(100 * hit["closer_than"])
        expect(card.locator(".distance")).to_have_text(f"closer than {share}% of pairs here")
        expect(page.locator(".anyone")).to_contain_text("A similar case is here")
        expect(card.locator(".first-label")).to_have_text(hit["labels"]["diagnosis"])
        nearest, farthest = (hit["likeness"][place][0] for place in (0, -1))
        alike, unlike = re.split("least in|Least alike in", sentence)
        assert plain_part(nearest) in alike
        assert plain_part(farthest) in unlike
        assert "white matter" not in sentence
        share = card.get_by_text("white matter").first
        expect(share).not_to_be_visible()
        card.locator("summary").focus()
        page.keyboard.press("Enter")
        expect(share).to_be_visible()
        expect(card.locator(".numbers").first).to_contain_text(f"{hit['likeness'][0][1]:.2f}")
        page.click("#language")
        expect(card.locator(".why")).to_contain_text("部位")


def distances(page: Page) -> list[str]:
    return page.locator("#hits .distance").evaluate_all("all => all.map(one => one.title)")


def test_a_search_for_somebody_older_is_said_and_kept_in_its_link(
    browser: sync_api.Browser, address: str
) -> None:
    with opened(browser, address) as page:
        first_case(page)
        now = distances(page)
        page.get_by_role("group", name="Years older").get_by_role("button").nth(2).focus()
        page.keyboard.press("Space")
        expect(page.locator("#older")).to_have_value("10")
        search_again(page)
        expect(page.locator(".found")).to_contain_text("as if 10 years older")
        older = distances(page)
        assert older != now
        expect(page.locator(".anyone, .warning")).to_contain_text("For the scan itself, unmoved:")
        expect(nearness_of(page)).to_contain_text("closer to the moved query than")
        page.get_by_label("Years older; negative: younger").fill("-2.5")
        page.keyboard.press("Enter")
        search_again(page)
        expect(page.locator(".found")).to_contain_text("as if 2.5 years younger")
        link = page.url
    with opened(browser, link) as page:
        wait_for_hits(page)
        expect(page.locator("#older")).to_have_value("-2.5")
        expect(page.locator(".found")).to_contain_text("as if 2.5 years younger")
        page.get_by_role("button", name="0 years older", exact=True).click()
        search_again(page)
        assert distances(page) == now
        expect(page.locator(".anyone, .warning")).not_to_contain_text("For the scan itself")
        expect(nearness_of(page)).to_contain_text(re.compile("^closer than"))


def nearness_of(page: Page) -> sync_api.Locator:
    return page.locator("#hits .distance").first


def test_cases_are_compared_with_normal_and_ranked_by_abnormality(
    browser: sync_api.Browser, clinic_address: tuple[str, Path]
) -> None:
    address, folder = clinic_address
    with opened(browser, address) as page:
        with page.expect_response(lambda answer: answer.url.endswith("/searches")) as told:
            query = first_case(page)
        hit = told.value.json()["hits"][0]["normality"]
        shown = page.locator("#hits .normality").first
        expect(shown).to_contain_text(f"Anatomy {hit['normal_anatomy']:.1f}")
        expect(shown).to_contain_text(f"Abnormality {hit['abnormality']:.1f} SD from the query")

        page.get_by_role("button", name="Abnormality", exact=True).click()
        by_code = hits(page)
        by_abnormality = search_again(page)
        assert by_abnormality != by_code
        expect(page.locator(".found")).to_contain_text("by abnormality")
        expect(page.locator(".anyone, .warning")).to_contain_text("For the scan itself, overall:")
        with closing(open_gallery(folder)) as gallery:
            own = gallery.get(query)
            people = [case for case in gallery.one_scan_each(1000) if case.subject != own.subject]
            found = gallery.get(by_abnormality[0])
            split = disease_axes_of(gallery).between(own.code, own.labels, [found, *people])
        apart = {name: alike.abnormality for name, alike in split.items()}
        first = page.locator("#hits > .card").first
        told_apart = first.locator(".distance .number").inner_text()
        assert told_apart == f"{apart[found.scan_id]:.3f} SD"
        assert apart[found.scan_id] == min(apart.values())
        page.click("#tab-neighbours")
        expect(page.locator(".neighbours")).to_contain_text("only where cases are ranked overall")
        page.click("#tab-cases")

        page.click("#normality")
        expect(page.locator(".query-normality")).to_contain_text("controls")
        first.locator("summary").click()
        expect(first.locator(".details")).to_contain_text("normal for age and sex")
        if AXE.is_file():
            assert faults(page) == []
        link = page.url
    with opened(browser, link) as page:
        assert wait_for_hits(page) == by_abnormality
        expect(page.locator("#normality")).to_have_attribute("aria-pressed", "true")
        chosen = page.get_by_role("button", name="Abnormality", exact=True)
        expect(chosen).to_have_attribute("aria-pressed", "true")
        expect(page.locator(".query-normality")).to_contain_text("controls")
        page.click("#pick-regions")
        page.get_by_label("left-hippocampus", exact=True).check()
        page.get_by_role("button", name="Use these regions").click()
        expect(chosen).to_be_disabled()
        search_again(page)
        expect(page.locator(".found")).to_contain_text("left-hippocampus")


def test_the_reader_says_who_the_controls_are_and_the_page_tells_it_with_every_comparison(
    browser: sync_api.Browser, clinic_address: tuple[str, Path]
) -> None:
    chosen = "diagnosis = 'CN' and age < 78"
    with opened(browser, clinic_address[0]) as page:
        first_case(page)
        field = page.get_by_label("Controls", exact=True)
        page.click("#normality")
        expect(page.locator(".query-normality")).to_contain_text("against 32 controls")
        expect(page.locator(".chosen-controls")).to_have_count(0)
        usual = page.url
        field.fill(chosen)
        expect(page.locator(".stale")).to_be_visible()
        field.press("Enter")
        n = fewer_controls(page)
        for place in (".found", ".query-normality", "#hits > .card >> nth=0", ".searches"):
            expect(page.locator(place)).to_contain_text(f"controls: {chosen}")
        expect(page.locator(".stale")).to_have_count(0)
        if AXE.is_file():
            assert faults(page) == []
        link = page.url
        field.fill("cdr = 0")
        field.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text(
            "The filter of controls: no column 'cdr'; expected one of"
        )
        page.goto(link)
        expect(field).to_have_value(chosen)
        assert fewer_controls(page) == n
        page.click("#language")
        expect(page.locator(".found")).to_contain_text(f"健常例: {chosen}")
        expect(page.locator(".notes")).to_contain_text(f"条件式 {chosen} に当てはまる")
        page.goto(usual)
        expect(page.locator("#controls")).to_have_value("")


def fewer_controls(page: Page) -> int:
    """How many controls the query is compared with, once they are fewer than usual."""
    told = page.locator(".query-normality .hint", has_text="z of mean brightness")
    expect(told).not_to_contain_text("against 32 controls")
    return int(re.search(r"against (\d+) controls", told.inner_text())[1])


def test_of_an_age_without_controls_the_page_says_not_known_here(
    browser: sync_api.Browser, clinic_address: tuple[str, Path]
) -> None:
    address, _ = clinic_address
    with httpx.Client(base_url=f"{address}/api/v1/", timeout=60) as service:
        case = service.get("cases").json()["cases"][0]["scan_id"]
        young = {"case": case, "k": 1, "normality": True, "known": {"age": 39}}
        token = {"X-CSRF-Token": service.get("me").json()["csrf"]}
        name = service.post("searches", json=young, headers=token).json()["search"]
    with opened(browser, address) as page:
        held: list[sync_api.Route] = []
        page.route("**/volume.nii.gz*", lambda route: held.append(route))
        page.goto(f"{address}/?s={name}")
        told = page.locator(".query-normality")
        told.wait_for()
        expect(told).to_contain_text("Not known here: the gallery's 32 controls are")
        expect(told).not_to_contain_text("beyond normal")
        page.get_by_role("button", name="Deviation").click()
        for route in held:  # the map is asked for before the image is there
            route.continue_()
        expect(page.locator(".pane-query .pane-fault")).to_contain_text("at that age and sex")
        page.click("#tab-neighbours")  # one hit has one label; the other is probable all the same
        expect(page.locator(".shares tbody th")).to_have_count(2)
        expect(page.locator(".unseen-label")).to_have_text(re.compile(r"^(AD|CN)0%–\d+%$"))
        page.click("#language")
        expect(told).to_contain_text("ここでは不明です")


def plain_part(name: str) -> str:
    said = {"deep-grey": "deep grey matter", "brain-stem": "brain stem"}
    return said.get(name, re.sub("^(left|right)-", "", name).replace("-", " "))


def test_a_pacs_opens_the_page_on_a_study_and_a_card_opens_the_hits_study_in_its_viewer(
    browser: sync_api.Browser, web_gallery: Path, tmp_path: Path
) -> None:
    with closing(open_gallery(str(web_gallery))) as gallery:
        cases = {case.scan_id: case for case in gallery.cases()}
    query = next(iter(cases.values()))
    users, links, uid = tmp_path / "users.json", tmp_path / "links.sqlite", "1.2.826.77"
    add_user(users, "bob", "a long enough password", "curator")
    add_link(links, Link(query.session or "", query.subject, uid, "ACC7"))
    viewer = "https://pacs.example/viewer?StudyInstanceUIDs={study}"
    settings = settings_for(
        web_gallery, tmp_path / "audit", users=users, links=links, viewer=viewer, static=BUILT
    )
    with serving(settings) as client:
        with opened(browser, f"{client.base_url}?study={uid}") as page:
            sign_in(page, "bob", "a long enough password")
            found = wait_for_hits(page)
            expect(page.locator(".left")).to_contain_text(query.scan_id)
            assert uid not in page.url
            button = page.locator(f'.card[data-scan="{found[0]}"] .open-viewer')
            expect(button).to_have_text("Open in viewer")
            hit = cases[found[0]]
            button.click()
            expect(page.locator(".notice-error")).to_contain_text("not in the link file")
            add_link(links, Link(hit.session or "", hit.subject, f"{uid}.5", ""))
            page.context.route("https://pacs.example/**", lambda route: route.fulfill(body="it"))
            with page.expect_popup() as popup:
                button.click()
            assert popup.value.url == viewer.replace("{study}", f"{uid}.5")
            signed_in = {"cookies": page.context.cookies(), "origins": []}
        japanese = {"storage_state": signed_in, "locale": "ja-JP"}
        with opened(browser, f"{client.base_url}#accession=ACC9", **japanese) as page:
            expect(page.locator(".notice-error")).to_contain_text("この検査は")
            assert "ACC9" not in page.url


def test_the_page_speaks_japanese_and_remembers_it(browser: sync_api.Browser, address: str) -> None:
    with opened(browser, address) as page:
        page.click("#language")
        expect(page.locator(".top")).to_contain_text("医療機器ではなく、診断を行いません")
        page.reload()
        expect(page.locator("#search")).to_have_text("検索")
        assert page.locator("html").get_attribute("lang") == "ja"
    with opened(browser, address, locale="ja-JP") as page:
        expect(page.locator("#search")).to_have_text("検索")


def test_the_focus_goes_on_from_what_stands_in_place_of_the_button_that_was_pressed(
    browser: sync_api.Browser, address: str
) -> None:
    with opened(browser, address) as page:
        page.get_by_role("button", name="Stored case").click()
        page.locator(".finder-list button").first.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#change")).to_be_focused()
        wait_for_hits(page)
        expect(page.locator("#change")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Stored case")).to_be_focused()


def test_keys_alone_lead_through_the_hits(browser: sync_api.Browser, address: str) -> None:
    with opened(browser, address) as page:
        first_case(page)
        found = hits(page)
        page.keyboard.press("j")
        expect(page.locator(".pane-beside strong")).to_have_text(found[1])
        page.keyboard.press("+")
        expect(page.locator(f"[data-scan='{found[1]}'] .mark-plus")).to_have_attribute(
            "aria-pressed", "true"
        )
        page.click("#help")
        page.get_by_label("Single-letter keys").uncheck()
        page.keyboard.press("Escape")
        page.keyboard.press("k")
        expect(page.locator(".pane-beside strong")).to_have_text(found[1])


@pytest.mark.skipif(not AXE.is_file(), reason="npm's packages are missing: `make page`")
def test_the_sources_pass_their_own_tests() -> None:
    ended = subprocess.run(
        ["npm", "test"], cwd=WEB / "frontend", capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: `make page`")
@pytest.mark.parametrize("size", [(1280, 800), (3840, 2160)])
def test_everybody_can_read_and_reach_everything(
    browser: sync_api.Browser, address: str, size: tuple[int, int]
) -> None:
    viewport = {"width": size[0], "height": size[1]}
    with opened(browser, address, viewport=viewport) as page:
        assert faults(page) == []
        first_case(page)
        page.get_by_role("button", name="Difference").click()
        page.locator(".card .mark-plus").first.click()
        page.get_by_role("button", name="+10 years older").click()
        page.locator("#hits summary").first.click()
        assert faults(page) == []
        page.click("#language")
        assert faults(page) == []
        page.click("#language")
        page.locator("#hits .remove").first.click()
        assert faults(page) == []
        page.keyboard.press("Escape")
        for tab in ("neighbours", "map") if size[0] < 1900 else ():
            page.click(f"#tab-{tab}")
            assert faults(page) == []
        expect(page.locator(".map select")).to_have_value("diagnosis")
        page.click("#pick-regions")
        page.locator(".brain canvas[data-busy=false]").wait_for()
        assert faults(page) == []
        assert overflowing(page) == []


def test_on_a_phone_everything_stands_in_one_column_and_can_be_hit_with_a_finger(
    browser: sync_api.Browser, address: str
) -> None:
    with opened(browser, address, viewport={"width": 390, "height": 844}) as page:
        first_case(page)
        page.locator(".card .mark-plus").first.click()
        search_again(page, "#search-again")
        page.locator("#hits summary").first.click()
        page.get_by_role("button", name="Agreement", exact=True).click()
        expect(page.locator(".legend-ends")).to_contain_text("no difference")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        for side in SIDES:
            assert page.locator(f".pane-{side} canvas").evaluate("view => view.clientWidth") > 350
        assert small_targets(page) == []
        page.click("#language")
        expect(page.locator(".notes")).to_contain_text("検索元を")
        expect(page.locator(".readout-region")).to_have_text("左海馬")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        if AXE.is_file():
            assert faults(page) == []
        report = page.request.get(f"{address}/{page.get_attribute('#report', 'href')}").text()
        for word in ('<html lang="ja">', "類似症例", "利用者", "似ていると評価", "@media print"):
            assert word in report
        page.set_viewport_size({"width": 1280, "height": 800})
        assert small_targets(page) == []
        page.emulate_media(media="print")
        expect(page.locator(".viewers")).to_be_hidden()
        expect(page.locator("#hits > .card").first).to_be_visible()


def small_targets(page: Page) -> list[str]:
    """Controls that a finger may miss: under 24 pixels wide or high (WCAG 2.2, 2.5.8)."""
    return page.locator(
        "button, a, select, summary, input:not([hidden]), label.check"
    ).evaluate_all(
        """all => all.map(e => [e, e.getBoundingClientRect()])
            .filter(([e, box]) => box.width > 0 && e.type !== "checkbox")
            .filter(([e, box]) => box.width < 24 || box.height < 24)
            .map(([e, box]) => `${e.outerHTML.slice(0, 80)} ${box.width} x ${box.height}`)"""
    )


def faults(page: Page) -> list[str]:
    """What axe-core finds against WCAG 2.2 AA."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    told = page.evaluate("tags => axe.run(document, {runOnly: tags})", WCAG)
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in told["violations"]]


def overflowing(page: Page) -> list[str]:
    """Bars and panels that are wider than their place."""
    return page.locator(".top, .left, .tools, .sliders, .results, .results-head").evaluate_all(
        "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.className)"
    )


def test_with_an_encoder_without_cells_the_page_says_why_there_are_no_regions(
    browser: sync_api.Browser, tiny: Cohort, tmp_path: Path
) -> None:
    whole = Encoder(lambda v: v.reshape(len(v), -1)[:, :7], tiny.grid, {}, "f" * 64, name="flat")
    truth = [name for name in tiny.table.columns if name.startswith("true_")]
    real = replace(tiny, table=tiny.table.drop(columns=truth))  # as if these people were real
    braincase.index_cohort(tmp_path / "gallery", real, whole)
    options = {"static": BUILT, "model_simulated": True}
    with serving(settings_for(tmp_path / "gallery", tmp_path / "audit", **options)) as client:
        with opened(browser, str(client.base_url)) as page:
            expect(page.locator("#without-regions")).to_have_text(
                "Regions are not to be had with this gallery's encoder flat: its numbers are of the"
                " whole scan."
            )
            expect(page.locator("#pick-regions")).to_have_count(0)
            first_case(page)
            expect(page.locator(".model-simulated")).to_contain_text("from simulated people only")
            report = page.request.get(f"{client.base_url}/{page.get_attribute('#report', 'href')}")
            assert "simulated people only" in report.text()
        with opened(browser, str(client.base_url), locale="ja-JP") as page:
            expect(page.locator("#without-regions")).to_contain_text("flat の数値は画像全体のもの")
            with closing(open_gallery(tmp_path / "gallery")) as gallery:
                gallery.remove([case.scan_id for case in gallery.one_scan_each(1000)])
                gallery.remove([case.scan_id for case in gallery.one_scan_each(1000)])
            page.reload()
            expect(page.locator(".panel-cases")).to_contain_text("まだ症例がありません")
            expect(page.locator(".panel-cases")).to_contain_text("braincase index")
