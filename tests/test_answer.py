"""The whole answer to a search, on simulated people and a real local code."""

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from braincase.answer.compose import answer
from braincase.answer.outcomes import OutcomeVisit, SeenAgain, seen_again
from braincase.cohort.cohort import Cohort
from braincase.cohort.derivatives import IMAGE_ENDING, write_image
from braincase.errors import FilterError, TooFewPeopleError, UsageError
from braincase.gallery import Gallery, Hit, NewCase, Query, create_gallery
from braincase.images.geometry import HALF_GRID
from braincase.population.disease_axes import disease_axes_of
from braincase.population.neighbour_labels import calibrate
from braincase.population.typicality import nearest_distances
from braincase.population.usual import FEWEST_PEOPLE, usual_of
from braincase.report.wording import sections_of
from braincase.search.nearest import search
from braincase.search.options import SearchOptions
from braincase.search.pipeline import FinishedSearch, search_by_case
from cells import MODEL, cell_means
from cells import gallery_of as indexed_gallery
from gallery_cases import some_cases, some_codes


def gallery_of(cohort: Cohort, folder: Path) -> Gallery:
    """A gallery of which nothing has been learned yet: indexing learns ahead."""
    gallery = indexed_gallery(cohort, folder)
    shutil.rmtree(gallery.cache_folder)
    return gallery


@pytest.fixture(scope="module")
def gallery(clinic, tmp_path_factory):
    opened = gallery_of(clinic, tmp_path_factory.mktemp("answer") / "g")
    yield opened
    opened.close()


def search_for(gallery, scan_id, **settings):
    case = gallery.get(scan_id)
    query = Query(
        case.code, MODEL, subject=case.subject, scan_id=scan_id, labels=case.labels, **settings
    )
    return FinishedSearch(gallery, query, search(gallery, query))


@pytest.fixture(scope="module")
def patient(clinic):
    table = clinic.table
    return str(table[table["diagnosis"] == "AD"]["scan_id"].iloc[0])


def test_an_answer_joins_what_the_parts_say(gallery, patient):
    answered = answer(search_for(gallery, patient, k=5))
    assert answered.label == "diagnosis"
    assert answered.score == "true_severity"
    assert answered.calibration.to_json() == calibrate(gallery, "diagnosis", 5).to_json()
    assert answered.neighbours.people == len({hit.hit.subject for hit in answered.hits})
    assert sum(answered.neighbours.probabilities.values()) == pytest.approx(1)
    null = nearest_distances(gallery)
    as_far = (null >= answered.hits[0].hit.distance).sum()
    assert answered.typicality.p_value == pytest.approx((1 + as_far) / (1 + len(null)))
    for hit in answered.hits:
        shares = [share for _, share in hit.regions]
        assert len(shares) == 5
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 1


def test_an_answer_is_plain_json(gallery, patient):
    content = json.loads(json.dumps(answer(search_for(gallery, patient, k=3)).to_json()))
    assert {"hits", "same_subject", "neighbours", "typicality", "normality", "notes"} <= set(
        content
    )
    assert content["typicality"]["unlike"] is False
    assert content["neighbours"]["shares"][0].keys() == {
        "value", "share", "low", "high", "probability"
    }  # fmt: skip


def test_what_became_of_each_hit_is_that_of_its_person(gallery, clinic):
    visits = clinic.table.groupby("subject")["scan_id"].count()
    subject = str(visits[visits > 1].index[0])
    first, later = sorted(gallery.person(subject), key=lambda case: case.labels["age"])[:2]
    query = Query(first.code, MODEL, k=1, subject="somebody else")
    answered = answer(FinishedSearch(gallery, query, search(gallery, query)))
    assert answered.hits[0].hit.scan_id == first.scan_id
    outcome = answered.hits[0].outcome[0]
    assert outcome.scan_id == later.scan_id
    assert outcome.age == later.labels["age"]
    assert outcome.years == pytest.approx(later.labels["age"] - first.labels["age"], abs=0.01)
    assert (outcome.label, outcome.score) == (
        later.labels["diagnosis"], later.labels["true_severity"]
    )  # fmt: skip


