"""The quality page and its pictures: what is worst comes first, and nothing is fetched."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from braincase.images.geometry import HALF_GRID, STANDARD_GRID
from braincase.images.volume import Volume
from braincase.preprocess.quality.picture import LABELS, picture_raw, picture_standard
from braincase.preprocess.quality.quality_page import write_page
from braincase.preprocess.quality.scan_result import (
    ScanResult,
    read_scan_result,
    read_scan_results,
    write_scan_result,
)
from braincase.preprocess.quality.verdict import Quality, unusable
from braincase.sources.scan import Scan

RECIPE = {"chain": 1}


def result_of(subject: str, grade: str, concern: float, *reasons: str) -> ScanResult:
    measures = {"agreement": 0.7, "brain_ml": 1400.0, "concern": concern}
    scan = Scan(Path(f"{subject}.nii.gz"), subject, None, {"diagnosis": "CN", "age": 71})
    return ScanResult(scan, (0, 0), Quality(grade, reasons, measures))


@pytest.fixture
def page(tmp_path) -> str:
    ball = np.zeros(HALF_GRID.shape, bool)
    ball[10:30, 12:36, 10:30] = True
    picture = picture_standard(ball.astype(np.float32), ball, HALF_GRID)
    results = [
        result_of("good", "pass", -0.4),
        result_of("odd", "look", 0.2, "a head <b>turned</b> & so on"),
        result_of("bad", "fail", 9.0, "looks like a CT"),
        ScanResult(
            Scan(Path("x.nii"), "gone"), (0, 0), unusable("the file is cut off"), judged=False
        ),
    ]
    for each in results:
        write_scan_result(tmp_path, RECIPE, each, picture if each.quality.measures else None)
    read = [read_scan_result(tmp_path, each.scan) for each in results]
    write_page(tmp_path / "page.html", tmp_path, read, HALF_GRID)
    return (tmp_path / "page.html").read_text()


def test_the_worst_scan_comes_first(page):
    assert re.findall(r'<article class="\w+" id="sub-(\w+)"', page) == [
        "gone",
        "bad",
        "odd",
        "good",
    ]


def test_the_page_fetches_nothing(page):
    links = re.findall(r'(?:src|href)="([^"]{1,40})', page)
    assert all(link.startswith(("data:image/webp;base64,", "#template")) for link in links)
    assert "http" not in page
    assert "@import" not in page


def test_what_stands_in_a_reason_is_text_and_no_html(page):
    assert "a head &lt;b&gt;turned&lt;/b&gt; &amp; so on" in page
    assert "<b>turned" not in page


def test_counts_and_measures_are_told(page):
    assert "4 scans, the worst first." in page
    assert "2 failed and are not in the cohort." in page
    assert "1 is in it but should be looked at." in page
    assert "diagnosis CN · age 71" in page
    assert "the image could not be read" in page
    assert (
        len(
            re.findall(
                r'<circle class="fail" cx="[\d.]+%" cy="\d+" r="4.5" data-scan="sub-bad"', page
            )
        )
        == 2
    )


def test_a_quantity_that_could_not_be_measured_is_left_out(tmp_path):
    """JSON has no word for "not a number": such a measure is neither drawn nor listed."""
    whole = result_of("whole", "pass", -0.4)
    quality = Quality("look", ("odd",), {"agreement": 0.7, "brain_ml": np.nan, "concern": 0.3})
    for result in (whole, replace(whole, scan=Scan(Path("x"), "odd"), quality=quality)):
        write_scan_result(tmp_path, RECIPE, result, None)
    write_page(tmp_path / "page.html", tmp_path, read_scan_results(tmp_path), HALF_GRID)
    page = (tmp_path / "page.html").read_text()
    assert "nan" not in page
    assert len(re.findall('data-scan="sub-odd"', page)) == 1
    assert len(re.findall('data-scan="sub-whole"', page)) == 2


def test_the_page_is_the_same_every_time(page, tmp_path):
    read = [
        read_scan_result(tmp_path, Scan(Path(), name)) for name in ("bad", "gone", "good", "odd")
    ]
    write_page(tmp_path / "page.html", tmp_path, read, HALF_GRID)
    assert (tmp_path / "page.html").read_text() == page


def test_the_outline_lies_on_the_edge_of_the_mask():
    mask = np.zeros(STANDARD_GRID.shape, bool)
    mask[20:60, 30:70, 20:60] = True  # 40 voxels of 2 mm each way
    picture = picture_standard(mask.astype(np.float32), mask, STANDARD_GRID)
    pixels = np.asarray(Image.open(io.BytesIO(picture.webp)).convert("L"))
    assert pixels.shape == (192, 1344) == (picture.height, picture.width)
    first = picture.outline.split("Z")[0].removeprefix("M")
    points = np.array([[float(v) for v in p.split(",")] for p in first.split()])
    # Sagittal: front runs to the right from voxel 30 to 70, up from 20 to 60, in a strip 192 high.
    assert points.min(axis=0) == pytest.approx([60, 192 - 16 - 120], abs=2.5)
    assert points.max(axis=0) == pytest.approx([140, 192 - 16 - 40], abs=2.5)
    bright = np.argwhere(pixels[:, :192] > 128)
    assert bright.min(axis=0)[::-1] == pytest.approx([60, 56], abs=2.5)


def test_the_left_of_the_patient_is_on_the_right_of_the_picture():
    head = np.zeros(HALF_GRID.shape, np.float32)
    head[:10, :, :] = 1  # the left side
    picture = picture_standard(head, head > 0, HALF_GRID)
    pixels = np.asarray(Image.open(io.BytesIO(picture.webp)).convert("L"))
    axial = pixels[60:130, -160:]
    assert axial[:, 130:].mean() > 200
    assert axial[:, :90].mean() < 20
    assert LABELS[-1] == ("L", 1334)


def test_the_page_says_which_side_is_which(page):
    assert "the subject's right on the left" in " ".join(page.split())
    assert page.count('y="187">R</text>') == page.count('y="187">L</text>') == 3 * 6


def test_a_scan_that_never_reached_the_standard_grid_has_a_picture_too():
    data = np.zeros((20, 30, 40), np.float32)
    data[5:15, 5:25, 5:35] = 100
    picture = picture_raw(Volume(data, np.diag([2.0, 2, 1, 1])))
    assert picture.outline == ""
    assert picture.height == 192
    assert picture.width == pytest.approx(192 * (60 + 40 + 40) / 60, abs=3)
