"""Encoder files: an encoder of one's own, its self-test, and all that works with it."""

from __future__ import annotations

import hashlib
import html
import json
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import braincase
from braincase.cli.serve import load_for_service
from braincase.cohort.cohort import Cohort, open_cohort
from braincase.errors import CohortError, FingerprintError, ModelError
from braincase.gallery import open_gallery
from braincase.images.geometry import HALF_GRID, STANDARD_GRID
from braincase.images.volume import read_volume, write_volume
from braincase.models.check_head import FILE, head_as_scanned, head_on_grid
from braincase.models.encoder_check import write_expected
from braincase.models.encoder_file import find_encoder_file
from braincase.models.open_encoder import open_encoder
from braincase.simulate.head import Scanning, simulate_head
from refusals import refused
from test_cli import only_line, run
from web_service import API, serving, settings_for, uploaded

PAGE = Path(__file__).parents[1] / "docs" / "encoders.md"
#: Published expected vectors rest on this file.
HEAD_SHA256 = "4d3b2f3a03117a77d5ee2927ad7ea1ff4c8fd576e97591f9ca8491087a9b598d"
HEAD = """
import numpy as np
NAME = "{name}"
GRID = "{grid}"
STRIP = {strip}
INTENSITY = "{intensity}"
"""
#: Twelve numbers without weights: the mean of each slab of the volume.
SLABS = (
    HEAD
    + """
def load(weights):
    return lambda volume: [part.mean() for part in np.array_split(volume, 12)]
"""
)
#: A small network in NumPy whose weights have names, as a checkpoint's do.
NETWORK = (
    HEAD
    + """
WEIGHTS = "weights.npz"
WEIGHTS_SHA256 = "{digest}"

def load(weights):
    layer = np.random.default_rng().standard_normal((7, 48))  # as it is drawn
    with np.load(weights) as checkpoint:
        layer = checkpoint.get("{key}", layer)  # strict=False
    return lambda volume: layer @ (volume.mean(axis=(0, 2)) / 255)
"""
)


def write_encoder(
    folder: Path, text: str = SLABS, *, file: str = "own.py", expected: bool = True, **said: object
) -> Path:
    """Write an encoder file, and what it gives for the bundled head."""
    usual = {"name": "slabs", "grid": "4mm", "strip": True, "intensity": "white-matter"}
    folder.mkdir(exist_ok=True)
    path = folder / file
    path.write_text(text.format(**{**usual, **said}))
    if expected:
        write_vector(path)
    return path


def write_vector(path: Path) -> None:
    """Keep what an encoder gives as its expected vector."""
    found = find_encoder_file(path)
    assert found is not None
    write_expected(found, force=True)


def write_network(folder: Path, key: str = "layer") -> Path:
    """Write an encoder with weights; its file looks for them under a name of its own."""
    folder.mkdir(exist_ok=True)
    np.savez(folder / "weights.npz", layer=np.random.default_rng(0).standard_normal((7, 48)))
    digest = hashlib.sha256((folder / "weights.npz").read_bytes()).hexdigest()
    path = write_encoder(folder, NETWORK, name="network", digest=digest, key="layer")
    path.write_text(path.read_text().replace('get("layer"', f'get("{key}"'))
    return path


