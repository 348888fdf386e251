"""Python as users expect it: text for paths, k in its place, short reprs, tables, pictures."""

from __future__ import annotations

import copy
import inspect
import pickle
import shutil
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import braincase
from braincase.cohort.cohort import Cohort
from braincase.errors import BraincaseError, GalleryError
from braincase.gallery import create_gallery
from braincase.images.planes import thumbnail_of
from braincase.models.embed import encoder_of
from braincase.search.query_scan import QueryScan
from gallery_cases import MODEL, filled_gallery, some_cases


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = tmp_path_factory.mktemp("python") / "g"
    filled_gallery(made, n_people=12, scans_each=1).close()
    return str(made)


#: Made by Braincase and not by users.
GIVEN = ("BraincaseError", "Cohort")
Call = Callable[[Any, "World"], object]


class World:
    """What is at hand: a cohort, a model, a gallery, and a folder of the call's own."""

    def __init__(self, cohort: Cohort, model: Path, gallery: str, own: Path) -> None:
        self.cohort, self.model, self.gallery, self.own = cohort, model, gallery, own

    def plain(self) -> braincase.ModelSettings:
        return braincase.ModelSettings("plain", channels=1, alpha=0.0, epochs=1, batch_size=16)

    def call(self, method: str, *values: Any) -> object:
        with braincase.open_gallery(self.gallery) as gallery:
            return getattr(gallery, method)(*values)

    def ask(self, scan: Any, **options: Any) -> object:
        with braincase.open_gallery(self.gallery) as gallery:
            return gallery.ask(scan, 1, **options).result


def added(path: Any, world: World) -> object:
    shutil.rmtree(world.own / "new", ignore_errors=True)
    gallery = create_gallery(world.own / "new", MODEL, 4)
    gallery.add([replace(some_cases(1)[0], cohort=path, image="a.nii.gz")], MODEL)
    return gallery.cases()[0].image


def made(path: Any, world: World) -> object:
    create_gallery(path, MODEL, 4).close()
    with braincase.open_gallery(path) as gallery:
        count = len(gallery)
    shutil.rmtree(path)
    return count


#: For each parameter of the door that is a path: a call that uses it, quick to end or to fail.
CALLS: dict[tuple[str, str], Call] = {
    ("NewCase", "cohort"): added,
    ("Plan", "folder"): lambda p, w: braincase.Plan(p).folder / "x",
    ("ScanSource", "path"): lambda p, w: braincase.index_scans(
        w.own / "g", braincase.ScanSource(p, w.own), w.model
    ),
    ("ScanSource", "cohort"): lambda p, w: braincase.ScanSource(w.own, p).cohort / "x",
    ("SearchOptions", "mask"): lambda p, w: w.ask(
        "sub-000_ses-1", options=braincase.SearchOptions(mask=p)
    ),
    ("create_gallery", "url"): made,
    ("evaluate_and_report", "cohort"): lambda p, w: braincase.evaluate_and_report(p, w.own / "r"),
    ("evaluate_and_report", "folder"): lambda p, w: braincase.evaluate_and_report(
        w.cohort, p, ["none"], [w.plain()]
    ),
    ("evaluate_and_report", "models"): lambda p, w: braincase.evaluate_and_report(
        w.cohort, w.own / "r", models=[p]
    ),
    ("find_scans", "path"): lambda p, w: braincase.find_scans(p),
    ("index_cohort", "url"): lambda p, w: braincase.index_cohort(p, w.own, w.model),
    ("index_cohort", "cohort"): lambda p, w: braincase.index_cohort(w.own / "g", p, w.model),
    ("index_cohort", "encoder"): lambda p, w: braincase.index_cohort(w.own / "g", w.cohort, p),
    ("index_scans", "url"): lambda p, w: braincase.index_scans(
        p, braincase.ScanSource(w.own / "none", w.own), w.model
    ),
    ("index_scans", "encoder"): lambda p, w: braincase.index_scans(
        w.own / "g", braincase.ScanSource(w.own, w.own), p
    ),
    ("load_model", "folder"): lambda p, w: braincase.load_model(p),
    ("load_settings", "name_or_path"): lambda p, w: braincase.load_settings(p),
    ("model_fitter", "settings"): lambda p, w: braincase.model_fitter([p], "", w.own),
    ("model_fitter", "folder"): lambda p, w: braincase.model_fitter(["plain"], "", p)[1],
    ("open_cohort", "folder"): lambda p, w: braincase.open_cohort(p),
    ("open_encoder", "model"): lambda p, w: braincase.open_encoder(p),
    ("open_gallery", "url"): lambda p, w: braincase.open_gallery(p),
    ("open_gallery", "model"): lambda p, w: braincase.open_gallery(w.gallery, p),
    ("save_model", "folder"): lambda p, w: braincase.save_model(
        p, braincase.load_model(w.model), "card", force=True
    ),
    ("simulate_cohort", "folder"): lambda p, w: braincase.simulate_cohort(p, "none"),
    ("train_and_save", "cohort"): lambda p, w: braincase.train_and_save(p, w.own / "m", w.plain()),
    ("train_and_save", "folder"): lambda p, w: braincase.train_and_save(
        w.cohort, p, w.plain(), label="none"
    ),
    ("train_and_save", "settings"): lambda p, w: braincase.train_and_save(w.cohort, w.own / "m", p),
    ("train_model", "checkpoint"): lambda p, w: repr(
        braincase.train_model(w.cohort, np.arange(16), w.plain(), "", p, device="cpu")
    ),
    ("write_report", "folder"): lambda p, w: braincase.write_report(p, []),
    ("SearchableGallery.ask", "scan"): lambda p, w: w.ask(p),
    ("SearchableGallery.ask", "explain"): lambda p, w: w.ask("sub-000_ses-1", explain=p),
    ("SearchableGallery.finished_search", "scan"): lambda p, w: w.call("finished_search", p),
    ("SearchableGallery.search", "scan"): lambda p, w: w.call("search", p),
    ("SearchableGallery.search_by_change", "scan"): lambda p, w: w.call("search_by_change", p, "x"),
    ("SearchableGallery.search_by_change", "prior"): lambda p, w: w.call(
        "search_by_change", "sub-000_ses-1", p
    ),
}


