from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from braincase.evaluate import open_study, remember, run_confound, run_honest, run_paper
from braincase.report.evaluation import ReportPicture, first_line, write_report
from braincase.report.figures import VARIABLES, slice_url
from pca import fit_pca

MODELS = ("plain", "ddcml", "braincase")


@pytest.fixture(scope="module")
def results(tiny):
    study, fit = open_study(tiny, n_folds=3, run_folds=1), remember(fit_pca)
    return [run_paper(study, fit, MODELS), run_honest(study, fit, MODELS), run_confound(study, fit)]


@pytest.fixture(scope="module")
def folder(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    Image.fromarray(np.full((20, 30), 90, np.uint8)).save(folder / "hits.png")
    picture = ReportPicture("Similar cases", "The query and its hits.", folder / "hits.png")
    write_report(folder, results, pictures=[picture])
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Collects text, addresses and unclosed tags."""

    VOID = ("meta", "img", "br")

    def __init__(self):
        super().__init__()
        self.text, self.addresses, self.open = [], [], []

    def handle_starttag(self, tag, attributes):
        self.addresses += [v for k, v in attributes if k in ("src", "href", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.addresses += [v for k, v in attributes if k in ("src", "href", "data")]

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(page):
    reader = Reader()
    reader.feed(page)
    return reader


def test_the_page_is_whole_and_needs_no_other_file(page):
    reader = read(page)
    assert not reader.open
    outside = [a for a in reader.addresses if not a.startswith(("data:image/png;base64,", "#"))]
    assert not [a for a in outside if "xlink" not in a]
    assert "@import" not in page
    assert "<script" not in page


def test_who_wins_is_the_first_line_under_the_title(results, page):
    assert first_line(results) == results[1].first_line
    shown = re.sub(r"<[^>]+>", "", page.split("</h1>")[1]).strip()
    assert shown.startswith(first_line(results))


def test_the_paper_alone_leads_with_its_accuracies(results):
    line = first_line(results[:1])
    assert line.startswith("K-means accuracy on people never seen: plain CAE, our network 0.")


def test_the_columns_say_whose_numbers_they_are(page):
    assert page.count("ADNI2 (Onga 2019)</th>") == 2
    assert page.count("simulated</th>") == 2
    assert "0.786 ± 0.087" in page
    assert "The images are simulated" in page


def test_census_seed_versions_and_wall_time_stand_in_the_page(page):
    text = " ".join(read(page).text)
    for words in ("26 people, 34 scans", "wall time", "numpy 2", "seed", "12 CN, 12 AD"):
        assert words in text


def test_figures_follow_the_pages_colours(page):
    assert page.count("<svg ") == 5
    assert not [colour for colour in VARIABLES if colour in page]
    assert "var(--class-1)" in page
    assert "DejaVu" not in page


def test_every_figure_and_picture_has_a_name_for_the_blind(page):
    assert page.count('role="img" aria-label=') == page.count("<svg ")
    assert all(re.search(r'alt="[^"]+"', image) for image in re.findall(r"<img [^>]+>", page))


def test_slices_show_the_right_on_the_left():
    image = np.zeros((40, 48), np.uint8)
    image[35, 40] = 255  # to the right and the front
    url = slice_url(image, 4)
    assert url.startswith("data:image/png;base64,")
    import base64
    import io

    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))))
    row, column = np.unravel_index(shown.argmax(), shown.shape)
    assert column < shown.shape[1] / 2
    assert row < shown.shape[0] / 2


def test_the_json_holds_every_protocol(results, folder):
    content = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert list(content) == ["paper", "honest", "confound"]
    assert content["honest"] == json.loads(json.dumps(results[1].to_json()))


def test_the_scores_file_has_a_line_for_each_number(results, folder):
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    by_key = {(r["protocol"], r["method"], r["score"], r["fold"]): r for r in rows}
    assert len(by_key) == len(rows)
    kmeans = by_key["paper", "ddcml", "kmeans", ""]
    assert float(kmeans["value"]) == pytest.approx(results[0].scores[1].kmeans.mean, abs=1e-6)
    svm = by_key["honest", "smoothed voxels, SVM", "recall AD", ""]
    truth = results[1].methods[-1].recalls["AD"]
    assert float(svm["low"]) == pytest.approx(truth.low, abs=1e-6)


def test_the_queries_file_has_a_line_for_each_query_and_method(results, folder):
    with (folder / "queries.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == results[1].methods[0].queries * len(results[1].methods)
    hits = [r["label"] == r["nearest_label"] for r in rows if r["method"] == "PCA-150"]
    (pca,) = (method for method in results[1].methods if method.name == "PCA-150")
    assert np.mean(hits) == pytest.approx(pca.top1.value)


def test_names_from_outside_cannot_write_html(results, tmp_path):
    material = replace(results[0].material, data="<script>alert(1)</script>")
    page = write_report(tmp_path, [replace(results[0], material=material)]).read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_failing_report_leaves_no_half_files(results, tmp_path):
    missing = ReportPicture("Gone", "", tmp_path / "no.png")
    with pytest.raises(FileNotFoundError):
        write_report(tmp_path / "out", results, pictures=[missing])
    assert not list((tmp_path / "out").glob("*"))