def test_what_was_learned_is_kept_and_used_until_the_gallery_changes(clinic, tmp_path):
    gallery = gallery_of(clinic, tmp_path / "g")
    scan_id = str(clinic.table["scan_id"].iloc[0])
    before = answer(search_for(gallery, scan_id, k=4))
    written = {path: path.stat().st_ino for path in gallery.cache_folder.iterdir()}
    kinds = {path.name.split("-")[0] for path in written}
    assert kinds == {"calibration", "distances", "usual", "split", "pairs"}
    assert answer(search_for(gallery, scan_id, k=4)).to_json() == before.to_json()
    assert written == {path: path.stat().st_ino for path in written}  # no file was made anew
    # One forged number shows that the file is what is read.
    (distances,) = (path for path in written if path.name.startswith("distances"))
    forged = json.loads(distances.read_text())
    forged["learned"] = [0.0] * 99
    distances.write_text(json.dumps(forged))
    assert answer(search_for(gallery, scan_id, k=4)).typicality.people == 99
    distances.write_text("{ damaged")
    assert answer(search_for(gallery, scan_id, k=4)).to_json() == before.to_json()
    gallery.remove([str(clinic.table["scan_id"].iloc[-1])])
    answer(search_for(gallery, scan_id, k=4))
    assert not any(path.exists() for path in written)  # those of the version before are gone
    gallery.close()


def test_what_was_learned_at_an_earlier_version_holds_where_that_is_said(clinic, tmp_path):
    gallery = gallery_of(clinic, tmp_path / "g")
    scan_id = str(clinic.table["scan_id"].iloc[0])
    first = answer(search_for(gallery, scan_id, k=4), normality=True)
    said = [line for _, lines in sections_of(first) for line in lines]
    assert any("regions; by chance" in line for line in said)
    version = first.result.gallery_version
    files = {path.name for path in gallery.cache_folder.iterdir()}
    gallery.remove([str(clinic.table["scan_id"].iloc[-1])])
    later = answer(replace(search_for(gallery, scan_id, k=4), learned_at=version), normality=True)
    assert {path.name for path in gallery.cache_folder.iterdir()} == files
    assert later.result.gallery_version == version + 1
    assert later.typicality.people == first.typicality.people
    assert later.calibration.to_json() == first.calibration.to_json()
    assert later.normality.by_region == first.normality.by_region
    anew = answer(search_for(gallery, scan_id, k=4), normality=True)
    assert anew.calibration.to_json() != first.calibration.to_json()
    gone = {name for name in files if not (gallery.cache_folder / name).exists()}
    assert gone == files - {"regions.npz"}
    gallery.close()


def test_too_few_images_for_a_spread_are_looked_for_again(tmp_path):
    rng = np.random.default_rng(0)
    cases = []
    for n, code in enumerate(some_codes(FEWEST_PEOPLE)):
        image = f"{n}{IMAGE_ENDING}"
        volume = rng.integers(0, 256, HALF_GRID.shape).astype(np.uint8)
        write_image(tmp_path / image, volume, HALF_GRID)
        image_hash = sha256(volume.tobytes()).hexdigest()
        cases.append(
            NewCase(f"sub-{n}", str(n), code, cohort=tmp_path, image=image, image_hash=image_hash)
        )
    gallery = create_gallery(tmp_path / "g", MODEL, 4)
    gallery.add(cases, MODEL)
    (tmp_path / f"0{IMAGE_ENDING}").rename(tmp_path / "away")
    assert usual_of(gallery).spread is None
    (tmp_path / "away").rename(tmp_path / f"0{IMAGE_ENDING}")
    usual = usual_of(gallery)
    assert usual.controls is None
    assert usual.spread.n == FEWEST_PEOPLE
    for n in range(FEWEST_PEOPLE):
        (tmp_path / f"{n}{IMAGE_ENDING}").unlink()
    cached = usual_of(gallery).spread
    np.testing.assert_array_equal(cached.deviation, usual.spread.deviation)
    gallery.close()


