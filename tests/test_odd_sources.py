"""Folders and tables as labs have them: who is who and what a cell means, in odd kinds."""

from __future__ import annotations

from pathlib import Path

import pytest

from braincase.errors import UsageError
from braincase.sources.find import find_scans
from refusals import refused
from source_files import bids, image, text


def put(root: Path, *names: str) -> None:
    for mark, name in enumerate(names):
        image(root / name, mark)


def found(root: Path) -> list[str]:
    return sorted(scan.scan_id for scan in find_scans(root)[0])


def paths(root: Path) -> list[str]:
    return sorted(str(scan.path.relative_to(root)) for scan in find_scans(root)[0])


# ---- what programs leave beside a scan is nobody: by a rule, not by a list of names ----


@pytest.mark.parametrize(
    "names",
    [
        # dcm2niix: other volumes of a series, a letter where names clash, slice numbers
        ("S1_t1_mpragea", "S1_t1_mprage_i00001", "S1_t1_mprage_ROI1"),
        # SPM and CAT12: any chain of operations before the name
        ("wmS1_T1", "smwc1S1_T1", "s8mwc1S1_T1", "miS1_T1", "smwp1S1_T1", "wj_S1_T1"),
        # ANTs
        ("S1_ACT_BrainExtractionMask", "S1_ACT_ExtractedBrain0N4", "S1_ACT_CorticalThickness"),
        ("S1_ACT_BrainSegmentationPosteriors1", "S1_ACT_SubjectToTemplateLogJacobian"),
        # BrainSuite, CIVET, AFNI, FreeSurfer, FastSurfer, SynthSeg
        ("S1_T1.bse", "S1_T1.pvc.frac", "S1_classify", "S1_T1_tal", "S1_T1_nuc"),
        ("anatQQ.S1_T1", "anatSS.S1_T1", "S1_T1_ns_at", "S1_T1_uni"),
        ("S1_wm", "S1_brain.finalsurfs", "S1_fastsurfer", "S1_synthseg", "S1_T1_synthsr"),
        # file managers
        ("S1_T1 (1)", "S1_T1 - Copy", "S1_T1 - Kopie", "Copy of S1_T1", "S1_T1 copy"),
    ],
)
def test_a_name_that_holds_another_whole_is_no_person(tmp_path, names):
    put(tmp_path, "S1_T1.nii.gz", "S2_T1.nii.gz", *(f"{name}.nii.gz" for name in names))
    assert paths(tmp_path) == ["S1_T1.nii.gz", "S2_T1.nii.gz"]
    assert len(find_scans(tmp_path)[1].dropped) == len(names)


@pytest.mark.parametrize(
    "names",
    [
        ("S1.nii", "S10.nii", "S11.nii"),
        ("1.nii", "1_2.nii"),
        ("101a.nii", "101b.nii"),
        ("control_01.nii", "control_02.nii"),
        ("maria.nii", "maria_luisa.nii"),
        ("P1_T1.nii", "SP1x_T1.nii"),
    ],
)
def test_names_that_only_begin_alike_are_people(tmp_path, names):
    put(tmp_path, *names)
    assert find_scans(tmp_path)[1].people == len(names)


def test_all_below_freesurfers_mri_is_the_one_persons(tmp_path):
    put(tmp_path, *(f"{who}/mri/{n}.mgz" for who in ("a", "b") for n in ("orig", "orig/001")))
    put(tmp_path, "b/mri/orig/002.mgz", "b/mri/transforms/x.nii")
    assert paths(tmp_path) == ["a/mri/orig.mgz", "b/mri/orig.mgz"]


# ---- contrast medium, by the names of files ----


@pytest.mark.parametrize(
    ("plain", "enhanced"),
    [
        ("P1_T1", "P1_T1_post"),
        ("P1_T1", "P1_T1_Gd"),
        ("P1_T1", "P1_T1c"),
        ("P1_T1", "P1_T1_KM"),
        ("P1_T1", "P1_T1+C"),
        ("P1_T1_nativ", "P1_T1_mitKM"),
        ("P1_T1", "P1_T1_造影"),
        ("P1_T1_sans_injection", "P1_T1_gado"),
        ("P1-t1n", "P1-t1c"),
    ],
)
def test_the_plain_image_is_used_and_the_other_is_the_same_person(tmp_path, plain, enhanced):
    put(tmp_path, f"{plain}.nii", f"{enhanced}.nii", "P2_T1.nii")
    assert paths(tmp_path) == sorted([f"{plain}.nii", "P2_T1.nii"])
    ((_, why),) = find_scans(tmp_path)[1].dropped
    assert "after contrast medium by its name" in why