def path_parameters() -> dict[tuple[str, str], str]:
    """Return the annotation of each parameter of the door that takes a path, by its place."""
    found = {}
    for name in set(braincase.__all__) - {*GIVEN}:
        value = getattr(braincase, name)
        functions = {name: value} if inspect.isfunction(value) else {}
        if isinstance(value, type):
            functions = {
                f"{name}.{method}": function
                for method, function in inspect.getmembers(value, inspect.isfunction)
                if not method.startswith("_") and function.__module__.startswith("braincase")
            }
            if is_dataclass(value):
                found |= {(name, field.name): str(field.type) for field in fields(value)}
        for place, function in functions.items():
            hints = dict(function.__annotations__)
            hints.pop("return", None)
            found |= {(place, parameter): str(hint) for parameter, hint in hints.items()}
    return {p: h for p, h in found.items() if "Path" in h or "ScanLike" in h}


@pytest.mark.parametrize("parameter", sorted({*CALLS, *path_parameters()}), ids=".".join)
def test_text_is_as_good_as_a_path(
    parameter: tuple[str, str], tiny: Cohort, web_model: Path, folder: str, tmp_path: Path
) -> None:
    """Over the whole door: each parameter that takes a path takes text, and does the same."""
    hint = path_parameters()[parameter]
    assert "str" in hint or hint in ("PathField", "ScanLike"), f"its type is {hint}"
    world = World(tiny, web_model, folder, tmp_path)
    outcomes = []
    for path in (tmp_path / "a.toml", str(tmp_path / "a.toml")):
        try:
            outcomes.append(repr(CALLS[parameter](path, world)))
        except BraincaseError as error:
            outcomes.append(f"{type(error).__name__}: {error}")
    assert outcomes[0] == outcomes[1]


def test_search_and_ask_take_k_and_a_filter_alike(folder: str) -> None:
    with braincase.open_gallery(folder) as gallery:
        hits = gallery.search("sub-000_ses-1", k=3, where="sex = 'M'")
        assert gallery.ask("sub-000_ses-1", k=3, where="sex = 'M'").result.hits == tuple(hits)
        as_before = gallery.ask("sub-000_ses-1", braincase.SearchOptions(k=2))
        assert len(as_before.result.hits) == 2
        named = braincase.SearchOptions(regions="hippocampus, amygdala")
        assert named.regions == ("hippocampus", "amygdala")


def test_a_gallery_has_a_length_a_table_and_a_short_repr(folder: str) -> None:
    with braincase.open_gallery(folder) as gallery:
        assert len(gallery) == 12
        assert repr(gallery) == f"SearchableGallery({folder}, 12 cases, model aaaaaaaa)"
    assert repr(gallery) == f"SearchableGallery({folder}, closed)"
    assert "closed" in gallery._repr_html_()
    with pytest.raises(GalleryError, match=r"closed; expected an open gallery. Open it again"):
        gallery.search("sub-000_ses-1")
    with braincase.open_gallery(folder) as gallery:
        women = gallery.cases("sex = 'F'")
        assert len(women) == 6
        assert [*women.columns[:3]] == ["scan_id", "subject", "session"]
        assert {"age", "sex", "diagnosis"} <= {*women.columns}