def test_another_filter_or_weighting_is_learned_anew(gallery, patient):
    plain = answer(search_for(gallery, patient, k=4)).typicality.distance
    women = answer(search_for(gallery, patient, k=4, where="sex = 'F'"))
    corner = np.zeros(150)
    corner[72] = 1.0
    weighted = answer(search_for(gallery, patient, k=4, weights=corner))
    assert women.typicality.people == 29  # women alone
    assert weighted.typicality.distance < plain
    assert weighted.typicality.p_value > 0.05


def test_a_folder_that_cannot_be_written_costs_only_time(clinic, tmp_path):
    gallery = gallery_of(clinic, tmp_path / "g")
    gallery.cache_folder.write_text("in the way")
    assert answer(search_for(gallery, str(clinic.table["scan_id"].iloc[0]))).typicality
    gallery.close()


def test_a_small_gallery_gives_shares_without_calibration_or_p_value(tmp_path):
    gallery = create_gallery(tmp_path / "g", "a" * 64, 4)
    gallery.add(some_cases(10), "a" * 64)
    query = Query(some_cases(1)[0].code, "a" * 64, k=3, subject="x")
    answered = answer(FinishedSearch(gallery, query, search(gallery, query)))
    assert answered.neighbours.shares
    assert answered.calibration is None
    assert answered.typicality is None
    gallery.close()


def test_a_gallery_of_codes_without_places_or_labels_answers_too(tmp_path):
    gallery = create_gallery(tmp_path / "g", "m", 4, n_dimensions=2)
    gallery.add([NewCase("sub-a", "a", [0.0, 1.0]), NewCase("sub-b", "b", [1.0, 0.0])], "m")
    query = Query([0.0, 0.5], "m", k=1)
    answered = answer(FinishedSearch(gallery, query, search(gallery, query)))
    assert answered.hits[0].regions == ()
    assert (answered.label, answered.neighbours) == (None, None)
    gallery.close()


@pytest.mark.parametrize(
    ("people", "told"),
    [
        (6, "how usual a distance is (20) or which parts are alike (10)"),
        (15, "how usual a distance is (20)"),
        (20, ""),
    ],
)
def test_what_a_small_gallery_cannot_tell_is_a_note(tmp_path, people, told):
    gallery = create_gallery(tmp_path / "g", MODEL, 4)
    gallery.add(some_cases(people, scans_each=1), MODEL)
    notes = answer(search_for(gallery, "sub-000_ses-1", k=3)).notes
    gallery.close()
    note = f"The gallery has {people} people: too few to say {told}."
    assert (note in notes) == bool(told)
    assert bool(told) == any("too few to say" in one for one in notes)


def test_what_became_of_all_hits_is_counted_in_one_line(tmp_path):
    courses = {
        "a": [("M00", 70.0, "MCI"), ("M12", 71.0, "MCI"), ("M30", 72.5, "AD")],
        "b": [("M00", 65.0, "MCI"), ("M12", 66.0, "AD")],
        "c": [("M00", 80.0, "CN"), ("M24", 82.0, "CN")],
        "d": [("M00", 75.0, "CN")],
    }
    cases = [
        NewCase(f"sub-{name}_ses-{s}", name, [place, float(s != "M00")], s,
                {"age": age, "diagnosis": label})
        for place, (name, visits) in enumerate(courses.items())
        for s, age, label in visits
    ]  # fmt: skip
    gallery = create_gallery(tmp_path / "g", "m", 4, n_dimensions=2)
    gallery.add(cases, "m")
    query = Query([0.0, 0.0], "m", k=4, subject="nobody")
    answered = answer(FinishedSearch(gallery, query, search(gallery, query)))
    gallery.close()
    assert dict(sections_of(answered))["What became of them"] == (
        "1. sub-a_ses-M00: MCI -> after 1.0 y MCI -> after 2.5 y AD",
        "2. sub-b_ses-M00: MCI -> after 1.0 y AD",
        "3. sub-c_ses-M00: CN -> after 2.0 y CN",
        "seen again: 3 of 4 people, last after 1.0 to 2.5 y; diagnosis changed in 2 of 3"
        " (MCI to AD 2)",
    )
    assert answered.to_json()["seen_again"] == {
        "seen": 3,
        "years": [1.0, 2.5],
        "known": 3,
        "changes": [{"before": "MCI", "after": "AD", "people": 2}],
    }