def test_where_only_the_enhanced_image_is_there_it_is_labelled(tmp_path):
    put(tmp_path / "folder", "P1_T1_Gd.nii", "P2_T1.nii")
    scans, _ = find_scans(tmp_path / "folder")
    assert [scan.labels.get("contrast_medium") for scan in scans] == ["yes", None]
    bids(tmp_path / "bids", "sub-1_ce-gadolinium_T1w.nii.gz")
    assert find_scans(tmp_path / "bids")[0][0].labels["contrast_medium"] == "yes"


# ---- folders ----


def test_a_number_that_comes_again_at_another_site_is_another_person(tmp_path):
    for kind, names in {
        "folders": ("siteA/001/T1.nii", "siteA/002/T1.nii", "siteB/001/T1.nii"),
        "files": ("AD/P01_T1.nii", "AD/P02_T1.nii", "CN/P01_T1.nii"),
        "places": ("Kyoto/P1_T1.nii", "Kyoto/P2_T1.nii", "Osaka/P1_T1.nii"),
        "entities": ("controls/sub-1_T1w.nii", "patients/sub-1_T1w.nii", "patients/sub-2_T1w.nii"),
    }.items():
        put(tmp_path / kind, *names)
        scans, census = find_scans(tmp_path / kind)
        assert (census.people, census.scans) == (3, 3), (kind, census.lines(True))
        assert any("one person in each" in line for scan in scans for line in scan.evidence)


@pytest.mark.parametrize("inner", [("001", "002"), ("S01", "S02"), ("P1", "P2")])
def test_numbered_folders_in_folders_without_a_number_are_refused(tmp_path, inner):
    put(tmp_path, *(f"{outer}/{name}/T1.nii" for outer in ("Kyoto", "Osaka") for name in inner))
    with refused(UsageError, "a person or a group of people"):
        find_scans(tmp_path)


def test_an_archives_folders_of_date_and_image(tmp_path):
    put(
        tmp_path,
        "3102/MPRAGE/2011-01-20_11_02_00.0/I224582/PPMI_3102_MR_MPRAGE_S101_I224582.nii",
        "3102/MPRAGE/2012-02-20_11_02_00.0/I224584/PPMI_3102_MR_MPRAGE_S102_I224584.nii",
        "3103/MPRAGE/2011-01-20_11_02_00.0/I224583/PPMI_3103_MR_MPRAGE_S103_I224583.nii",
    )
    assert found(tmp_path) == [
        "sub-3102_ses-20110120",
        "sub-3102_ses-20120220",
        "sub-3103_ses-20110120",
    ]


def test_dates_in_file_names_and_files_named_as_oasis_3_names_folders(tmp_path):
    put(tmp_path / "a", "P1_04.03.2019_T1.nii", "P1_5.3.2020_T1.nii", "P2_04.03.2019_T1.nii")
    assert found(tmp_path / "a") == [
        "sub-P1_ses-20190304",
        "sub-P1_ses-20200305",
        "sub-P2_ses-20190304",
    ]
    put(tmp_path / "b", "OAS30001_d0129_T1w.nii", "OAS30001_d0500_T1w.nii")
    assert find_scans(tmp_path / "b")[1].people == 1


LAYOUTS = """
# a visit or date behind the person in the name of a folder
P1_20190304/T1.nii P1_20200304/T1.nii -> P1_ses-20190304 P1_ses-20200304
OAS2_0001_MR1/a.nii OAS2_0001_MR2/a.nii -> OAS20001_ses-MR1 OAS20001_ses-MR2
P1-baseline/T1.nii P1-V2/T1.nii -> P1_ses-V2 P1_ses-baseline
N34_05022007/T1.nii N34_06022009/T1.nii -> N34_ses-05022007 N34_ses-06022009
P1_tp1/mri/orig.mgz P1_tp2/mri/orig.mgz -> P1_ses-tp1 P1_ses-tp2
# but the twelfth man of the controls is no twelfth month
HC_M12/T1.nii HC_M13/T1.nii -> HCM12 HCM13
HC_M12_T1.nii HC_M13_T1.nii -> HCM12T1 HCM13T1
pat_T05.nii pat_T06.nii -> patT05 patT06
F01_P1_T1.nii F01_P2_T1.nii -> F01P1T1 F01P2T1
# the folder that holds the visits is the person's
KKI/0050772/session_1/a.nii KKI/0050773/session_1/a.nii -> 0050772_ses-session1 0050773_ses-session1
Kyoto/anna/v1/a.nii Kyoto/bert/v1/a.nii -> anna_ses-v1 bert_ses-v1
# long numbers above folders of stages; folders of series
100307/unprocessed/3T/T1w_MPR1/a.nii 100307/MNINonLinear/T1w_restore.nii -> 100307
S1/003_t1_mprage/a.nii S1/005_t2_tse/a.nii -> S1
P1_pre_T1.nii P1_post_T1.nii -> P1_ses-post P1_ses-pre
# BIDS names without anat/
sub-1/ses-1/sub-1_ses-1_T1w.nii sub-1/ses-2/sub-1_ses-2_T1w.nii -> 1_ses-1 1_ses-2
"""


