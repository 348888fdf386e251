"""Names that are no UTF-8, terminals that cannot show all letters, read-only and full disks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from braincase.cohort.cohort import open_cohort
from braincase.errors import CohortError
from braincase.files import read_json, write_json
from braincase.sources.dicom_files import open_files
from markers import marker, write_dicom

#: "café" as an old Windows wrote it.
NAME = os.fsdecode(b"caf\xe9")
LONE = "\udce9"


def run(*arguments, wrap=(), **environment):
    """Run the command line as a user does; return the process."""
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONUTF8"}
    command = [*wrap, sys.executable, "-m", "braincase", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, env=plain | environment, check=False)


def text(done):
    return (done.stdout + done.stderr).decode(errors="replace")


@pytest.fixture(scope="module")
def mounts():
    """The start of a command in a mount namespace of its own."""
    wrap = ("unshare", "--mount", "--map-root-user")
    if shutil.which("unshare") is None or subprocess.run([*wrap, "true"], check=False).returncode:
        pytest.skip("no mount namespace can be made here")
    return wrap


class TestNames:
    def test_a_name_that_is_no_utf8_comes_back_from_json(self, tmp_path):
        write_json(tmp_path / "a.json", {"path": NAME, "name": "頭部"})
        assert read_json(tmp_path / "a.json", CohortError) == {"path": NAME, "name": "頭部"}
        assert b"\\udce9" in (tmp_path / "a.json").read_bytes()

    def test_folders_and_files_of_such_names_stop_nobody(self, tmp_path):
        source, out = tmp_path / NAME, tmp_path / f"out{NAME}"
        write_dicom(source / f"a{NAME}", *marker((20, 22, 42), (4.0, 4.0, 2.5)))
        done = run("prepare", source, out, "--workers", "1", "--resolution", "4")
        assert "Traceback" not in text(done)
        assert "caf\\udce9" in text(done)
        assert "1 person, 1 scan" in text(done)

    def test_a_cohort_of_such_a_name_is_read(self, tmp_path, tiny):
        shutil.copytree(tiny.folder, tmp_path / NAME)
        done = run("census", tmp_path / NAME, "--json")
        assert json.loads(done.stdout)["cohort"].endswith(NAME)

    def test_where_such_a_name_cannot_be_kept_one_line_says_so(self, tmp_path, tiny, web_model):
        shutil.copytree(tiny.folder, tmp_path / NAME)
        where = ("--gallery", tmp_path / "g", "--model", web_model)
        done = run("index", tmp_path / NAME, *where)
        assert done.returncode == 1
        assert "none of 34 scans could be indexed" in text(done)
        assert "expected a folder whose name is UTF-8 text" in text(done)
        assert "Traceback" not in text(done)


class TestTerminals:
    @pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp932", "utf-8"])
    def test_letters_a_terminal_cannot_show_are_escaped(self, tmp_path, encoding):
        fields = {"SeriesDescription": "頭部T2強調é", "SpecificCharacterSet": "ISO_IR 192"}
        write_dicom(tmp_path / "s", *marker((20, 22, 42), (4.0, 4.0, 2.5)), **fields)
        done = run("prepare", tmp_path, tmp_path / "out", PYTHONIOENCODING=encoding)
        assert done.returncode == 1
        assert "Traceback" not in text(done)
        assert "no T1-weighted scan" in text(done)

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
    def test_json_is_valid_json_on_every_terminal(self, tmp_path, tiny, encoding):
        shutil.copytree(tiny.folder, tmp_path / "頭é😀")
        done = run("census", tmp_path / "頭é😀", "--json", PYTHONIOENCODING=encoding)
        assert json.loads(done.stdout.decode(encoding))["cohort"].endswith("頭é😀")

    def test_the_plain_locale(self, tmp_path):
        fields = {"SeriesDescription": "頭部T2強調", "SpecificCharacterSet": "ISO_IR 192"}
        write_dicom(tmp_path / "s", *marker((20, 22, 42), (4.0, 4.0, 2.5)), **fields)
        coerced = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
        done = run("prepare", tmp_path, tmp_path / "out", **coerced)
        assert "Traceback" not in text(done)


READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'


class TestReadOnlyCohorts:
    def census(self, mounts, folder, cache):
        wrap = (*mounts, "sh", "-c", READ_ONLY, "sh", str(folder))
        return run("census", folder, wrap=wrap, XDG_CACHE_HOME=str(cache))

    def test_a_packed_cohort_is_read_without_a_lock(self, tmp_path, tiny, mounts):
        shutil.copytree(tiny.folder, tmp_path / "c")
        open_cohort(tmp_path / "c")
        done = self.census(mounts, tmp_path / "c", tmp_path / "cache")
        assert done.returncode == 0, text(done)
        assert "26 people, 34 scans" in text(done)
        assert not (tmp_path / "cache").exists()

    @pytest.mark.parametrize("packed", [True, False])
    def test_one_that_has_to_be_packed_is_packed_in_the_cache(self, tmp_path, tiny, mounts, packed):
        shutil.copytree(tiny.folder, tmp_path / "c")
        for path in (tmp_path / "c").rglob("*.nii.gz"):
            os.utime(path)  # copied without times
        if not packed:
            shutil.rmtree(tmp_path / "c" / "packed", ignore_errors=True)
        for _ in range(2):
            done = self.census(mounts, tmp_path / "c", tmp_path / "cache")
            assert done.returncode == 0, text(done)
            assert "26 people, 34 scans" in text(done)
        assert "packing" not in text(done)  # the second time it is there
        assert list((tmp_path / "cache").glob("braincase/packed/*/packed.json"))

    def test_where_nothing_can_be_written_one_line_says_what_to_do(self, tmp_path, tiny, mounts):
        shutil.copytree(tiny.folder, tmp_path / "c")
        shutil.rmtree(tmp_path / "c" / "packed", ignore_errors=True)
        done = self.census(mounts, tmp_path / "c", tmp_path / "c" / "cache")
        assert done.returncode == 1
        assert "Set XDG_CACHE_HOME to a folder that can be written" in text(done)


#: Runs a command where no folder for temporary files can be written, a tmpfs of a size beside it.
NO_TEMPORARY = (
    "for folder in /tmp /var/tmp /usr/tmp; do test -d $folder &&"
    " mount --bind $folder $folder && mount -o remount,bind,ro $folder; done;"
    ' mount -t tmpfs -o size={} none "$1" && shift && cd /proc && exec "$@"'
)


class TestTemporaryFolders:
    def test_one_without_room_is_named(self, tmp_path, mounts):
        source, small = tmp_path / "s", tmp_path / "small"
        write_dicom(source, *marker((64, 64, 64), (3.0, 3.0, 2.5)))
        small.mkdir()
        script = 'mount -t tmpfs -o size=64k none "$1" && shift && exec "$@"'
        wrap = (*mounts, "sh", "-c", script, "sh", str(small))
        done = run("prepare", source, tmp_path / "out", wrap=wrap, TMPDIR=str(small))
        said = text(done)
        assert "volumes by dcm2niix" not in said  # nothing is wrong with the scan
        if "no space left" in said:  # a common series is read without a temporary folder
            assert f"set TMPDIR to a folder with more room than {small}" in said

    def test_where_there_is_none_one_line_says_so(self, tmp_path, mounts, web_gallery, web_model):
        state = tmp_path / "state"
        state.mkdir()
        wrap = (*mounts, "sh", "-c", NO_TEMPORARY.format("1m"), "sh", str(state))
        places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), "/nowhere")
        arguments = ("serve", web_gallery, "--model", web_model, "--port", "0")
        done = run(*arguments, wrap=wrap, XDG_STATE_HOME=str(state), **places)
        assert done.returncode == 1
        assert "No usable temporary directory" in text(done)
        assert text(done).endswith("Set TMPDIR to a folder you can write to.\n")

    def test_where_there_is_none_and_the_disk_is_full_one_line_says_both(self, tmp_path, mounts):
        full = tmp_path / "full"
        full.mkdir()
        wrap = (*mounts, "sh", "-c", NO_TEMPORARY.format("64k"), "sh", str(full))
        places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), "/nowhere")
        arguments = ("simulate", full / "c", "--size", "tiny", "--workers", 1)
        done = run(*arguments, wrap=wrap, **places)
        assert done.returncode == 1
        assert "Traceback" not in text(done)
        assert "no space left; free some" in text(done)
        assert text(done).endswith("or set TMPDIR to a folder you can write to\n")

    def test_a_file_named_like_their_error_is_another_matter(self, tmp_path):
        path = tmp_path / "usable temporary directory"
        path.touch()
        done = run("simulate", path / "cohort", "--size", "small")
        assert f"{path}: Not a directory. Check the path" in text(done)

    def test_a_copy_onto_a_full_disk_says_which(self, tmp_path):
        folder = write_dicom(tmp_path / "s", *marker((20, 22, 4), (4.0, 4.0, 2.5)))
        with open_files(folder) as files, pytest.raises(OSError, match="No space left") as caught:
            files.copy(files.names[0], Path("/dev/full"))
        assert caught.value.filename == "/dev/full"
