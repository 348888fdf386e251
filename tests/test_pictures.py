import re
from contextlib import closing
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from braincase.answer.figure import (
    ExplainedPair,
    explanation_figure,
    largest_difference,
    sentence_of,
)
from braincase.answer.shares import Explanation
from braincase.cohort.derivatives import write_image
from braincase.errors import GalleryError
from braincase.gallery import NewCase, Query, create_gallery
from braincase.images.geometry import CELLS, HALF_GRID, STANDARD_GRID
from braincase.images.planes import planes_of, planes_of_thumbnail, thumbnail_of
from braincase.images.volume import write_volume
from braincase.population.volume_norms import VolumeForAge
from braincase.population.volumes import stored_volume
from braincase.purpose import PURPOSE
from braincase.report.case_picture import hit_picture, query_picture
from braincase.report.search_figure import draw_search, search_figure
from braincase.report.search_page import draw, pictures_of, write_search_html
from braincase.search.nearest import search
from braincase.search.options import SearchOptions
from braincase.search.pipeline import search_by_case
from gallery_cases import MODEL, some_codes


def marked(grid, x, y, z):
    """A volume that is bright only around one MNI point."""
    points = grid.points_mm()
    centre = np.array([x, y, z]).reshape(3, 1, 1, 1)
    return (200 * (np.abs(points - centre).max(axis=0) <= 8)).astype(np.uint8)


@pytest.mark.parametrize("grid", [STANDARD_GRID, HALF_GRID])
def test_planes_follow_the_radiological_convention(grid):
    # Right, front, top of the three default planes: 40 mm right; 50 mm front; 60 mm up.
    def centre_of(plane):
        rows, columns = np.nonzero(plane)
        return rows.mean() / plane.shape[0], columns.mean() / plane.shape[1]

    _, coronal, axial = planes_of(marked(grid, 40, -20, 12), grid)
    assert centre_of(coronal)[1] < 0.3  # the right is on the viewer's left
    assert centre_of(axial)[1] < 0.3
    sagittal, _, axial = planes_of(marked(grid, -26, 50, 12), grid)
    assert centre_of(sagittal)[1] < 0.3  # the nose points left
    assert centre_of(axial)[0] < 0.3  # the front is up
    sagittal, coronal, _ = planes_of(marked(grid, -26, -20, 60), grid)
    assert centre_of(sagittal)[0] < 0.3  # the top is up
    assert centre_of(coronal)[0] < 0.3


@pytest.mark.parametrize("grid", [STANDARD_GRID, HALF_GRID])
def test_a_thumbnail_shows_the_same_planes(grid):
    volume = marked(grid, -26, -20, 12)
    picture = thumbnail_of(volume, grid)
    assert len(picture) < 10_000
    scale = grid.resolution_mm // 2
    for kept, plane in zip(planes_of_thumbnail(picture), planes_of(volume, grid), strict=True):
        large = plane.repeat(scale, axis=0).repeat(scale, axis=1)
        assert kept.shape == large.shape
        assert np.abs(kept.astype(int) - large).mean() < 2


def test_a_damaged_thumbnail_is_told():
    with pytest.raises(GalleryError, match="thumbnail: damaged"):
        planes_of_thumbnail(b"no picture")


@pytest.fixture
def shown(tmp_path):
    """Query, hits and result over a gallery with an image, a thumbnail and neither."""
    volume = marked(HALF_GRID, 40, -20, 12)
    codes = some_codes(4)
    gallery = create_gallery(tmp_path / "g", MODEL, HALF_GRID.resolution_mm)
    here, gone = ("sub-a_desc-brain_T1w.nii.gz", "sub-c_desc-brain_T1w.nii.gz")
    write_image(tmp_path / "c" / here, volume, HALF_GRID)
    image_hash = sha256(volume.tobytes()).hexdigest()
    labels = {"diagnosis": "<b>AD</b>", "age": 71.26, "sex": "F"}
    cases = [
        NewCase(
            "sub-a",
            "a",
            codes[0],
            labels=labels,
            cohort=tmp_path / "c",
            image=here,
            image_hash=image_hash,
        ),
        NewCase("sub-b", "b", codes[1], thumbnail=thumbnail_of(volume, HALF_GRID)),
        NewCase("sub-c", "c", codes[2], cohort=tmp_path / "c", image=gone),
        NewCase("sub-d", "d", codes[3]),
    ]
    gallery.add(cases, MODEL)
    result = search(gallery, Query(codes[0], MODEL, k=3, subject="d", scan_id="sub-d_ses-2"))
    hits = [hit_picture(gallery, hit) for hit in result.hits]
    earlier = [hit_picture(gallery, hit) for hit in result.same_subject]
    yield query_picture(volume, HALF_GRID, result), hits, earlier, result
    gallery.close()