@pytest.mark.parametrize("layout", [line for line in LAYOUTS.split("\n") if "->" in line])
def test_people_and_visits_of_a_layout(tmp_path, layout):
    names, scans = layout.split("->")
    put(tmp_path, *names.split())
    assert found(tmp_path) == [f"sub-{scan}" for scan in scans.split()]


def test_names_alike_but_for_a_last_number_are_told(tmp_path):
    put(tmp_path, "miriad_188_AD_F_01_MR_1.nii", "miriad_188_AD_F_02_MR_1.nii", "m_189_03.nii")
    _scans, census = find_scans(tmp_path)
    assert census.people == 3
    assert any("one's visits?" in note for note in census.notes)


@pytest.mark.parametrize(
    "name",
    [
        *("MNI152_T1_1mm", "avg152T1", "mni_icbm152_t1_tal_nlin_sym_09a", "single_subj_T1", "TPM"),
        *("tpl-MNI152NLin2009cAsym_res-01_T1w", "colin27_t1", "fsaverage_T1", "ch2"),
    ],
)
def test_templates_are_nobody(tmp_path, name):
    put(tmp_path, "P1_T1.nii", f"{name}.nii")
    assert paths(tmp_path) == ["P1_T1.nii"]


def test_the_denoised_image_of_an_mp2rage_is_used(tmp_path):
    names = ("P1_UNI_Images", "P1_UNI-DEN", "P1_INV1", "P1_INV2", "P1_T1_Images", "P1_T1map")
    put(tmp_path, *(f"{name}.nii" for name in names))
    assert paths(tmp_path) == ["P1_UNI-DEN.nii"]


@pytest.mark.parametrize("bin_", ["#recycle", "@Recycle", "@eaDir", ".Trash-1000", "$RECYCLE.BIN"])
def test_bins_of_servers_are_hidden(tmp_path, bin_):
    put(tmp_path, "P1/T1.nii", f"{bin_}/P2/T1.nii")
    assert paths(tmp_path) == ["P1/T1.nii"]


def test_what_is_called_structural_comes_before_a_resting_scan(tmp_path):
    put(tmp_path, "P1/a.nii", "P1/rest.nii", "P1/structural.nii")
    assert paths(tmp_path) == ["P1/structural.nii"]


# ---- tables ----


def labels(root: Path, table: str, n: int = 2, name: str = "people.csv") -> list[dict[str, object]]:
    """Return the labels of P0, P1, ... by a table beside them."""
    put(root, *(f"P{i}.nii" for i in range(n)))
    text(root / name, table)
    return [dict(scan.labels) for scan in find_scans(root)[0]]


@pytest.mark.parametrize(
    ("written", "age"),
    [
        ("65 лет", 65),
        ("65 y/o", 65),
        ("65 Jahre alt", 65),
        ("65-year-old", 65),
        ("65 years 6 months", 65.5),
        ("65;6", 65.5),
        ("P65Y", 65),
        ("65 tahun", 65),
        ("90 years or older", 90),
        ("540 mos", 45),
        ("18 months old", 1.5),
        ("12M", 1),
        ("~65", None),
        ("65?", None),
    ],
)
def test_more_ages(tmp_path, written, age):
    rows = f"id\tage\nP0\t{written}\nP1\t60\n"
    assert labels(tmp_path, rows, name="p.tsv")[0].get("age") == age


def test_thousands_of_days_are_no_decimals(tmp_path):
    first, _ = labels(tmp_path, 'id,age\nP0,"23,741 days"\nP1,60\n')
    assert first["age"] == pytest.approx(65, abs=0.01)


@pytest.mark.parametrize(
    ("man", "woman"),
    [
        ("муж.", "жен."),
        ("мужчина", "женщина"),
        ("männl.", "weibl."),
        ("muž", "žena"),
        ("mand", "kvinde"),
        ("mies", "nainen"),
        ("férfi", "nő"),
        ("erkek", "kadın"),
        ("ชาย", "หญิง"),
        ("ذكر", "أنثى"),
        ("남자", "여자"),
        ("laki-laki", "perempuan"),
        ("M.", "F."),
    ],
)
def test_more_words_for_the_sexes(tmp_path, man, woman):
    rows = labels(tmp_path, f"id,sex\nP0,{man}\nP1,{woman}\n")
    assert [row["sex"] for row in rows] == ["M", "F"]


