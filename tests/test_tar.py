"""A tar of DICOM, gzipped or not, is read like a zip; a hostile one does no harm."""

from __future__ import annotations

import gzip
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from braincase.errors import ScanError
from braincase.sources.dicom import read_dicom
from braincase.sources.find import find_scans, recognise
from braincase.sources.read import read_scan
from braincase.sources.tar_files import TarBounds, is_tar, unpack_tar
from markers import assert_sides, marker, write_dicom
from refusals import refused

KEY = b"k" * 32
BOUNDS = TarBounds(files=100, bytes=10 << 20, ratio=100, bursting=1 << 20)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DICOM series large enough to be a head, its files under long names."""
    made = write_dicom(tmp_path_factory.mktemp("dicom"), *marker((20, 22, 42), (4.0, 4.0, 2.5)))
    for file in [*made.iterdir()]:
        file.rename(file.with_name(f"{'long-' * 12}{file.name}"))
    return made


def member(name: str, content: bytes = b"x", kind: bytes = b"0", size: int | None = None) -> bytes:
    """One member as it stands in a tar; its header may lie about its size."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, "/etc/passwd"
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    if size is not None:
        header[124:136] = b"\x80" + size.to_bytes(11, "big")
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content + bytes(-len(content) % 512)


def tar_of(members: Iterable[bytes]) -> bytes:
    return b"".join(members) + bytes(1024)


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_of_dicom_is_a_study(series: Path, tmp_path: Path, style: int, mode: str) -> None:
    path = tmp_path / "study.tgz"
    with tarfile.open(path, mode, format=style) as archive:  # type: ignore[call-overload]
        archive.add(series, f"../../tmp/evil/ünï{60 * 'x'}")
    assert recognise(path) == "dicom"
    (scan,), census = read_dicom(path, key=KEY)
    assert census.files["used"] == 42
    assert len(scan.files[0]) > 100
    volume = read_scan(scan)
    assert_sides(volume)
    assert volume.shape == (20, 22, 42)
    assert not list(Path(tempfile.gettempdir()).glob("braincase-tar-*"))
    assert not (tmp_path.parent / "tmp").exists()


def test_tars_in_a_folder_give_one_scan_each_and_a_torn_one_its_reason(
    series: Path, tmp_path: Path
) -> None:
    for name in "AB":
        with tarfile.open(tmp_path / f"{name}.tgz", "w:gz") as archive:
            archive.add(series, name)
    torn = (tmp_path / "B.tgz").read_bytes()
    (tmp_path / "B.tgz").write_bytes(torn[: len(torn) // 2])
    (scan,), census = find_scans(tmp_path)
    assert scan.path.name == "A.tgz"
    assert ["a damaged tar" in why for _, why in census.dropped] == [True]


def test_other_content_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(tar_of([member("sub-1/head.nii.gz")])))
    with refused(ScanError, "no DICOM file") as caught:
        find_scans(path)
    assert "a.tar.gz holds sub-1/head.nii.gz: unpack it" in caught.value.advice


def test_links_and_devices_are_passed_over(tmp_path: Path) -> None:
    kinds = (b"1", b"2", b"3", b"4", b"6", b"Z")
    path, folder = tmp_path / "a.tar", tmp_path / "out"
    folder.mkdir()
    harmless = [member(f"m{kind.hex()}", b"", kind) for kind in kinds]
    path.write_bytes(tar_of([*harmless, member("d/", b"", b"5"), member("/etc/x", b"file")]))
    members = unpack_tar(path, folder, BOUNDS)
    assert {name: file.read_bytes() for name, file in members.items()} == {"/etc/x": b"file"}
    assert [file.is_symlink() for file in folder.iterdir()] == [False]


PAX_SPARSE = b"22 GNU.sparse.major=1\n"
HOSTILE = {
    "too many files": (tar_of(member(str(n)) for n in range(101)), "more than 100 files"),
    "shrinks as nothing": (tar_of([member("a", bytes(5 << 20))]), "unpacks to more than"),
    "promises a terabyte": (tar_of([member("a", size=1 << 40)]), "unpacks to more than 0.0 GB"),
    "a name of a terabyte": (tar_of([member("a", kind=b"L", size=1 << 40)]), "longer than any"),
    "pax of a gigabyte": (tar_of([member("a", kind=b"x", size=1 << 30)]), "longer than any"),
    "a name of a megabyte": (
        tar_of([member("a", b"n" * (1 << 19), b"L"), member("b")]), "longer than any",
    ),
    "sparse": (tar_of([member("a", kind=b"S")]), "sparse"),
    "sparse by pax": (tar_of([member("a", PAX_SPARSE, b"x"), member("b")]), "sparse"),
    "pax that is none": (tar_of([member("a", b"999999 path=x\n", b"x")]), "a header of names"),
    "cut in a member": (tar_of([member("a", bytes(4096))])[:2048], "cut off"),
    "cut between members": (member("a") + member("b"), "cut off"),
    "a torn header": (member("a") + b"\xff" * 512, "checksum"),
    "members behind the end": (tar_of([member("a")]) + bytes(4 << 20), "unpacks to more than"),
}  # fmt: skip


@pytest.mark.parametrize("packed", [False, True], ids=["tar", "tgz"])
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_tar_is_refused(tmp_path: Path, what: str, packed: bool) -> None:
    content, words = HOSTILE[what]
    path, folder = tmp_path / "a.tgz", tmp_path / "out"
    folder.mkdir()
    path.write_bytes(gzip.compress(content) if packed else content)
    bounds = BOUNDS if packed else TarBounds(100, 1 << 20, 100, 1 << 20)
    with refused(ScanError, words):
        unpack_tar(path, folder, bounds)
    assert sum(file.stat().st_size for file in folder.iterdir()) <= bounds.bytes


def test_a_checksum_behind_the_last_member_is_compared(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(tar_of([member("a")])))
    content[-6] ^= 1
    (tmp_path / "a.tgz").write_bytes(content)
    with refused(ScanError, "a damaged tar"):
        unpack_tar(tmp_path / "a.tgz", tmp_path, BOUNDS)


def test_what_is_no_tar_is_none() -> None:
    image = gzip.compress(b"\x5c\x01\0\0" + bytes(1000))
    for start in (b"", b"\x1f\x8b", image, bytes(512), b"ustar" * 200):
        assert not is_tar(start)
    assert is_tar(gzip.compress(tar_of([member("a")])))


def test_of_a_name_that_comes_twice_the_last_holds_and_no_other_is_written_over(
    tmp_path: Path,
) -> None:
    path, folder = tmp_path / "a.tar", tmp_path / "folder"
    folder.mkdir()
    twice = [member("a", b"first"), member("b", b"b"), member("a", b"last"), member("c", b"c")]
    path.write_bytes(tar_of(twice))
    held = {name: place.read_bytes() for name, place in unpack_tar(path, folder, BOUNDS).items()}
    assert held == {"a": b"last", "b": b"b", "c": b"c"}