def test_a_label_counts_as_kept_or_changed_only_where_both_ends_know_it():
    def seen(before, after, column="diagnosis"):
        labels = {} if before is None else {"diagnosis": before}
        hit = Hit(1, "s", "s", None, 1.0, 0.5, labels)
        return seen_again([(hit, [OutcomeVisit("v", None, None, None, after, None)])], column)

    assert seen("CN", None).known == seen(None, "AD").known == 0
    assert seen("CN", "AD", column=None) == SeenAgain(1, None, 0, ())
    assert seen("CN", "CN") == SeenAgain(1, None, 1, ())
    assert seen_again([], "diagnosis") is None


def test_where_the_usual_label_is_missing_those_that_are_there_are_named(tmp_path):
    gallery = create_gallery(tmp_path / "g", "m", 4, n_dimensions=2)
    labels = {"group": "patient", "age": 70.0, "mmse": 21}
    gallery.add([NewCase(f"sub-{n}", f"{n}", [n, 1.0], labels=labels) for n in range(3)], "m")
    query = Query([0.0, 0.5], "m", k=1)
    found = FinishedSearch(gallery, query, search(gallery, query))
    note = "Neighbours vote on nothing: no column 'diagnosis'. Name a label: group."
    assert note in answer(found).notes
    assert note not in answer(found, "group").notes
    gallery.close()


def test_an_unknown_label_is_told(gallery, patient):
    with pytest.raises(UsageError, match=r"no column .diagnose..*Did you mean diagnosis"):
        answer(search_for(gallery, patient), "diagnose")


def test_normality_is_told_for_query_and_hits(gallery, patient):
    answered = answer(search_for(gallery, patient, k=5), normality=True)
    assert answered.normality.controls == 32
    for hit in answered.hits:
        assert set(hit.normality.by_region) == set(answered.normality.by_region)
        assert hit.alike.normal_anatomy > 0
        assert hit.alike.abnormality >= 0
    again = answer(search_for(gallery, patient, k=5), normality=True)
    assert again.to_json() == answered.to_json()


def test_the_controls_are_those_whom_the_user_names(gallery, patient):
    healthy = [c for c in gallery.one_scan_each(99) if c.labels["diagnosis"] == "CN"]
    youngest = f"age < {sorted(case.labels['age'] for case in healthy)[26]:.9f}"
    options = SearchOptions(k=3, controls=f"diagnosis = 'CN' and {youngest}")
    chosen = answer(search_by_case(gallery, patient, options), normality=True)
    assert chosen.normality.controls == 26
    assert f"The controls are those who pass: {options.controls}." in chosen.notes
    usual = answer(search_by_case(gallery, patient, SearchOptions(k=3)), normality=True)
    assert usual.normality.controls == 32
    assert usual.hits[0].alike != chosen.hits[0].alike
    assert not any("controls are those" in note for note in usual.notes)
    axes = disease_axes_of(gallery, controls=options.controls)
    assert (axes.controls, axes.kinds) == (26, ("AD",))
    ranked = search_by_case(gallery, patient, replace(options, similar_by="abnormality"))
    assert "from 26 controls" in ranked.result.notes[-1]
    few = answer(
        search_by_case(gallery, patient, SearchOptions(controls="age < 1")), normality=True
    )
    assert any("0 controls with age" in note for note in few.notes)
    for wrong, said in (("cdr = 0", "no column 'cdr'"), ("age =", "")):
        with pytest.raises(FilterError, match=f"^controls: .*{said}"):
            search_by_case(gallery, patient, SearchOptions(controls=wrong))


