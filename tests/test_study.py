from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from braincase.cohort.splits import Fold
from braincase.errors import CohortError, LeakError, UsageError
from braincase.evaluate import open_study
from braincase.evaluate.study import attribute_of, check_sides, train_fold
from pca import fit_pca


def changed(cohort, **columns):
    """The same cohort with other values in some columns of its table."""
    table = cohort.table.copy()
    for name, values in columns.items():
        table[name] = values
    return replace(cohort, table=table)


def test_cn_and_ad_are_the_classes_and_the_rest_was_never_trained(tiny):
    study = open_study(tiny, n_folds=3)
    assert study.classes == ("CN", "AD")
    assert set(study.other_groups()) == {"EMCI"}
    trained = np.concatenate([fold.train for fold in study.folds])
    assert set(tiny.table["diagnosis"].iloc[trained]) == {"CN", "AD"}


def test_nobody_stands_on_both_sides_and_everybody_is_held_out_once(tiny):
    study = open_study(tiny, n_folds=3)
    held_out = np.concatenate([fold.test for _, fold in study.used_folds()])
    assert sorted(held_out) == sorted(np.flatnonzero(study.y >= 0))
    for fold in study.folds:
        assert not set(study.subjects[fold.train]) & set(study.subjects[fold.test])


def test_run_folds_holds_out_only_the_first_ones(tiny):
    study = open_study(tiny, n_folds=4, run_folds=2)
    assert [number for number, _ in study.used_folds()] == [0, 1]
    assert len(list(open_study(tiny, n_folds=4).used_folds())) == 4


def test_of_each_person_the_first_visit_is_kept(tiny):
    study = open_study(tiny, n_folds=3)
    kept = tiny.table.iloc[study.first_scans(np.flatnonzero(study.y >= 0))]
    assert kept["subject"].is_unique
    assert set(kept["session"]) == {"M00"}


def test_blank_labels_are_left_out_and_counted(tiny):
    labels = tiny.table["diagnosis"].astype(object).copy()
    labels.iloc[:3] = [None, " ", "n/a"]
    study = open_study(changed(tiny, diagnosis=labels), n_folds=3)
    assert list(study.y[:3]) == [-1, -1, -1]
    assert study.material().unlabelled == 3


def test_a_person_with_a_trained_visit_is_in_no_never_trained_group(tiny):
    labels = tiny.table["diagnosis"].astype(object).copy()
    later = tiny.table.index[tiny.table["session"] == "M12"]
    labels.loc[later] = "LMCI"
    study = open_study(changed(tiny, diagnosis=labels), n_folds=3)
    assert "LMCI" not in study.other_groups()


def test_a_person_of_two_classes_is_in_one_fold(tiny):
    labels = tiny.table["diagnosis"].astype(object).copy()
    later = (tiny.table["session"] == "M12") & (labels == "CN")
    labels[later] = "AD"
    study = open_study(changed(tiny, diagnosis=labels), n_folds=3)
    for fold in study.folds:
        assert not set(study.subjects[fold.train]) & set(study.subjects[fold.test])


def test_a_missing_label_column_names_those_that_exist(tiny):
    with pytest.raises(UsageError, match=r"no column 'dx'.*diagnosis"):
        open_study(tiny, label="dx")


def test_one_class_only_is_one_clear_line(tiny):
    with pytest.raises(CohortError, match=r"one class only in 'diagnosis' \(CN\)"):
        open_study(changed(tiny, diagnosis="CN"))


def test_a_class_nobody_has_names_the_known_ones(tiny):
    with pytest.raises(UsageError, match=r"diagnosis FTD.*AD, CN, EMCI"):
        open_study(tiny, classes=["CN", "FTD"])


def test_more_folds_than_people_of_a_class_says_how_many_there_are(tiny):
    with pytest.raises(UsageError, match=r"12 subjects of class .* for 13 folds"):
        open_study(tiny, n_folds=13)


@pytest.mark.parametrize(("folds", "run"), [(5, 6), (1, 1), (5, -1)])
def test_impossible_fold_counts_are_refused(tiny, folds, run):
    with pytest.raises(UsageError):
        open_study(tiny, n_folds=folds, run_folds=run)


def test_one_image_under_two_names_stops_the_run_and_names_both(tiny):
    hashes = tiny.table["image_hash"].copy()
    firsts = tiny.table.drop_duplicates("subject")
    one, other = firsts.index[firsts["diagnosis"] == "CN"][:2]
    hashes[other] = hashes[one]
    names = sorted(tiny.table.loc[[one, other], "subject"])
    with pytest.raises(LeakError, match=", ".join(names)):
        open_study(changed(tiny, image_hash=hashes), n_folds=12)


def test_a_leaking_fold_stops_before_anything_is_trained(tiny):
    study = open_study(tiny, n_folds=3)
    fold = study.folds[0]
    leaking = Fold(train=np.sort(np.append(fold.train, fold.test[0])), test=fold.test)
    study = replace(study, folds=(leaking, *study.folds[1:]))

    def no_training(*_):
        raise AssertionError("trained in spite of the leak")

    with pytest.raises(LeakError, match=study.subjects[fold.test[0]]):
        train_fold(study, no_training, 0, ["plain"])


def test_no_model_or_one_name_twice_is_refused(tiny):
    study = open_study(tiny, n_folds=3)
    for models in ([], ["plain", "plain"]):
        with pytest.raises(UsageError, match="models"):
            train_fold(study, fit_pca, 0, models)


def test_check_sides_lets_a_clean_fold_pass(tiny):
    check_sides(tiny, open_study(tiny, n_folds=3).folds[0])


def test_many_numbers_are_a_quantity_and_few_a_category(tiny):
    age = attribute_of(tiny, "age")
    assert age.quantity
    assert np.allclose(age.values, tiny.table["age"].astype(float))
    visits = changed(tiny, visit=np.arange(len(tiny)) % 3, sex=pd.Series([None] * len(tiny)))
    assert not attribute_of(visits, "visit").quantity
    assert np.isnan(attribute_of(visits, "sex").values).all()


def test_material_counts_people_and_scans(tiny):
    material = open_study(tiny, n_folds=3).material()
    assert material.people == {"CN": 12, "AD": 12}
    assert material.scans == {"CN": 16, "AD": 16}
    assert material.others == {"EMCI": 2}
    assert material.data == "simulated"
    assert material.census["scans"] == 34


def test_a_cohort_is_simulated_by_its_recipe_whatever_its_columns_are_called(tiny):
    assert open_study(tiny, n_folds=3).material().simulated
    real = replace(changed(tiny, true_label=tiny.table["diagnosis"]), recipe={"Name": "another"})
    material = open_study(real, n_folds=3).material()
    assert not material.simulated
    assert material.data != "simulated"