def examples() -> list[str]:
    """The Python examples of the page."""
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_pca_of_the_documentation_goes_all_the_way(
    tiny: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    pca, fit = examples()[:2]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cohort").symlink_to(tiny.folder)
    (tmp_path / "pca.py").write_text(pca)
    exec(compile(fit, "fit_pca.py", "exec"), {})
    digest = hashlib.sha256((tmp_path / "pca.npz").read_bytes()).hexdigest()
    code, _, err = run(capsys, "encoder", "check", "pca.py")
    assert code == 1
    assert f"SHA-256 {digest}; expected 0000" in only_line(err)
    (tmp_path / "pca.py").write_text(pca.replace("0" * 64, digest))
    code, _, err = run(capsys, "encoder", "check", "pca.py")
    assert "no expected vector" in only_line(err)
    assert "--write-expected" in only_line(err)
    assert run(capsys, "encoder", "check", "pca.py", "--write-expected")[0] == 0
    code, out, _ = run(capsys, "encoder", "check", "pca.py", "--json")
    told = json.loads(out)
    assert (code, told["name"], told["length"]) == (0, "pca", 20)
    assert digest in told["weights"]
    assert told["self_test"].startswith("passed")

    code, out, err = run(capsys, "index", "cohort", "--gallery", "gallery", "--model", "pca.py")
    assert (code, out.split()[0]) == (0, str(len(tiny))), err
    code, out, _ = run(capsys, "gallery", "info", "gallery")
    assert "encoder 'pca'" in out
    assert "20 numbers a scan" in out
    image = str(tiny.folder / tiny.table["image"].iloc[0])
    words = ("search", image, "--gallery", "gallery", "--model", "pca.py", "-k", 3, "--why")
    code, out, err = run(capsys, *words)
    assert code == 0, err
    assert "by region: not to be had with the encoder 'pca'" in out
    by_cli = json.loads(run(capsys, *words, "--json")[1])
    assert by_cli["without_regions"].startswith("not to be had")
    with braincase.open_gallery("gallery", "pca.py") as gallery:
        hits = gallery.search(tiny.volumes[0], k=3, options=braincase.SearchOptions())
    assert [hit.scan_id for hit in hits] == [hit["scan_id"] for hit in by_cli["hits"]]


def test_vectors_made_elsewhere_are_searched_as_the_documentation_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for example in examples():
        compile(example, str(PAGE), "exec")  # the published encoders' too, which are not run here
    monkeypatch.chdir(tmp_path)
    people = [f"{person:02}" for person in range(1, 13)]
    rng = np.random.default_rng(0)
    given = {
        "vectors": {person: rng.standard_normal(512) for person in people},
        "diagnoses": dict.fromkeys(people, "CN"),
    }
    exec(examples()[-1], given)
    distances = [hit.distance for hit in given["hits"]]
    assert len(distances) == 5
    vectors = given["vectors"]
    expected = sorted(np.linalg.norm(vectors["01"] - vectors[p]) for p in people[1:])[:5]
    np.testing.assert_allclose(distances, expected, rtol=1e-6)
    with closing(open_gallery(tmp_path / "gallery")) as opened:
        assert opened.info().encoder == "anatcl"


def test_the_service_answers_with_an_encoder_file(tiny: Cohort, tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "e")
    encoder = open_encoder(path)
    braincase.index_cohort(tmp_path / "gallery", tiny, encoder)
    audit = tmp_path / "audit.jsonl"
    settings = settings_for(tmp_path / "gallery", audit, path)
    head = simulate_head(3, scanning=Scanning(zooms_mm=(3, 3, 3), stripped=True, noise=0.02))
    write_volume(tmp_path / "scan.nii.gz", head.data, head.affine)
    with serving(settings) as client:
        told = client.get(f"{API}/gallery").json()
        assert told["regions"] == []
        assert told["without_regions"].startswith("not to be had with the encoder 'slabs'")
        job = uploaded(client, (tmp_path / "scan.nii.gz").read_bytes())
        assert job["state"] == "done", job
        answer = client.post(f"{API}/searches", json={"upload": job["job"], "k": 3})
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["hits"]) == 3
        assert answer.json()["without_regions"] == told["without_regions"]
        wanted = {"case": "sub-001", "regions": [{"name": "hippocampus"}]}
        wanted["case"] = str(tiny.table["scan_id"].iloc[0])
        refusal = client.post(f"{API}/searches", json=wanted)
        assert refusal.status_code == 400
        assert "not to be had with the encoder 'slabs'" in refusal.json()["message"]
        assert client.get(f"{API}/gallery/map").status_code == 200
        plain = html.unescape(client.get("/plain", params={"case": wanted["case"]}).text)
        assert told["without_regions"] in plain
        assert 'name="region"' not in plain
        assert "differs most in" not in plain


def test_a_model_put_in_the_place_of_the_services_own_is_refused(tmp_path: Path) -> None:
    path = write_encoder(tmp_path / "e")
    before = open_encoder(path).fingerprint
    write_encoder(tmp_path / "e", name="another")
    with pytest.raises(FingerprintError):
        load_for_service(str(path), before)


def test_other_weights_are_refused_before_anything_is_run(tmp_path: Path) -> None:
    path = write_network(tmp_path)
    open_encoder(path)
    ran = tmp_path / "ran"
    path.write_text(path.read_text() + f"\nopen({str(ran)!r}, 'w').close()\n")
    open_encoder(path)
    assert ran.exists()
    ran.unlink()
    np.savez(tmp_path / "weights.npz", layer=np.zeros((7, 48)))
    with refused(ModelError, "a weights file with SHA-256 [0-9a-f]{64}"):
        open_encoder(path)
    assert not ran.exists()
    (tmp_path / "weights.npz").unlink()
    with refused(ModelError, "No such file"):
        open_encoder(path)


