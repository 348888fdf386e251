"""Reading room walk: five tasks of a reader in Chromium, timed from the click to what is seen.

``python benchmarks/walk.py [OUT]``. A gallery of simulated people with follow-ups and views, made
with the starter model; a service; a browser of 1280 x 800. Find similar cases, restrict them,
explain one, compare with an earlier scan (and who changed alike), take a report with a key image
away. Each step says what was seen; OUT gets a screenshot after each.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from braincase.cohort.cohort import open_cohort

BRAINCASE = (sys.executable, "-m", "braincase")
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
PATIENCE_MS = 60_000


@contextmanager
def service(place: Path) -> Iterator[str]:
    """Serve a gallery of simulated people; yield its address."""
    people, gallery = place / "people", place / "gallery"
    for words in (
        ("simulate", people, "--size", "tiny", "--resolution", "4", "--view", "2mm"),
        ("index", people, "--gallery", gallery),
    ):
        subprocess.run([*BRAINCASE, *map(str, words)], check=True, capture_output=True)
    command = [*BRAINCASE, "serve", str(gallery), "--port", "0", "--audit", str(place / "audit")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = next(line for line in server.stdout if "http://" in line)
            yield line.split()[1].rstrip("/")
        finally:
            server.terminate()


def query_of(people: Path) -> str:
    """Return the last scan of a person who was scanned twice."""
    table = open_cohort(people).table
    counts = table["subject"].value_counts()
    subject = sorted(counts.index[counts > 1])[0]
    return str(table.loc[table["subject"] == subject, "scan_id"].iloc[-1])


def find(page: Page, address: str, query: str) -> str:
    """Open a case's page: its similar cases, and both brains drawn."""
    page.goto(f"{address}/?case={query}")
    page.locator("#hits > .card").first.wait_for()
    for side in ("query", "beside"):
        page.locator(f".pane-{side}[data-busy=false] canvas[data-place]").wait_for()
    return f"{page.locator('#hits > .card').count()} cases"


def restrict(page: Page) -> str:
    """Restrict the search to one diagnosis."""
    page.get_by_role("button", name="AD", exact=True).first.click()
    page.click("#search")
    expect(page.locator("#hits > .card").first).to_contain_text("AD")
    expect(page.locator("#hits > .card", has_text="CN")).to_have_count(0)
    return f"{page.locator('#hits > .card').count()} cases of AD"


def explain(page: Page) -> str:
    """Show where the first case differs, as a map and in words."""
    with page.expect_response(re.compile(r"/difference\.nii\.gz")) as told:
        page.get_by_role("button", name="Difference", exact=True).click()
    assert told.value.ok
    expect(page.locator(".legend-bar")).to_be_visible()
    return page.locator("#hits > .card .why").first.inner_text().split("\n")[0]


def compare(page: Page) -> str:
    """Lay the person's earlier scan beside, and ask who changed alike."""
    page.get_by_role("button", name="None", exact=True).click()
    earlier = page.locator("section.own .card", has=page.locator(".changed-alike")).first
    earlier.locator(".card-picture").click()
    earlier.get_by_role("button", name="Who changed alike since?").click()
    rows = page.locator(".course-row")
    rows.first.wait_for()
    return f"{rows.count()} courses"


def report(page: Page, address: str) -> str:
    """Keep a key image and take the report away."""
    page.keyboard.press("i")
    page.locator(".key-image").wait_for()
    text = page.request.get(f"{address}/{page.get_attribute('#report', 'href')}").text()
    assert "Key images" in text
    return f"{len(text) // 1024} KiB"


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playing:
        place = Path(folder)
        with service(place) as address:
            query = query_of(place / "people")
            chromium = shutil.which("chromium")
            browser = playing.chromium.launch(executable_path=chromium, args=FLAGS)
            page = browser.new_page(viewport={"width": 1280, "height": 800}, locale="en-GB")
            page.set_default_timeout(PATIENCE_MS)
            tasks: list[tuple[str, Callable[[], str]]] = [
                ("find", lambda: find(page, address, query)),
                ("restrict", lambda: restrict(page)),
                ("explain", lambda: explain(page)),
                ("compare", lambda: compare(page)),
                ("report", lambda: report(page, address)),
            ]
            for name, task in tasks:
                began = time.perf_counter()
                seen = task()
                taken = round(time.perf_counter() - began, 2)
                print(json.dumps({"task": name, "seconds": taken, "seen": seen}), flush=True)
                if out:
                    out.mkdir(parents=True, exist_ok=True)
                    page.screenshot(path=out / f"{name}.png")
            browser.close()


if __name__ == "__main__":
    main()