@pytest.mark.parametrize(
    "header",
    ["Alter in Jahren", "Age in years", "Age (years)", "Alter [J]", "age_yrs", "Lebensalter"],
)
def test_an_age_with_its_unit_in_the_header(tmp_path, header):
    assert labels(tmp_path, f"id;{header}\nP0;60\nP1;61,5\n") == [{"age": 60}, {"age": 61.5}]


@pytest.mark.parametrize("header", ["age at onset", "age_at_diagnosis", "Alter bei Beginn"])
def test_another_age_is_no_age_at_the_scan(tmp_path, header):
    assert all("age" not in row for row in labels(tmp_path, f"id;{header}\nP0;60\nP1;61\n"))


@pytest.mark.parametrize(
    "table",
    [
        "lfd. Nr.;Probanden-Nr.;age\n1;P0;60\n2;P1;61\n",
        "Nachname;Kürzel;age\nX;P0;60\nY;P1;61\n",
        "No,Code de l'étude,age\n1,P0,60\n2,P1,61\n",
        "id;scan name;age\n17;P0;60\n18;P1;61\n",
    ],
)
def test_the_column_of_people_is_the_one_whose_names_the_images_have(tmp_path, table):
    assert [row.get("age") for row in labels(tmp_path, table)] == [60, 61]


@pytest.mark.parametrize("mark", ["'", "\u2019", " ", "\u202f"])
def test_thousands_parted_by_blanks_or_apostrophes(tmp_path, mark):
    first, second = labels(tmp_path, f"id;tiv\nP0;1{mark}456,7\nP1;1{mark}512,3\n")
    assert (first["tiv"], second["tiv"]) == (1456.7, 1512.3)


def test_numbers_of_nines_are_codes_of_missing_values_and_told(tmp_path):
    rows = labels(tmp_path, "id,mmse\nP0,29\nP1,-99\nP2,999\nP3,30\n", 4)
    assert [row.get("mmse") for row in rows] == [29, None, None, 30]
    assert any("codes of missing values" in note for note in find_scans(tmp_path)[1].notes)


@pytest.mark.parametrize("cells", [("95", "99", "98"), ("-9", "-10", "3"), ("999", "1000", "800")])
def test_numbers_of_nines_among_their_like_are_numbers(tmp_path, cells):
    table = "id,x\n" + "".join(f"P{i},{cell}\n" for i, cell in enumerate(cells))
    assert [row["x"] for row in labels(tmp_path, table, 3)] == [int(cell) for cell in cells]


def test_a_file_keeps_the_zeros_that_a_spreadsheet_took(tmp_path):
    put(tmp_path, "001.nii", "002.nii", "010.nii")
    text(tmp_path / "p.csv", "ID,age\n1,60\n2,61\n10,62\n")
    scans, _ = find_scans(tmp_path)
    assert {s.subject: s.labels["age"] for s in scans} == {"001": 60, "002": 61, "010": 62}


@pytest.mark.parametrize(
    ("folders", "rows"),
    [
        (("20190304", "20200304"), "Untersuchungsdatum;dx\nP1;04.03.2019;CN\nP1;04.03.2020;AD"),
        (("20190304", "20200304"), "撮像日;dx\nP1;2019年3月4日;CN\nP1;2020年3月4日;AD"),
        (("bl", "m12"), "viscode;dx\nP1;m00;CN\nP1;m12;AD"),
        (("baseline", "followup"), "visit;dx\nP1;BL;CN\nP1;Follow-Up;AD"),
    ],
)
def test_the_row_of_a_visit_by_any_date_or_its_other_name(tmp_path, folders, rows):
    put(tmp_path, *(f"P1/{visit}/T1.nii" for visit in folders))
    text(tmp_path / "p.csv", f"id;{rows}\n")
    assert [scan.labels.get("dx") for scan in find_scans(tmp_path)[0]] == ["CN", "AD"]


def test_a_table_of_paths_from_windows_in_another_language(tmp_path):
    put(tmp_path, "x/a.nii", "x/b.nii")
    text(tmp_path / "p.csv", "Datei;Proband;Alter\nx/a.nii;1,0;60,5\nx\\b.nii;10,0;61\n")
    scans, _ = find_scans(tmp_path / "p.csv")
    assert [(s.subject, s.labels["age"]) for s in scans] == [("1", 60.5), ("10", 61)]
