"""The paper's and the honest protocol on simulated people, with models whose worth is known."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from braincase.errors import CohortError, LeakError
from braincase.evaluate import open_study, remember, run_honest, run_paper
from braincase.evaluate.honest import COLUMNS, MOST_SCANS, _sample
from braincase.evaluate.results import Estimate
from braincase.report.evaluation import write_report
from pca import fit_by, fit_pca, flat

MODELS = ("plain", "braincase")


@pytest.fixture(scope="module")
def study(tiny):
    return open_study(tiny, n_folds=3, run_folds=2)


@pytest.fixture(scope="module")
def paper(study):
    return run_paper(study, fit_pca, MODELS)


@pytest.fixture(scope="module")
def honest(study):
    return run_honest(study, fit_pca, MODELS)


def fit_knowing(study):
    """Models whose code is the class, with a little of the severity for the groups in between."""
    severity = study.cohort.table["true_severity"].to_numpy(float)
    return fit_by(lambda row: [study.y[row] * 10 + severity[row], 0])


def without_clock(result):
    content = result.to_json()
    content.pop("provenance")
    for training in content["trainings"]:
        training.pop("seconds")
    return content


def test_each_model_has_a_value_for_each_fold_held_out(paper):
    assert [score.model for score in paper.scores] == list(MODELS)
    for score in paper.scores:
        for spread in (score.kmeans, score.rmse_percent):
            assert len(spread.folds) == 2
            assert spread.mean == pytest.approx(np.mean(spread.folds))
            assert spread.sd == pytest.approx(np.std(spread.folds))
            assert spread.low <= spread.mean <= spread.high


def test_rmse_is_that_of_all_held_out_voxels(study, paper):
    fold = study.folds[1]
    model = fit_pca(study.cohort, fold.train, "plain", 1)
    volumes = study.cohort.volumes[fold.test]
    error = model.reconstruct(volumes).astype(np.float64) - volumes / 255
    expected = 100 * np.sqrt((error**2).mean())
    assert paper.scores[0].rmse_percent.folds[1] == pytest.approx(expected, rel=1e-4)


def test_more_components_rebuild_better(paper):
    plain, braincase = paper.scores
    assert braincase.rmse_percent.mean < plain.rmse_percent.mean


def test_a_code_that_is_the_class_clusters_without_error(study):
    (score,) = run_paper(study, fit_knowing(study), ["braincase"]).scores
    assert score.kmeans.folds == (1.0, 1.0)
    assert score.rmse_percent.mean == pytest.approx(0, abs=1e-6)


def test_a_collapsed_code_scores_like_the_largest_class_and_warns_nobody(study):
    result = run_paper(study, fit_by(lambda row: [1.0, 2.0]), ["plain"])
    assert result.scores[0].kmeans.mean == pytest.approx(result.majority)


def test_the_paper_values_stand_beside_ours(paper):
    published = paper.to_json()["published"]
    assert published["plain"] == {"kmeans": 0.547, "kmeans_sd": 0.032, "rmse_percent": 6.49}
    assert published["ddcml"] == {"kmeans": 0.786, "kmeans_sd": 0.087, "rmse_percent": 7.11}


def test_maps_and_slices_are_of_the_first_held_out_fold(study, paper):
    for code_map in paper.maps:
        assert code_map.y == tuple(study.y[study.folds[0].test])
        assert len(code_map.points) == len(code_map.y)
    assert [row.title for row in paper.slices] == [
        f"{name}, {plane}" for name in ("CN", "AD") for plane in ("coronal", "axial")
    ]
    assert all(len(row.images) == 1 + len(MODELS) for row in paper.slices)
    assert paper.slices[0].images[0].shape == (40, 40)


def test_equal_seeds_give_equal_results(study, paper, honest):
    assert without_clock(run_paper(study, fit_pca, MODELS)) == without_clock(paper)
    assert without_clock(run_honest(study, fit_pca, MODELS)) == without_clock(honest)


def test_results_are_plain_json(paper, honest):
    for result in (paper, honest):
        text = json.dumps(result.to_json(), allow_nan=False)
        assert json.loads(text)["material"]["people"] == {"CN": 12, "AD": 12}
    assert paper.to_json()["provenance"]["versions"]["python"].startswith("3.")


def test_all_baselines_stand_beside_the_models(honest):
    assert [(method.name, method.kind) for method in honest.methods] == [
        ("plain", "model"),
        ("braincase", "model"),
        ("braincase, class first", "model"),
        ("PCA-150", "baseline"),
        ("PCA-150 + LDA", "baseline"),
        ("voxel kNN", "baseline"),
        ("regional volumes, SVM", "baseline"),
        ("smoothed voxels, SVM", "baseline"),
    ]


def test_every_held_out_person_asks_once(study, honest):
    held_out = np.concatenate([fold.test for _, fold in study.used_folds()])
    people = set(study.subjects[held_out])
    for method in honest.methods:
        asked = [row["subject"] for row in honest.queries if row["method"] == method.name]
        assert sorted(asked) == sorted(people)
        assert method.queries == len(people)


def test_a_perfect_code_beats_every_baseline_and_says_so(study):
    result = run_honest(study, fit_knowing(study), ["braincase"])
    best = result.methods[0]
    for estimate in (best.top1, best.mean_ap, best.macro_f1, best.auc):
        assert estimate.value == 1
    assert best.precision.value > 0.75  # the gallery has fewer than ten cases of a class
    assert result.first_line.endswith(". No baseline is higher elsewhere.")


def test_a_code_of_noise_loses_and_the_first_line_says_so(study):
    noise = np.random.default_rng(0).normal(size=(len(study.y), 5))
    result = run_honest(study, fit_by(lambda row: noise[row]), ["braincase"])
    assert result.first_line.startswith("A baseline wins on")
    assert "Braincase" in result.first_line


def test_the_first_line_says_when_a_difference_may_be_chance(honest):
    cases = {Estimate(0.02, -0.03, 0.06): True, Estimate(0.2, 0.1, 0.3): False}
    for lead, chance in cases.items():
        assert ("neither is clearly ahead" in replace(honest, lead=lead).first_line) == chance


def test_the_first_line_begins_with_the_primary_score_and_names_no_winner_by_chance(honest):
    """A higher AUC of a baseline is told with its intervals, not as a win before all."""

    def set_to(method, **values):
        same = dict.fromkeys(COLUMNS, Estimate(0.5, 0.4, 0.6))
        return replace(method, **same | values)

    auc, f1 = Estimate(0.95, 0.91, 0.98), Estimate(0.958, 0.9, 0.99)
    best = Estimate(0.967, 0.93, 0.99)
    methods = [
        set_to(method, **({"auc": best} if method.kind == "baseline" else {"auc": auc}))
        for method in honest.methods
    ]
    methods[0] = replace(methods[0], macro_f1=f1)
    name = methods[0].name
    lead = Estimate(0.041, -0.02, 0.1)
    line = replace(honest, methods=methods, lead=lead, contestant=name).first_line
    assert line.startswith("On macro-F1 neither is clearly ahead: macro-F1 of ")
    assert line.endswith("A baseline is higher on AUC: 0.967 against 0.950, intervals overlap.")
    assert "wins" not in line
    apart = [replace(m, auc=Estimate(0.5, 0.4, 0.6)) if m.name == name else m for m in methods]
    lead = Estimate(-0.1, -0.2, -0.05)
    line = replace(honest, methods=apart, lead=lead, contestant=name).first_line
    assert line.startswith("A baseline wins on macro-F1: ")
    assert "AUC: 0.967 against 0.500, intervals apart" in line


def test_linear_references_stand_in_the_papers_table(study, paper):
    mean_brain, pca, lda = paper.references
    assert [r.model for r in paper.references] == ["mean brain", "PCA-150", "PCA-150 + LDA"]
    assert mean_brain.kmeans.mean == pytest.approx(paper.majority)
    assert lda.rmse_percent == pca.rmse_percent
    # By hand, voxel by voxel, in the first fold.
    _, fold = next(iter(study.used_folds()))
    volumes = study.cohort.volumes
    train, test = (flat(volumes[rows]).astype(np.float64) for rows in (fold.train, fold.test))
    mean = train.mean(axis=0)
    _, _, axes = np.linalg.svd(train - mean, full_matrices=False)
    axes = axes[: len(train) - 1]
    left = (test - mean) - (test - mean) @ axes.T @ axes
    for score, error in ((mean_brain, test - mean), (pca, left)):
        rmse = 100 * np.sqrt((error**2).mean())
        assert score.rmse_percent.folds[0] == pytest.approx(rmse, rel=1e-3)


def test_the_contestant_is_named_beforehand_and_not_chosen_by_its_score(study):
    """The last model asked for stands against the baselines, though another one did better."""

    def fit(cohort, rows, name, fold):
        noise = np.random.default_rng(0).normal(size=(len(study.y), 5))
        best = fit_knowing(study)(cohort, rows, name, fold)
        worst = fit_by(lambda row: noise[row])(cohort, rows, name, fold)
        return best if name == "plain" else worst

    result = run_honest(study, fit, ["plain", "braincase"])
    plain, braincase = result.methods[:2]
    assert plain.macro_f1.value > 0.9 > braincase.macro_f1.value
    assert result.contestant == "braincase"
    assert f"macro-F1 of Braincase, named beforehand, is {braincase.macro_f1.value:.3f}" in (
        result.first_line
    )


def test_a_ranking_is_compared_with_rankings_of_its_kind(study):
    result = run_honest(study, fit_knowing(study), ["braincase"])
    orders = {method.name: method.order for method in result.methods}
    assert orders["braincase"] == orders["PCA-150 + LDA"] == "by distance"
    assert orders["braincase, class first"] == orders["smoothed voxels, SVM"] == "class first"
    # A classifier's average precision is above any ranking's; it is no defeat of the other kind.
    plain, svm = result.methods[0], result.methods[-1]
    better = replace(svm, mean_ap=Estimate(1.1))
    alone = [m for m in result.methods if m.order == "by distance"]
    assert "mAP" not in replace(result, methods=(*alone, better)).first_line
    assert plain.evidence_f1.value == plain.vote_f1.value == 1


def test_never_trained_people_stand_between_in_a_code_that_knows(study):
    result = run_honest(study, fit_knowing(study), ["braincase"])
    staging = result.staging[0]
    assert [group.name for group in staging.groups] == ["CN", "EMCI", "AD"]
    cn, _, ad = (group.mean.value for group in staging.groups)
    assert (cn, ad) == pytest.approx((0, 1))


def test_a_leak_stops_the_honest_run_before_training(study):
    fold = study.folds[0]
    leaking = replace(fold, train=np.sort(np.append(fold.train, fold.test[0])))
    broken = replace(study, folds=(leaking, *study.folds[1:]))

    def no_training(*_):
        raise AssertionError("trained in spite of the leak")

    with pytest.raises(LeakError, match=study.subjects[fold.test[0]]):
        run_honest(broken, no_training, MODELS)


def test_protocols_share_the_models_of_a_fold(study):
    calls = []

    def counted(cohort, rows, name, fold):
        calls.append((name, fold))
        return fit_pca(cohort, rows, name, fold)

    shared = remember(counted)
    run_paper(study, shared, ["plain"])
    run_honest(study, shared, ["plain"])
    assert calls == [("plain", 0), ("plain", 1)]


def stranger(cohort, tmp_path, **changes):
    """The same images as another source would have them: other names, other hashes."""
    table = cohort.table.copy()
    table["subject"] = "X" + table["subject"]
    table["image_hash"] = table["image_hash"].str[::-1]
    return replace(cohort, folder=tmp_path, table=table, **changes)


def test_a_second_data_set_asks_the_first_folds_gallery(study, tiny, tmp_path):
    result = run_honest(study, fit_pca, ["plain"], unseen=stranger(tiny, tmp_path))
    assert result.unseen.people == {"AD": 12, "CN": 12}
    assert [m.name for m in result.unseen.methods] == [m.name for m in result.methods]
    # Two thirds of the strangers' images were trained on under other names: top-1 finds them.
    knn = next(m for m in result.unseen.methods if m.name == "voxel kNN")
    assert knn.top1.value > 0.6
    assert knn.queries == 24


def test_a_second_data_set_of_one_class_has_no_auc_but_a_recall(study, tiny, tmp_path):
    table = tiny.table[tiny.table["diagnosis"] != "AD"]
    other = stranger(tiny, tmp_path)
    labels = other.table["diagnosis"].where(other.table["diagnosis"] != "AD")
    other = replace(other, table=other.table.assign(diagnosis=labels))
    result = run_honest(study, fit_pca, ["plain"], unseen=other)
    method = result.unseen.methods[0]
    assert method.queries == table.loc[table["diagnosis"] == "CN", "subject"].nunique()
    assert np.isnan(method.auc.value)
    assert result.to_json()["unseen"]["methods"][0]["auc"]["value"] is None
    assert 0 <= method.recalls["CN"].value <= 1


def test_a_second_data_set_with_known_images_is_a_leak(study, tiny, tmp_path):
    other = replace(tiny, folder=tmp_path)
    with pytest.raises(LeakError, match="are in both cohorts"):
        run_honest(study, fit_pca, ["plain"], unseen=other)


def test_a_second_data_set_of_another_recipe_is_refused(study, tiny, tmp_path):
    other = stranger(tiny, tmp_path, recipe={"Name": "another"})
    with pytest.raises(CohortError, match="recipe"):
        run_honest(study, fit_pca, ["plain"], unseen=other)


def test_a_huge_cohort_is_sampled_by_whole_people(study, monkeypatch):
    assert len(_sample(study)) == (study.y >= 0).sum() <= MOST_SCANS
    monkeypatch.setattr("braincase.evaluate.honest.MOST_SCANS", 20)
    kept = _sample(study)
    assert 10 < len(kept) <= 20
    people = set(study.subjects[kept])
    assert len(kept) == np.isin(study.subjects, list(people)).sum()
    assert all(a < b for a, b in pairwise(kept))


def test_three_classes_are_told_apart_with_the_same_words(tiny, tmp_path):
    study = open_study(tiny, classes=["CN", "EMCI", "AD"], n_folds=2, run_folds=1)
    paper, honest = run_paper(study, fit_pca, ["plain"]), run_honest(study, fit_pca, ["plain"])
    assert {row.title.split(",")[0] for row in paper.slices} == {"CN", "EMCI", "AD"}
    assert list(honest.methods[0].recalls) == ["CN", "EMCI", "AD"]
    assert honest.staging == ()
    page = write_report(tmp_path, [paper, honest]).read_text(encoding="utf-8")
    assert "recall EMCI" in page
    assert "var(--class-2)" in page