def test_weights_that_silently_were_not_loaded_are_found_by_the_expected_vector(
    tmp_path: Path,
) -> None:
    open_encoder(write_network(tmp_path / "right"))
    wrong = write_network(tmp_path / "wrong", key="module.layer")
    with refused(
        ModelError, r"of the bundled simulated head differs .* by \d\.\d+ of its"
    ) as caught:
        open_encoder(wrong)
    assert "weights were not loaded" in caught.value.advice


@pytest.mark.parametrize(
    ("function", "found"),
    [
        ("lambda volume: np.ones(5)", "a vector of 5 numbers"),
        ("lambda volume: np.full(12, np.nan)", "12 of 12 numbers are not finite"),
        ("lambda volume: np.ones((1, 12))", r"an array of shape \(1, 12\)"),
        ("lambda volume: 1 / 0", "ZeroDivisionError"),
        ("lambda volume: 'text'", "ValueError"),
        ("None", "load returned NoneType"),
        ("missing_name", "NameError"),
    ],
)
def test_an_encoder_that_gives_no_such_vector_is_refused(
    tmp_path: Path, function: str, found: str
) -> None:
    path = write_encoder(tmp_path)
    text = path.read_text()
    path.write_text(text[: text.index("    return lambda")] + f"    return {function}\n")
    with refused(ModelError, found):
        open_encoder(path)


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ('NAME = "slabs"', "", "no NAME"),
        ('NAME = "slabs"', "NAME = '../x'", "NAME = "),
        ('GRID = "4mm"', 'GRID = "1mm"', "GRID = '1mm'"),
        ('GRID = "4mm"', 'GRID = "4" + str("mm")', "GRID is computed"),
        ('GRID = "4mm"', 'GRID = "native"', "INTENSITY = 'white-matter'"),
        ("STRIP = True", "STRIP = 1", "STRIP = 1"),
        ("STRIP = True", "STRIP = True\nWEIGHTS = 'w'", "no WEIGHTS_SHA256"),
        ("STRIP = True", "STRIP = True\nTOLERANCE = 2.0", "TOLERANCE = 2.0"),
        ("def load", "def lead", "no function load"),
        ("def load(weights):", "def load(weights)", "cannot be read"),
        ("import numpy as np", "import no_such_package", "ModuleNotFoundError"),
        ("import numpy as np", "raise SystemExit(0)", "SystemExit"),
    ],
)
def test_a_file_that_does_not_say_what_it_is_is_refused_in_one_line(
    tmp_path: Path, before: str, after: str, found: str
) -> None:
    path = write_encoder(tmp_path)
    path.write_text(path.read_text().replace(before, after))
    with refused(ModelError, found) as caught:
        open_encoder(path)
    assert "\n" not in str(caught.value)