def test_a_hit_is_drawn_from_its_volume_or_its_thumbnail(shown):
    notes = {case.heading.split()[1]: case.note for case in shown[1]}
    assert notes == {"sub-a": "", "sub-b": "thumbnail", "sub-c": "no image"}
    assert shown[1][0].details.endswith("<b>AD</b> · 71.3 y · F")


@pytest.mark.parametrize("damage", ["truncated", "another grid", "not 8 bit"])
def test_an_image_that_cannot_be_used_leaves_the_thumbnail(tmp_path, damage):
    volume = marked(HALF_GRID, -26, -20, 12)
    path = tmp_path / "a.nii.gz"
    if damage == "another grid":
        write_volume(path, marked(STANDARD_GRID, -26, -20, 12), STANDARD_GRID.affine)
    elif damage == "not 8 bit":
        write_volume(path, volume.astype(np.float32) + 0.5, HALF_GRID.affine)
    else:
        write_volume(path, volume, HALF_GRID.affine)
        path.write_bytes(path.read_bytes()[:-20])
    gallery = create_gallery(tmp_path / "g", MODEL, 4)
    thumbnail = thumbnail_of(volume, HALF_GRID)
    case = NewCase(
        "sub-a", "a", some_codes(1)[0], cohort=tmp_path, image="a.nii.gz", thumbnail=thumbnail
    )
    gallery.add([case], MODEL)
    assert stored_volume(gallery.get("sub-a"), HALF_GRID) is None
    result = search(gallery, Query(some_codes(1)[0], MODEL, k=1, subject="x"))
    assert hit_picture(gallery, result.hits[0]).note == "thumbnail"
    gallery.close()


def test_a_hit_of_an_old_version_is_still_drawn(tmp_path):
    picture = thumbnail_of(marked(HALF_GRID, -26, -20, 12), HALF_GRID)
    gallery = create_gallery(tmp_path / "g", MODEL, 4)
    codes = some_codes(2)
    gallery.add([NewCase("sub-a", "a", codes[0], thumbnail=picture)], MODEL)
    gallery.add([NewCase("sub-b", "b", codes[1])], MODEL)
    gallery.remove(["sub-a"])
    result = search(gallery, Query(codes[0], MODEL, k=1, subject="x", as_of=1))
    assert hit_picture(gallery, result.hits[0], result.gallery_version).note == "thumbnail"
    gallery.close()


def test_the_png_holds_query_hits_and_earlier_scans(shown, tmp_path):
    query, hits, earlier, _ = shown
    small, large = (tmp_path / name for name in ("small.png", "large.png"))
    draw_search(query, hits[:1], [], small)
    draw_search(query, hits, earlier, large)
    with Image.open(small) as one, Image.open(large) as all_of_them:
        assert all_of_them.size[0] == one.size[0]
        assert all_of_them.size[1] > 1.5 * one.size[1]
        assert np.asarray(all_of_them.convert("L")).min() == 0


