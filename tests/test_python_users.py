"""Python as users expect it: text for paths, k in its place, short reprs, tables."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import braincase
from braincase.errors import BraincaseError
from gallery_cases import filled_gallery


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = tmp_path_factory.mktemp("python") / "g"
    filled_gallery(made, n_people=12, scans_each=1).close()
    return str(made)


@pytest.mark.parametrize("opened", [braincase.open_cohort, braincase.load_model])
def test_text_is_a_path(opened, tmp_path: Path) -> None:
    with pytest.raises(BraincaseError, match="nowhere"):
        opened(str(tmp_path / "nowhere"))


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
        women = gallery.cases("sex = 'F'")
        assert len(women) == 6
        assert [*women.columns[:3]] == ["scan_id", "subject", "session"]
        assert {"age", "sex", "diagnosis"} <= {*women.columns}


def test_a_cohort_is_indexed_with_the_model_itself(tiny, web_model: Path, tmp_path: Path) -> None:
    model = braincase.load_model(str(web_model))
    for given in (model, str(web_model)):
        indexed = braincase.index_cohort(str(tmp_path / "g"), tiny, given)
        assert indexed.added == len(tiny)
        shutil.rmtree(tmp_path / "g")