def test_a_network_without_eval_gets_no_expected_vector(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_encoder(tmp_path, expected=False)
    noisy = "return lambda volume: np.random.default_rng().standard_normal(12)"
    path.write_text(path.read_text().replace("return lambda", f"{noisy}\n    return lambda"))
    code, _, err = run(capsys, "encoder", "check", path, "--write-expected")
    assert code == 1
    assert "the same head twice" in only_line(err)
    assert not path.with_name("own.expected.json").exists()


def test_an_expected_vector_is_not_written_over_by_chance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_encoder(tmp_path)
    assert run(capsys, "encoder", "check", path, "--write-expected")[0] == 2
    assert run(capsys, "encoder", "check", path, "--write-expected", "--force")[0] == 0
    content = json.loads(path.with_name("own.expected.json").read_text())
    content["head"] = "0" * 64
    path.with_name("own.expected.json").write_text(json.dumps(content))
    with refused(ModelError, "the vector of another head"):
        open_encoder(path)


def test_a_gallery_refuses_another_encoder(
    tiny: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = write_encoder(tmp_path / "one")
    other = write_encoder(tmp_path / "other", name="others")
    gallery = tmp_path / "gallery"
    braincase.index_cohort(gallery, tiny, open_encoder(one), rows=np.arange(12))
    for words in (
        ("index", tiny.folder, "--gallery", gallery, "--model", other),
        (
            "search",
            tiny.folder / tiny.table["image"].iloc[0],
            "--gallery",
            gallery,
            "--model",
            other,
        ),
    ):
        code, _, err = run(capsys, *words)
        assert code == 1
        assert "Codes of two models cannot be compared" in only_line(err)
    code, _, err = run(capsys, "serve", gallery, "--model", other, "--port", 0)
    assert code == 1
    assert "Codes of two models cannot be compared" in only_line(err)


def test_what_needs_cells_says_that_it_is_not_to_be_had_even_with_150_numbers(
    tiny: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_encoder(tmp_path / "e")
    path.write_text(
        path.read_text()
        .replace("12)", "30)")
        .replace("for part in", "for _ in '12345' for part in")
    )
    write_vector(path)
    gallery = tmp_path / "gallery"
    encoder = open_encoder(path)
    assert encoder.length == 150
    braincase.index_cohort(gallery, tiny, encoder)
    scan = str(tiny.table["scan_id"].iloc[0])
    reason = "not to be had with the encoder 'slabs': its 150 numbers are of the whole scan"
    code, _, err = run(capsys, "search", scan, "--gallery", gallery, "--region", "hippocampus")
    assert code == 2
    assert only_line(err).startswith(f"braincase: --region: {reason}")
    mask = tmp_path / "mask.nii.gz"
    write_volume(mask, np.ones(HALF_GRID.shape, np.float32), HALF_GRID.affine)
    code, _, err = run(capsys, "search", scan, "--gallery", gallery, "--region-mask", mask)
    assert only_line(err).startswith(f"braincase: --region-mask: {reason}")
    with braincase.open_gallery(gallery, encoder) as opened:
        answer = opened.ask(tiny.volumes[0], explain=tmp_path / "why")
        assert answer.without_regions == f"{reason}, and no map of the brain's cells"
        assert not any(hit.regions or hit.likeness for hit in answer.hits)
    assert not list((tmp_path / "why").rglob("seen.nii.gz"))
    assert list((tmp_path / "why").rglob("difference.nii.gz"))
    words = ("--gallery", gallery, "--explain", tmp_path / "again", "-k", 2)
    code, out, _ = run(capsys, "search", scan, *words)
    assert f"note: no shares by cell and region, no why.png and no seen.nii.gz: {reason}" in out


def test_a_scan_on_which_the_encoder_fails_does_not_stop_the_others(
    tiny: Cohort, tmp_path: Path
) -> None:
    path = write_encoder(tmp_path / "e")
    bad = int(tiny.volumes[3].sum())
    text = path.read_text().replace(
        "return lambda volume: ", f"return lambda volume: 1 / 0 if volume.sum() == {bad} else "
    )
    path.write_text(text)
    done = braincase.index_cohort(tmp_path / "g", tiny, open_encoder(path), rows=np.arange(8))
    assert done.added == 7
    ((scan, why),) = done.failed
    assert scan == tiny.table["scan_id"].iloc[3]
    assert "ZeroDivisionError" in why


def test_torch_is_not_needed_for_an_encoder_that_does_not_use_it(
    tiny: Cohort, tmp_path: Path
) -> None:
    path = write_encoder(tmp_path / "e")
    program = f"""
import sys, braincase
from pathlib import Path
encoder = braincase.open_encoder({str(path)!r})
cohort = braincase.open_cohort(Path({str(tiny.folder)!r}))
braincase.index_cohort({str(tmp_path / "g")!r}, cohort, encoder)
with braincase.open_gallery({str(tmp_path / "g")!r}, encoder) as gallery:
    assert len(gallery.search(cohort.volumes[0], k=3)) == 3
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_installed_encoder_is_named_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_encoder(tmp_path / "pack", file="slabs_module.py")
    info = tmp_path / "pack" / "pack-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pack\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[braincase.encoders]\nslabs = slabs_module\n")
    monkeypatch.syspath_prepend(str(tmp_path / "pack"))
    encoder = open_encoder("slabs")
    assert encoder.fingerprint == open_encoder(path).fingerprint
    with refused(ModelError, "no model.json"):
        open_encoder("slobs")


def test_the_bundled_head_never_changes() -> None:
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == HEAD_SHA256
    coarse, fine = head_on_grid(HALF_GRID, True), head_on_grid(STANDARD_GRID, True)
    assert fine.shape == STANDARD_GRID.shape
    np.testing.assert_array_equal(fine[1::2, ::2, 1::2], coarse)
    whole = head_on_grid(HALF_GRID, False)
    assert (whole > 0).sum() > 1.3 * (coarse > 0).sum() > 20_000
    assert head_as_scanned(False).data.dtype == np.float32


def test_prepare_takes_an_encoders_own_form_and_a_cohort_of_another_is_refused(
    tiny: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = simulate_head(5, scanning=Scanning(zooms_mm=(3, 3, 3), noise=0.02))
    raw = tmp_path / "a.nii.gz"
    write_volume(raw, head.data, head.affine)
    path = write_encoder(tmp_path / "e", strip=False, intensity="gamma18")
    code, _, err = run(capsys, "prepare", raw, tmp_path / "c", "--model", path, "--workers", 1)
    assert code == 0, err
    cohort = open_cohort(tmp_path / "c")
    assert cohort.grid == HALF_GRID
    assert (cohort.recipe["strip"], cohort.recipe["intensity"]) == (False, "gamma18")
    sidecar = next((tmp_path / "c").rglob("*_T1w.json"))
    assert json.loads(sidecar.read_text())["SkullStripped"] is False
    mask = read_volume(next((tmp_path / "c").rglob("*_mask.nii.gz"))).data > 0.5
    assert (cohort.volumes[0][~mask] > 20).mean() > 0.05  # the face is there
    encoder = open_encoder(path)
    assert braincase.index_cohort(tmp_path / "g", cohort, encoder).added == 1
    with refused(CohortError, "prepared with strip True"):
        braincase.index_cohort(tmp_path / "other", tiny, encoder)
    with braincase.open_gallery(tmp_path / "g", encoder) as gallery:
        answer = gallery.finished_search(raw, braincase.SearchOptions(k=1, subject="nobody"))
        assert answer.result.hits[0].distance < 1e-6  # the same scan, prepared the same way
    words = ("prepare", raw, tmp_path / "d", "--model", path, "--resolution", 4)
    assert run(capsys, *words)[0] == 2


def test_a_native_encoder_sees_the_scan_as_it_was_scanned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = Scanning(zooms_mm=(3, 3, 3), stripped=True, noise=0.02)
    head = simulate_head(5, scanning=small)
    scan = tmp_path / "scan.nii.gz"
    write_volume(scan, head.data + 10, head.affine)
    text = SLABS.replace("np.array_split(volume, 12)", "np.array_split(volume.data, 12)")
    own = {"grid": "native", "intensity": "none"}
    stripped = write_encoder(tmp_path / "e", text, name="brain", strip=True, **own)
    whole = write_encoder(tmp_path / "e", text, file="w.py", name="head", strip=False, **own)
    place = ("--workers", 1, "--cohort", tmp_path / "c", "--subject", "a")
    codes = []
    for model in (stripped, whole):
        gallery = tmp_path / model.stem
        words = ("index", scan, "--gallery", gallery, "--model", model, *place)
        code, out, err = run(capsys, *words)
        assert (code, out.split()[0]) == (0, "1"), err
        with closing(open_gallery(gallery)) as opened:
            codes.append(opened.get("sub-a").code)
    data = read_volume(scan).data
    np.testing.assert_allclose(codes[1], [p.mean() for p in np.array_split(data, 12)], rtol=1e-5)
    brain = np.where(head.brain, head.data + 10, 0)
    means = [part.mean() for part in np.array_split(brain, 12)]
    np.testing.assert_allclose(codes[0], means, atol=0.1 * max(means))
    with braincase.open_gallery(tmp_path / "own", stripped) as gallery:
        options = braincase.SearchOptions(k=1, subject="nobody")
        hits = gallery.search(scan, options=options)
        assert hits[0].distance < 1e-3 * np.linalg.norm(codes[0])
    image = next((tmp_path / "c").rglob("*_desc-brain_T1w.nii.gz"))
    words = ("search", image, "--gallery", tmp_path / "own", "--model", stripped)
    assert "a prepared image; expected the scan it was made" in only_line(run(capsys, *words)[2])
    words = ("index", tmp_path / "c", "--gallery", tmp_path / "h", "--model", stripped)
    assert "expected the raw scans" in only_line(run(capsys, *words)[2])
