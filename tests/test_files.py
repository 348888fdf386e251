"""Files outlast a power cut, and are their owner's alone."""

import os
import shutil
import stat
import subprocess
import sys
import threading

import pytest

from braincase.files import atomic_write, make_folder, write_json, write_text
from braincase.gallery import create_gallery
from gallery_cases import MODEL

#: Tells every fsync, rename and mkdir of a write, in order.
TRACE = """
import os, re, stat, sys
from pathlib import Path
names = {}
def shown(path):
    return re.sub(f"-{os.getpid()}-[0-9a-f]{{8}}-", "-PID-", os.path.relpath(path, sys.argv[1]))
fsync, replace, mkdir = os.fsync, os.replace, os.mkdir
def told_fsync(file):
    print("sync", shown(os.readlink(f"/proc/self/fd/{file}")))
    fsync(file)
def told_replace(one, other):
    print("rename", shown(one), shown(other))
    replace(one, other)
def told_mkdir(path, *args, **more):
    mkdir(path, *args, **more)
    print("mkdir", shown(path))
os.fsync, os.replace, os.mkdir = told_fsync, told_replace, told_mkdir
from braincase.files import write_text
write_text(Path(sys.argv[1]) / "new" / "deep" / "file.txt", "text", durable=sys.argv[2] == "True")
"""


def trace(folder, durable):
    done = subprocess.run(
        [sys.executable, "-c", TRACE, str(folder), str(durable)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_bytes_names_and_folders_are_on_the_disk_before_a_write_returns(tmp_path):
    assert trace(tmp_path, True) == [
        "mkdir new",
        "sync .",
        "mkdir new/deep",
        "sync new",
        "sync new/deep/.writing-PID-file.txt",
        "rename new/deep/.writing-PID-file.txt new/deep/file.txt",
        "sync new/deep",
    ]


def test_what_can_be_made_again_is_not_waited_for(tmp_path):
    assert not any(line.startswith("sync") for line in trace(tmp_path, False))


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o022, 0o077, 0o000])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_new_files_and_folders_are_their_owners_alone(tmp_path, umask):
    path = tmp_path / "new" / "deep" / "file.json"
    write_json(path, {"age": 71})
    assert (mode_of(path), mode_of(path.parent), mode_of(path.parent.parent)) == (
        0o600, 0o700, 0o700,
    )  # fmt: skip


def test_a_gallery_and_all_its_files_are_their_owners_alone(tmp_path, umask):
    gallery = create_gallery(tmp_path / "a" / "gallery", MODEL, 4)
    gallery.remove([])
    files = list((tmp_path / "a" / "gallery").iterdir())
    assert {file.name for file in files} >= {"gallery.sqlite3", "gallery.sqlite3-wal"}
    assert {mode_of(file) for file in files} == {0o600}
    assert mode_of(tmp_path / "a") == mode_of(tmp_path / "a" / "gallery") == 0o700
    gallery.close()


@pytest.mark.parametrize(
    ("folder", "file", "inside"),
    [(0o2770, 0o660, 0o2770), (0o770, 0o660, 0o770), (0o2750, 0o640, 0o2750), (0o755, 0o600, 0o700),
     (0o1777, 0o600, 0o700)],
)  # fmt: skip
def test_a_folder_shared_with_its_group_on_purpose_stays_shared(tmp_path, folder, file, inside):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(folder)
    write_text(shared / "file.txt", "text")
    make_folder(shared / "inside")
    assert (mode_of(shared / "file.txt"), mode_of(shared / "inside")) == (file, inside)


def test_a_file_that_is_there_keeps_the_mode_that_somebody_gave_it(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "one")
    path.chmod(0o640)
    write_text(path, "two")
    assert (path.read_text(), mode_of(path)) == ("two", 0o640)


def test_a_failed_write_leaves_everything_as_it_was(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "one")

    def fail():
        with atomic_write(path) as aside:
            aside.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "one"
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]


def test_threads_that_write_one_file_at_once_each_write_a_whole_one(tmp_path):
    path, inside, failed = tmp_path / "file.txt", threading.Barrier(2), []

    def write(letter):
        try:
            with atomic_write(path) as aside:
                inside.wait(timeout=10)
                aside.write_text(letter * 1000)
                inside.wait(timeout=10)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert path.read_text() in ("a" * 1000, "b" * 1000)
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_system_sees_the_syncs_too(tmp_path):
    log = tmp_path / "log"
    code = "from pathlib import Path; from braincase.files import write_text as w; import sys;"
    code += "w(Path(sys.argv[1]), 'text')"
    done = subprocess.run(
        ["strace", "-f", "-o", log, "-e", "trace=fsync,rename,renameat,renameat2",
         sys.executable, "-c", code, tmp_path / "file.txt"],
        capture_output=True,
    )  # fmt: skip
    if done.returncode:
        pytest.skip("strace may not trace here")
    calls = [line.split()[1].split("(")[0] for line in log.read_text().splitlines()]
    wanted = [call for call in calls if call.startswith(("fsync", "rename"))]
    assert [call[:6] for call in wanted[-3:]] == ["fsync", "rename", "fsync"]


def test_unfinished_files_of_killed_processes_go_with_the_next_write(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = (f".writing-{dead.pid}-0a1b2c3d-a.json", f".writing-{dead.pid}-b",
             f".writing-{os.getpid()}-c", ".writing-x-d")  # fmt: skip
    for name in names:
        (tmp_path / name).touch()
    for name in names[:1] + names[2:]:
        os.utime(tmp_path / name, (0, 0))
    write_json(tmp_path / "a.json", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.json", *names[1:]])