def test_of_an_age_without_controls_an_answer_says_not_known_here(gallery, patient):
    finished = search_for(gallery, patient, k=3)
    labels = {**finished.query.labels, "age": 39}
    finished = replace(finished, query=replace(finished.query, labels=labels))
    answered = answer(finished, normality=True)
    told = dict(sections_of(answered))["Brightness beyond normal for age and sex"]
    assert len(told) == 1
    assert "not known here: the gallery's 32 controls are" in told[0]
    assert answered.to_json()["normality"]["abnormal"] is None
    assert answered.hits[0].normality.known


def test_a_hit_is_closer_than_the_share_of_pairs_that_lie_farther_apart(gallery, patient):
    people = gallery.one_scan_each(500)
    codes = np.stack([case.code for case in people]).astype(float)
    apart = np.linalg.norm(codes[:, None] - codes, axis=2)[np.triu_indices(len(codes), 1)]
    for hit in answer(search_for(gallery, patient, k=5)).hits:
        assert hit.closer_than == pytest.approx((apart > hit.hit.distance).mean(), abs=0.02)
    by_axes = replace(search_for(gallery, patient, k=5), similar_by="abnormality")
    assert {hit.closer_than for hit in answer(by_axes).hits} == {None}


def test_damaged_files_are_learned_again(clinic, tmp_path):
    gallery = gallery_of(clinic, tmp_path / "g")
    scan_id = str(clinic.table["scan_id"].iloc[0])
    before = answer(search_for(gallery, scan_id, k=4), normality=True).to_json()
    files = list(gallery.cache_folder.iterdir())
    assert {path.suffix for path in files} == {".json", ".npz"}
    for keep in (0, 100, 3000):
        for path in files:
            path.write_bytes(path.read_bytes()[:keep])
        assert answer(search_for(gallery, scan_id, k=4), normality=True).to_json() == before
    gallery.close()


def test_a_changed_image_of_somebody_is_recognised_as_theirs(gallery, clinic):
    rng = np.random.default_rng(0)
    for row in range(0, len(clinic), 6):
        volume = clinic.volumes[np.array([row])][0]
        grain = np.clip(volume + rng.normal(scale=8, size=volume.shape), 1, 255)
        noisy = np.where(volume > 0, grain, 0).astype(np.uint8)
        subject = str(clinic.table["subject"].iloc[row])
        result = search(gallery, Query(cell_means(noisy[None])[0], MODEL, k=5))
        assert (result.own_subject, result.subject_detected) == (subject, True)
        assert subject not in {hit.subject for hit in result.hits}
        assert result.same_subject[0].distance > 0


def test_patients_are_less_normal_where_the_disease_acts(gallery, clinic):
    def ventricular_z(diagnosis):
        chosen = clinic.table[clinic.table["diagnosis"] == diagnosis].drop_duplicates("subject")
        values = []
        for scan_id in chosen["scan_id"]:
            own = answer(search_for(gallery, str(scan_id), k=1), normality=True).normality
            if own.known:  # some are older than every control
                values.append(own.by_region["right-lateral-ventricle"])
        return np.array(values)

    controls, patients = ventricular_z("CN"), ventricular_z("AD")
    assert abs(controls.mean()) < 0.5
    assert patients.mean() < controls.mean() - 0.25  # fluid is dark


