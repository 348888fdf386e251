from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench_people import archive, people_table, stand_in
from braincase.bench import archive as archive_module
from braincase.bench.archive import (
    archive_of,
    drawn_people,
    images_checksum,
    people_checksum,
)
from braincase.bench.published import (
    DEVELOPMENT_SEEDS,
    PUBLISHED,
    REPORT_SEEDS,
    Checksums,
    role_of_seed,
)
from braincase.bench.splits import NEVER_TRAINED, check_splits, deal_people, splits_checksum
from braincase.errors import CohortError, LeakError


def test_no_person_has_two_parts_and_everybody_has_one():
    table = people_table()
    parts = deal_people(table, 0).parts()
    people = [set(table["subject"].iloc[rows]) for rows in parts.values()]
    assert sum(map(len, people)) == len(set().union(*people)) == table["subject"].nunique()


def test_of_four_people_of_a_condition_two_train_one_can_be_found_and_one_asks():
    table = people_table()
    splits = deal_people(table, 0)
    for name, n in (("train", 24), ("gallery", 12), ("query", 12)):
        counts = table["diagnosis"].iloc[splits.parts()[name]].value_counts()
        assert set(counts) == {n}
        assert not set(counts.index) & set(NEVER_TRAINED)


def test_travelling_heads_and_never_trained_groups_only_ask():
    table = people_table()
    splits = deal_people(table, 0)
    assert set(table["design"].iloc[splits.travelling]) == {"travelling", "repeat"}
    assert set(table["diagnosis"].iloc[splits.never_trained]) == set(NEVER_TRAINED)


def test_later_scans_train_but_nobody_asks_or_is_found_twice():
    table = people_table()
    later = table[table["design"] == "single"].assign(session="M12", design="follow-up")
    later = later.assign(scan_id=later["subject"] + "_M12")
    both = stand_in(people_table()).table
    both = type(both)(np.vstack([both, later]), columns=both.columns)
    splits = deal_people(both, 0)
    for name in ("gallery", "query", "never_trained"):
        assert both["subject"].iloc[splits.parts()[name]].is_unique
    assert both["subject"].iloc[splits.train].value_counts().unique() == [2]


def test_who_has_which_part_does_not_depend_on_the_order_of_rows():
    table = people_table()
    mixed = table.sample(frac=1, random_state=0).reset_index(drop=True)
    assert splits_checksum(table, deal_people(table, 7)) == splits_checksum(
        mixed, deal_people(mixed, 7)
    )
    assert splits_checksum(table, deal_people(table, 7)) != splits_checksum(
        table, deal_people(table, 8)
    )


def test_the_splits_of_these_people_are_the_same_on_every_machine():
    table = people_table()[["subject", "diagnosis", "design"]]
    found = splits_checksum(table, deal_people(table, 0))
    assert found == "84dd2c9955965a38c9b34380035f1e7d520b04bd6f1d896b1352113a5318237d"


def test_a_person_with_two_parts_is_refused():
    cohort = stand_in(people_table())
    splits = deal_people(cohort.table, 0)
    leaking = replace(splits, query=np.append(splits.query, splits.train[:1]))
    with pytest.raises(LeakError, match=cohort.table["subject"].iloc[splits.train[0]]):
        check_splits(cohort, leaking)


def test_one_image_under_two_names_is_refused():
    table = people_table()
    splits = deal_people(table, 0)
    table.loc[splits.gallery[0], "image_hash"] = table.loc[splits.query[0], "image_hash"]
    with pytest.raises(LeakError, match="one image under the names"):
        archive(table)


def test_checksums_know_every_person_and_every_voxel_but_no_order():
    table = people_table()
    mixed = table.sample(frac=1, random_state=0)
    assert people_checksum(table) == people_checksum(mixed)
    assert images_checksum(table) == images_checksum(mixed)
    older, other = table.copy(), table.copy()
    older.loc[3, "age"] += 0.1
    other.loc[3, "image_hash"] = "another"
    assert people_checksum(older) != people_checksum(table) == people_checksum(other)
    assert images_checksum(other) != images_checksum(table) == images_checksum(older)


def test_a_cohort_is_verified_by_what_was_published(monkeypatch):
    found = archive()
    assert found.verified == "unpublished"

    def published(checksums: Checksums) -> None:
        monkeypatch.setattr(archive_module, "PUBLISHED", {("stand-in", 0): checksums})

    published(found.checksums)
    assert archive_of(found.cohort, "stand-in", 0).verified == "published"
    published(replace(found.checksums, images="rounded otherwise"))
    assert archive_of(found.cohort, "stand-in", 0).verified == "same people, other voxels"
    published(replace(found.checksums, images=""))
    assert archive_of(found.cohort, "stand-in", 0).verified == "same people, no voxels published"
    published(replace(found.checksums, people="others"))
    with pytest.raises(CohortError, match="people with the checksum"):
        archive_of(found.cohort, "stand-in", 0)
    published(replace(found.checksums, splits="others"))
    with pytest.raises(CohortError, match="splits with the checksum"):
        archive_of(found.cohort, "stand-in", 0)


def test_seeds_to_develop_on_and_seeds_to_report_on_are_different():
    assert not set(DEVELOPMENT_SEEDS) & set(REPORT_SEEDS)
    assert [role_of_seed(s) for s in (DEVELOPMENT_SEEDS[0], REPORT_SEEDS[0], 77)] == [
        "development",
        "report",
        "other",
    ]


@pytest.mark.parametrize("seed", [*DEVELOPMENT_SEEDS, *REPORT_SEEDS])
def test_the_published_people_are_those_that_are_drawn(seed):
    people = drawn_people("bench", seed)
    published = PUBLISHED["bench", seed]
    assert people_checksum(people) == published.people
    assert splits_checksum(people, deal_people(people, seed)) == published.splits


def test_people_are_drawn_as_their_cohort_shows_them(tiny):
    assert people_checksum(drawn_people("tiny", 0)) == people_checksum(tiny.table)