def test_the_html_is_one_file_with_escaped_text(shown, tmp_path):
    page = write_search_html(*shown, tmp_path / "search.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3 * (1 + 3 + 1)
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "&lt;b&gt;AD&lt;/b&gt;" in page
    assert "Other scans of this person" in page
    assert "is simulated" not in page
    assert "Radiological convention" in page
    assert page.count("<b>R</b><b>L</b>") == 2 * 5


def explained_pair(volumes=((), ())) -> ExplainedPair:
    """A pair that differs most in one cube, 40 mm right, 20 mm behind, 12 mm up, and at the rim."""
    grid = HALF_GRID
    brain = np.full(grid.shape, 100, np.uint8)
    difference = -3.0 * (marked(grid, 40, -20, 12) > 0).astype(np.float32)
    difference[0, 0, 0] = 9.0  # no part of the brain
    regions = {"right-hippocampus": 3.0, "brain-stem": 1.0}
    explanation = Explanation(5.0, 4.0, np.zeros(CELLS), regions)
    likeness = [("brain-stem", 0.2), ("right-medial-temporal", 2.5)]
    names = ("sub-a", "sub-b")
    return ExplainedPair(brain, brain, difference, grid, explanation, likeness, volumes, names)


def test_the_figure_of_a_hit_says_what_differs_by_how_much_and_where() -> None:
    one = [VolumeForAge("hippocampus", 3.0, 4.0), VolumeForAge("ventricles", 40.0, 90.0)]
    other = [VolumeForAge("hippocampus", 4.0, 50.0), VolumeForAge("ventricles", 20.0, 10.0)]
    pair = explained_pair((one, other))
    assert sentence_of(pair) == (
        "Most alike: brain stem (0.20 × the usual difference of two people); "
        "differ most: right medial temporal (2.5 ×)."
    )
    (x, y, z), _ = largest_difference(pair.difference, pair.grid)
    assert np.abs(np.array([x - 40, y + 20, z - 12])).max() <= 10  # in that cube, not at the rim
    figure = explanation_figure(pair)
    bars, volumes = figure.axes[:2]
    assert [bar.get_width() for bar in bars.patches] == pytest.approx(np.log2([0.2, 2.5]))
    texts = [text.get_text().strip() for text in bars.texts]
    assert {"25%", "75%", "0.20 ×", "2.5 ×"} <= set(texts)
    query, hit = (dots.get_offsets()[:, 0].tolist() for dots in volumes.collections[-2:])
    assert (query, hit) == ([4.0, 90.0], [50.0, 10.0])


def test_in_a_small_gallery_the_figure_says_that_likeness_is_not_known() -> None:
    pair = replace(explained_pair(), likeness=())
    assert sentence_of(pair).startswith("The largest share of the difference, 75%, lies in: right")
    bars, query = explanation_figure(pair).axes[:2]
    assert "How alike: not known" in [text.get_text() for text in bars.texts]
    assert query.images  # a code without volumes: the pictures follow


def test_volumes_of_people_of_unknown_age_are_compared_with_each_other() -> None:
    one, other = ([VolumeForAge("hippocampus", ml)] for ml in (3.0, 4.0))
    bars = explanation_figure(explained_pair((one, other))).axes[1].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([-25.0])


def test_a_persons_other_scans_come_by_age_without_the_query(tmp_path):
    with closing(create_gallery(tmp_path / "g", MODEL, 4)) as gallery:
        ages = {"sub-a_ses-2": 71, "sub-a_ses-1": 70, "sub-a_ses-10": 79, "sub-b": 60}
        people = {scan: scan[4] for scan in ages}
        codes = some_codes(4)
        gallery.add(
            [
                NewCase(scan, people[scan], code, labels={"age": age, "true_severity": 0.5})
                for (scan, age), code in zip(ages.items(), codes, strict=True)
            ],
            MODEL,
        )
        finished = search_by_case(gallery, "sub-a_ses-2", SearchOptions(k=1))
        query, hits, others = pictures_of(finished)
        assert query.heading == "Query: sub-a_ses-2"
        assert [hit.heading for hit in hits] == ["1. sub-b"]
        assert [other.heading for other in others] == ["sub-a_ses-1", "sub-a_ses-10"]
        draw(finished, None, tmp_path / "page.html")
        page = (tmp_path / "page.html").read_text()
        assert "Other scans of this person" in page
        assert PURPOSE in page
        assert "Every person in this gallery is simulated." in page
        figure = search_figure(query, hits, others, simulated=True)
        texts = [text.get_text() for text in figure.texts]
        assert "Other scans of this person" in texts
        assert f"{PURPOSE} Every person in this gallery is simulated." in texts
        assert PURPOSE in [text.get_text() for text in search_figure(query, hits, others).texts]