def test_patients_are_told_apart_by_abnormality_and_not_by_normal_anatomy(gallery, clinic):
    axes = disease_axes_of(gallery)
    assert (axes.controls, axes.kinds) == (32, ("AD",))
    cases = gallery.one_scan_each(1000)
    build, illness = axes.parts([c.code for c in cases], [c.labels for c in cases])
    ill = np.array([case.labels["diagnosis"] == "AD" for case in cases])
    np.testing.assert_allclose(illness[~ill].mean(), 0, atol=1e-6)
    assert abs(illness[ill].mean()) > 3 * illness[~ill].std()
    # Nothing that the direction knows is left in the rest.
    np.testing.assert_allclose(build @ axes.directions, 0, atol=1e-6)
    older = [{**case.labels, "age": case.labels["age"] + 20} for case in cases]
    assert not np.allclose(axes.parts([c.code for c in cases], older)[1], illness)


def test_a_unit_of_abnormality_is_the_spread_of_controls_never_seen(tmp_path):
    rng = np.random.default_rng(0)
    mixing = np.eye(150) + 0.1 * rng.normal(size=(150, 150))
    shift = np.zeros(150)
    shift[:20] = 1.0

    def people(n, kind, seed):
        draw = np.random.default_rng(seed)
        for i in range(n):
            age, sex = float(draw.uniform(60, 85)), "FM"[i % 2]
            code = (draw.normal(size=150) + (kind == "AD") * shift) @ mixing + 0.05 * (age - 70)
            labels = {"diagnosis": kind, "age": age, "sex": sex}
            yield NewCase(f"sub-{kind}{seed}x{i}", f"{kind}{seed}x{i}", code, labels=labels)

    for n in (60, 300):
        gallery = create_gallery(tmp_path / str(n), "m", 4)
        gallery.add([*people(n, "CN", 1), *people(n, "AD", 2)], "m")
        axes = disease_axes_of(gallery)
        new = [list(people(500, kind, 9)) for kind in ("CN", "AD")]
        well, ill = (
            axes.parts([c.code for c in cases], [c.labels for c in cases])[1][:, 0] for cases in new
        )
        # Few controls: the direction is drawn to where the patients happened to be.
        assert well.mean() == pytest.approx(0, abs=0.6 if n == 60 else 0.2)
        assert well.std() == pytest.approx(1, abs=0.2)
        assert abs(ill.mean() - well.mean()) > 1
        ages = np.array([case.labels["age"] for case in new[0]])
        assert abs(np.corrcoef(ages, well)[0, 1]) < 0.25
        gallery.close()