def test_hits_are_a_list_a_table_and_text(folder: str) -> None:
    with braincase.open_gallery(folder) as gallery:
        hits = gallery.search("sub-000_ses-1", k=2)
    table = hits.to_frame()
    assert [*table.columns[:6]] == ["rank", "scan_id", "subject", "session", "distance", "score"]
    assert [*table["rank"]] == [1, 2]
    assert [*table["diagnosis"]] == [hit.labels["diagnosis"] for hit in hits]
    assert repr(hits).splitlines()[0].split() == [
        "rank", "scan", "distance", "score", "diagnosis", "age", "sex",
    ]  # fmt: skip
    assert len(repr(hits).splitlines()) == 3
    assert repr(hits[0]).startswith(f"Hit(1, {hits[0].scan_id}, ")
    for again in (pickle.loads(pickle.dumps(hits)), copy.deepcopy(hits)):
        assert again == [*hits]
    assert hits[:1] == [hits[0]]


def test_labels_called_as_a_column_of_the_table_stay(tmp_path: Path) -> None:
    cases = [replace(case, labels={"rank": 7, "site": "X"}) for case in some_cases(3, 1)]
    create_gallery(tmp_path / "g", MODEL, 4).add(cases, MODEL)
    with braincase.open_gallery(tmp_path / "g") as gallery:
        table = gallery.search("sub-000_ses-1", k=1).to_frame()
    assert table.loc[0, ["rank", "rank_label", "site"]].to_list() == [1, 7, "X"]


def test_notebooks_show_pictures_and_nothing_is_taken_for_html(
    tiny: Cohort, web_gallery: Path, tmp_path: Path
) -> None:
    picture = thumbnail_of(tiny.volumes[0], tiny.grid)
    name, evil = "sub-000_ses-1", "<script>alert(1)</script>"
    cases = [
        replace(case, thumbnail=picture, labels={"diagnosis": evil, "phone": "0123"})
        for case in some_cases(30, 1)
    ]
    create_gallery(tmp_path / "g", MODEL, 4).add(cases, MODEL)
    with braincase.open_gallery(str(tmp_path / "g")) as gallery:
        hits, answer = gallery.search(name, k=25), gallery.ask(name, k=3)
        pages = [gallery._repr_html_()]
    pages += [hits._repr_html_(), answer._repr_html_()]  # closed, and still shown
    assert [page.count("data:image/jpeg;base64,") for page in pages] == [5, 21, 4]
    assert "and 5 more" in pages[1]
    for page in pages:
        assert "<script>" not in page
        assert "0123" not in page
    shutil.rmtree(tmp_path / "g")
    assert "data:image" not in hits._repr_html_()
    with braincase.open_gallery(web_gallery) as gallery:
        search = gallery.finished_search(tiny.table["scan_id"].iloc[0], braincase.SearchOptions(3))
    scan = QueryScan(tiny.volumes[0], "query", None, {})
    shown = braincase.Hits(search.result.hits, replace(search, scan=scan))
    assert shown._repr_html_().count("data:image") == 4
    figure = shown.plot()
    assert isinstance(figure, Figure)
    # Three planes of the query, of three hits, and of its person's other scans.
    others = [hit for hit in search.result.same_subject if hit.scan_id != search.query.scan_id]
    assert len(figure.axes) == 3 * (1 + 3 + len(others))


def test_records_are_told_in_a_line(tiny: Cohort, web_model: Path, folder: str) -> None:
    with braincase.open_gallery(folder) as gallery:
        answer = gallery.ask("sub-000_ses-1", k=2)
    model = braincase.load_model(web_model)
    assert repr(tiny) == f"Cohort({tiny.folder}, {len(tiny)} scans, 4 mm)"
    assert repr(model) == f"Model(untrained, 4 mm, {model.fingerprint[:8]})"
    place = f"like sub-000_ses-1 in {folder}, version 1)"
    assert repr(answer) == f"Answer(2 of 11 cases {place}"
    assert repr(answer.result) == f"SearchResult(2 of 11 cases {place}"


def test_a_cohort_is_indexed_with_the_model_itself(
    tiny: Cohort, web_model: Path, tmp_path: Path
) -> None:
    model = braincase.load_model(str(web_model))
    for given in (model, str(web_model), encoder_of(model)):
        indexed = braincase.index_cohort(str(tmp_path / "g"), str(tiny.folder), given)
        assert indexed.added == len(tiny)
        shutil.rmtree(tmp_path / "g")