def test_normal_anatomy_is_without_what_varies_more_among_patients(tmp_path):
    rng = np.random.default_rng(3)
    cases = []
    for i in range(240):
        ill = i % 2
        code = rng.normal(size=150)
        code[0] += 2.0 * ill  # a shift: the disease axis
        code[1] *= 5.0 if ill else 1.0  # no shift, but patients differ far more
        labels = {
            "diagnosis": ("CN", "AD")[ill],
            "age": float(60 + i % 25),
            "sex": "FM"[i // 2 % 2],
        }
        cases.append(NewCase(f"sub-{i}", str(i), code, labels=labels))
    gallery = create_gallery(tmp_path / "g", "m", 4)
    gallery.add(cases, "m")
    axes = disease_axes_of(gallery)
    gallery.close()
    assert axes.n_axes == 1 < axes.directions.shape[1]
    unit = np.eye(150)
    labels = [{"age": 70.0, "sex": "F"}] * 150
    moved = np.diag(axes.parts(unit, labels)[0] - axes.parts(0 * unit, labels)[0]) * axes.deviation
    assert (moved[:2] < 0.5).all()
    assert np.median(moved[2:]) > 0.9
    build, abnormality = axes.parts([c.code for c in cases], [c.labels for c in cases])
    assert abnormality.shape == (240, 1)
    ill = np.arange(240) % 2 == 1
    ratio = (build[ill] ** 2).mean(axis=0) / (build[~ill] ** 2).mean(axis=0)
    assert ratio.max() < 3


def test_without_enough_patients_there_are_no_disease_axes(tiny, tmp_path):
    gallery = gallery_of(tiny, tmp_path / "g")
    for _ in range(2):  # learned, then read again
        with pytest.raises(TooFewPeopleError, match="12 controls with age and sex"):
            disease_axes_of(gallery)
    gallery.close()


def test_erasing_a_person_erases_what_was_learned_from_them(clinic, tmp_path):
    gallery = gallery_of(clinic, tmp_path / "g")
    scan_id = str(clinic.table["scan_id"].iloc[0])
    answer(search_for(gallery, scan_id, k=4), normality=True)
    assert (gallery.cache_folder / "regions.npz").exists()
    gallery.remove([scan_id], erase=True)
    assert not gallery.cache_folder.exists()
    gallery.close()


def test_too_few_controls_are_a_note_and_no_error(tiny, tmp_path):
    gallery = gallery_of(tiny, tmp_path / "g")
    answered = answer(search_for(gallery, str(tiny.table["scan_id"].iloc[0])), normality=True)
    assert answered.normality is None
    assert any("12 controls" in note for note in answered.notes)
    gallery.close()


@pytest.fixture
def two_kinds(tmp_path):
    """Forty people of a kind about 0, forty of another five deviations away."""
    rng = np.random.default_rng(0)
    cases = [
        NewCase(f"sub-{kind}{i}", f"{kind}{i}", rng.normal([5.0 * (kind == "AD"), 0.0]),
                labels={"diagnosis": kind, "age": float(60 + i % 20)})
        for kind in ("CN", "AD")
        for i in range(40)
    ]  # fmt: skip
    gallery = create_gallery(tmp_path / "g", "m", 4, n_dimensions=2)
    gallery.add(cases, "m")
    yield gallery
    gallery.close()


def test_under_a_filter_the_query_is_judged_against_the_people_who_pass_it(two_kinds):
    """Against everybody's nearest of a kind a healthy query among patients was 'close as usual'."""
    query = Query([0.0, 0.0], "m", k=5, where="diagnosis = 'AD'", subject="new")
    answered = answer(FinishedSearch(two_kinds, query, search(two_kinds, query)))
    assert not answered.typicality.similar
    assert answered.typicality.people == 40
    assert "No similar case among those who pass the filter" in answered.typicality.line()
    assert answered.calibration is None  # they have one label
    patient = replace(query, code=[5.0, 0.0])
    alike = answer(FinishedSearch(two_kinds, patient, search(two_kinds, patient)))
    assert alike.typicality.similar
    nobody = replace(query, where="diagnosis = 'MCI'")
    empty = answer(FinishedSearch(two_kinds, nobody, search(two_kinds, nobody)))
    assert (empty.hits, empty.typicality, empty.calibration) == ((), None, None)


def test_an_answer_tells_how_close_the_nearest_case_is_as_a_rule(two_kinds):
    """The nearest of many is closer than nearly all pairs even among strangers."""
    query = Query([2.5, 0.0], "m", k=3, subject="new")
    answered = answer(FinishedSearch(two_kinds, query, search(two_kinds, query)))
    people = two_kinds.one_scan_each(80)
    apart = np.array([np.linalg.norm(a.code - b.code) for a in people for b in people if a != b])
    first = nearest_distances(two_kinds)
    expected = (apart > np.median(first)).mean()
    assert answered.usually_closer_than == pytest.approx(expected, abs=0.02)
    assert answered.hits[0].closer_than < answered.usually_closer_than
    lines = dict(sections_of(answered))["How usual such a distance is"]
    assert lines[-1].startswith("as a rule the nearest case of a person here is closer than 9")


def test_of_a_moved_query_the_scan_itself_is_judged_and_that_is_said(two_kinds):
    own = np.array([2.5, 20.0], np.float32)
    query = Query([0.0, 0.0], "m", k=5, subject="new", own_code=own)
    found = FinishedSearch(two_kinds, query, search(two_kinds, query))
    moved = answer(found).typicality
    assert not moved.similar
    assert moved.line().startswith("For the scan itself, unmoved: No similar case in this gallery")
    assert answer(replace(found, query=replace(query, own_code=None))).typicality.judged == ""
