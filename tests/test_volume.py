from __future__ import annotations

import contextlib
import gzip
import struct
import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from braincase.errors import ScanError
from braincase.images.geometry import zooms_of
from braincase.images.volume import read_volume, write_volume
from markers import ORIENTATIONS, assert_sides, marker, reoriented, stored_as
from refusals import refused

BROKEN = "broken-nifti"
FOREIGN = "not-a-t1w-head"


def save(path, data, affine=None, header=nib.Nifti1Image, **fields):
    """Write an image, then change header fields that nibabel would not let us write."""
    image = header(data, np.diag([2.0, 2, 2, 1]) if affine is None else affine)
    for name, value in fields.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def patch(path, offset, fmt, *values):
    """Overwrite bytes of an uncompressed header."""
    content = bytearray(path.read_bytes())
    struct.pack_into(fmt, content, offset, *values)
    path.write_bytes(content)
    return path


@contextlib.contextmanager
def peak_memory():
    """Yield a function that says, at the end, how many bytes were taken at most."""
    peaks = []
    tracemalloc.start()
    try:
        yield lambda: peaks[0]
        peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


@pytest.fixture
def ramp():
    return np.arange(10 * 11 * 12, dtype=np.int16).reshape(10, 11, 12)


class TestGoodImages:
    @pytest.mark.parametrize("turn", ORIENTATIONS, ids=lambda t: nib.orientations.ornt2axcodes(t))
    def test_left_stays_left_in_all_48_orientations(self, tmp_path, turn):
        data, affine = reoriented(*marker(), turn)
        nib.save(nib.Nifti1Image(data, affine), tmp_path / "a.nii")
        nib.save(nib.MGHImage(data, affine), tmp_path / "a.mgz")
        assert_sides(read_volume(tmp_path / "a.nii"))
        assert_sides(read_volume(tmp_path / "a.mgz"))

    @pytest.mark.parametrize("form", ["sform", "qform"])
    @pytest.mark.parametrize("axes", ["RAS", "LAS", "PSR", "ILA"])
    def test_left_stays_left_by_either_form_alone(self, tmp_path, form, axes):
        data, affine = stored_as(*marker(), axes)
        image = nib.Nifti1Image(data, affine)
        image.set_sform(affine, 1 if form == "sform" else 0)
        image.set_qform(affine, 1 if form == "qform" else 0)
        nib.save(image, tmp_path / "a.nii")
        volume = read_volume(tmp_path / "a.nii")
        assert_sides(volume)
        assert volume.sides_known

    @pytest.mark.parametrize(
        ("kind", "name"),
        [
            (nib.Nifti1Image, "a.nii"),
            (nib.Nifti1Image, "a.nii.gz"),
            (nib.Nifti2Image, "a.nii.gz"),
            (nib.Nifti1Pair, "a.img"),
            (nib.Nifti2Pair, "a.hdr"),
            (nib.MGHImage, "a.mgh"),
        ],
    )
    def test_every_format_gives_the_same_volume_as_nibabel(self, tmp_path, ramp, kind, name):
        affine = np.array([[0, 0, -2.0, 5], [-1.5, 0, 0, 7], [0, 1, 0, -3], [0, 0, 0, 1]])
        path = save(tmp_path / name, ramp, affine, kind)
        volume, oracle = read_volume(path), nib.as_closest_canonical(kind(ramp, affine))
        assert np.array_equal(volume.data, oracle.get_fdata())
        assert np.allclose(volume.affine, oracle.affine)
        assert volume.data.dtype == np.float32
        assert volume.data.flags.c_contiguous

    def test_half_a_pair_finds_the_other_even_zipped(self, tmp_path, ramp):
        save(tmp_path / "a.hdr", ramp, header=nib.Nifti1Pair)
        packed = gzip.compress((tmp_path / "a.img").read_bytes())
        (tmp_path / "a.img").unlink()
        (tmp_path / "a.img.gz").write_bytes(packed)
        assert read_volume(tmp_path / "a.hdr").data.max() == ramp.max()

    def test_a_wrong_ending_does_not_matter(self, tmp_path, ramp):
        save(tmp_path / "a.nii.gz", ramp).rename(tmp_path / "a.nii")
        save(tmp_path / "b.nii", ramp).rename(tmp_path / "b.nii.gz")
        assert np.array_equal(read_volume(tmp_path / "a.nii").data, ramp)
        assert np.array_equal(read_volume(tmp_path / "b.nii.gz").data, ramp)

    def test_scaling_is_applied(self, tmp_path, ramp):
        image = nib.Nifti1Image(ramp, np.eye(4) * [2, 2, 2, 1])
        image.header.set_slope_inter(0.5, -3)
        nib.save(image, tmp_path / "a.nii")
        assert np.allclose(read_volume(tmp_path / "a.nii").data, ramp * 0.5 - 3)

    def test_one_volume_in_4d_is_squeezed(self, tmp_path, ramp):
        assert read_volume(save(tmp_path / "a.nii", ramp[..., None])).shape == ramp.shape

    def test_a_background_of_no_numbers_or_of_a_far_off_value_is_background(self, tmp_path, ramp):
        """SPM writes NaN around the brain, others -32768 or a million."""
        inside = np.zeros(ramp.shape, bool)
        inside[2:-2, 2:-2, 2:-2] = True
        for mark in (np.nan, -32768, 1e6):
            data = np.where(inside, ramp.astype(np.float32) + 3, np.float32(mark))
            volume = read_volume(save(tmp_path / "a.nii", data))
            lowest = 0 if np.isnan(mark) else data[inside].min()
            assert np.array_equal(volume.data, np.where(inside, data, lowest))
            assert "taken for background" in volume.notes[0]

    @pytest.mark.parametrize("kind", [">i2", "<u2", "u1", ">f4", "f8", "i4", "i8"])
    def test_every_number_type_and_byte_order(self, tmp_path, ramp, kind):
        data = (ramp % 200).astype(kind)
        header = nib.Nifti1Header(endianness=">" if kind[0] == ">" else "<")
        image = nib.Nifti1Image(data, np.diag([2.0, 2, 2, 1]), header, dtype=np.dtype(kind))
        nib.save(image, tmp_path / "a.nii")
        assert np.array_equal(read_volume(tmp_path / "a.nii").data, data)

    @pytest.mark.parametrize(("code", "factor"), [(1, 1e-3), (3, 1e3)])
    def test_metres_and_micrometres_are_turned_to_millimetres(self, tmp_path, ramp, code, factor):
        affine = np.diag([2.0, 2, 2, 1 / factor]) * factor
        path = save(tmp_path / "a.nii", ramp, affine, xyzt_units=code)
        volume = read_volume(path)
        assert np.allclose(volume.zooms_mm, 2, rtol=1e-5)
        assert "turned to millimetres" in volume.notes[0]

    def test_a_few_voxels_that_are_no_number_become_zero(self, tmp_path, ramp):
        data = ramp.astype(np.float32)
        data[5, 5, 5], data[6, 6, 6] = np.nan, np.inf
        volume = read_volume(save(tmp_path / "a.nii", data))
        assert volume.data[5, 5, 5] == volume.data[6, 6, 6] == 0
        assert volume.notes == ("2 voxels were no number: set to 0",)

    def test_written_volumes_come_back_and_are_the_same_bytes_each_time(self, tmp_path, ramp):
        affine = np.array([[2.0, 0, 0, 5], [0, 1.5, 0, 7], [0, 0, 1, -3], [0, 0, 0, 1]])
        for name in ("a.nii.gz", "b.nii.gz"):
            write_volume(tmp_path / name, ramp, affine)
        volume, header = read_volume(tmp_path / "a.nii.gz"), nib.load(tmp_path / "a.nii.gz").header
        assert np.array_equal(volume.data, ramp)
        assert np.allclose(volume.affine, affine)
        assert (header["sform_code"], header["qform_code"], header["xyzt_units"]) == (1, 1, 2)
        assert header.get_data_dtype() == np.int16
        assert (tmp_path / "a.nii.gz").read_bytes()[10:] == (tmp_path / "b.nii.gz").read_bytes()[
            10:
        ]

    @pytest.mark.parametrize(("given", "stored"), [(bool, np.uint8), (np.float64, np.float32)])
    def test_writing_turns_types_that_nifti_should_not_hold(self, tmp_path, given, stored):
        data = np.arange(27).reshape(3, 3, 3).astype(given)
        write_volume(tmp_path / "a.nii", data, np.eye(4))
        assert nib.load(tmp_path / "a.nii").get_data_dtype() == stored


class TestForms:
    """Which of two orientations is used, and when the file is refused."""

    AFFINE = np.array([[-2.0, 0, 0, 9], [0, 2, 0, -8], [0, 0, 2, -7], [0, 0, 0, 1]])

    def two(self, path, data, sform, qform, codes=(1, 1)):
        header = nib.Nifti1Header()
        header.set_qform(qform, codes[1])
        header.set_sform(sform, codes[0])
        nib.save(nib.Nifti1Image(data, None, header), path)  # no affine: the forms stay as set
        return path

    def test_no_form_at_all_is_read_with_a_note(self, tmp_path, ramp):
        path = self.two(tmp_path / "a.nii", ramp, self.AFFINE, self.AFFINE, (0, 0))
        volume = read_volume(path)
        assert not volume.sides_known
        assert "left, anterior, superior" in volume.notes[0]
        assert np.array_equal(volume.data, ramp[::-1])

    def test_mirrored_forms_are_refused(self, tmp_path, ramp):
        mirrored = np.diag([-1.0, 1, 1, 1]) @ self.AFFINE
        path = self.two(tmp_path / "a.nii", ramp, mirrored, self.AFFINE)
        with refused(ScanError, "left on opposite sides"):
            read_volume(path)

    @pytest.mark.parametrize("bad", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.ones((4, 4))])
    def test_a_singular_sform_gives_way_to_the_qform(self, tmp_path, ramp, bad):
        path = self.two(tmp_path / "a.nii", ramp, self.AFFINE, self.AFFINE)
        patch(path, 280, "<12f", *bad[:3].ravel())
        volume = read_volume(path)
        assert np.array_equal(volume.data, ramp[::-1])
        assert "sform cannot be used" in volume.notes[0]
        assert volume.sides_known

    def test_an_impossible_qform_gives_way_to_the_sform(self, tmp_path, ramp):
        path = self.two(tmp_path / "a.nii", ramp, self.AFFINE, self.AFFINE)
        patch(path, 256, "<3f", 3.0, 3.0, 3.0)
        assert "qform cannot be used" in read_volume(path).notes[0]

    def qform_only(self, path, ramp, scale=1.0, qfac=-1.0):
        """Write a left-posterior-superior image: its quaternion's first number is 0."""
        affine = np.diag([-2.0, -2, 2, 1])
        self.two(path, ramp, affine, affine, (0, 1))
        return patch(patch(path, 76, "<f", qfac), 256, "<3f", 0, 0, scale)

    @pytest.mark.parametrize("scale", [1.0, 1 + 6e-7, 1 + 5e-5, 1.02])
    @pytest.mark.parametrize("qfac", [1.0, 0.0])
    def test_a_quaternion_too_long_by_rounding_is_scaled(self, tmp_path, ramp, scale, qfac):
        volume = read_volume(self.qform_only(tmp_path / "a.nii", ramp, scale, qfac))
        assert np.array_equal(volume.data, ramp[::-1, ::-1])
        assert volume.sides_known
        assert (volume.notes != ()) == (scale > 1.001)

    def test_a_qfac_other_than_one_counts_by_its_sign(self, tmp_path, ramp):
        volume = read_volume(self.qform_only(tmp_path / "a.nii", ramp, 1.0, -0.9))
        assert np.array_equal(volume.data, ramp[::-1, ::-1, ::-1])
        assert "its sign counts" in volume.notes[0]

    @pytest.mark.parametrize(
        ("scale", "words"), [(1.5, "a quaternion of length 1.5"), (np.nan, "not finite")]
    )
    def test_an_impossible_qform_alone_is_no_orientation(self, tmp_path, ramp, scale, words):
        with refused(ScanError, words):
            read_volume(self.qform_only(tmp_path / "a.nii", ramp, scale, 1.0))

    def test_a_voxel_size_below_zero_in_a_qform_is_refused(self, tmp_path, ramp):
        path = self.qform_only(tmp_path / "a.nii", ramp, 1.0, 1.0)
        with refused(ScanError, "voxel sizes of -2 mm"):
            read_volume(patch(path, 80, "<f", -2.0))

    def test_a_sform_of_other_voxel_sizes_gives_way_to_the_qform(self, tmp_path, ramp):
        scaled = np.diag([1.3, 1.3, 1.3, 1]) @ self.AFFINE
        volume = read_volume(self.two(tmp_path / "a.nii", ramp, scaled, self.AFFINE))
        assert np.allclose(volume.zooms_mm, 2)
        assert "the qform is used" in volume.notes[0]

    def test_forms_far_apart_are_read_by_the_sform_with_a_note(self, tmp_path, ramp):
        turned = np.array([[0, -1.0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ self.AFFINE
        volume = read_volume(self.two(tmp_path / "a.nii", ramp, turned, self.AFFINE))
        assert "differ by 90 degrees" in volume.notes[0]
        assert volume.shape == (11, 10, 12)

    def test_forms_that_agree_give_no_note(self, tmp_path, ramp):
        shifted = self.AFFINE + np.array([[0, 0, 0, 40.0]] * 3 + [[0] * 4])
        assert not read_volume(self.two(tmp_path / "a.nii", ramp, shifted, self.AFFINE)).notes


class TestAnalyze:
    @pytest.mark.parametrize(("orient", "axes"), [(0, "LAS"), (1, "LSA"), (2, "ASL")])
    def test_the_orient_field_says_how_the_axes_run(self, tmp_path, orient, axes):
        data, affine = stored_as(*marker(), axes)
        image = nib.AnalyzeImage(data, None)
        image.header.set_zooms(zooms_of(affine))
        nib.save(image, tmp_path / "a.img")
        patch(tmp_path / "a.hdr", 252, "b", orient)
        volume = read_volume(tmp_path / "a.hdr")
        assert_sides(volume)
        assert not volume.sides_known
        known = read_volume(tmp_path / "a.hdr", axes)
        assert known.sides_known
        assert not known.notes
        assert np.array_equal(known.data, volume.data)

    def test_a_rare_orient_is_refused(self, tmp_path, ramp):
        nib.save(nib.AnalyzeImage(ramp, None), tmp_path / "a.img")
        patch(tmp_path / "a.hdr", 252, "b", 5)
        with refused(ScanError, "orient 5"):
            read_volume(tmp_path / "a.img")


class TestBadImages:
    def refused(self, path, words):
        with refused(ScanError, words) as caught:
            read_volume(path)
        return str(caught.value)

    def test_a_missing_file(self, tmp_path):
        self.refused(tmp_path / "a.nii", "no such file")

    def test_a_folder(self, tmp_path):
        self.refused(tmp_path, "a folder")

    def test_half_a_pair_alone(self, tmp_path, ramp):
        save(tmp_path / "a.hdr", ramp, header=nib.Nifti1Pair)
        (tmp_path / "a.img").unlink()
        assert "a.img" in self.refused(tmp_path / "a.hdr", "no such file")

    @pytest.mark.parametrize("content", [b"", b"text" * 200, b"\0" * 500, bytes(range(256)) * 4])
    @pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mgz", "a.img"])
    def test_no_image_at_all(self, tmp_path, name, content):
        (tmp_path / "a.hdr").write_bytes(content)
        (tmp_path / name).write_bytes(content)
        self.refused(tmp_path / name, "bytes that are no|empty file|no sense")

    def test_a_header_that_promises_terabytes(self, tmp_path, ramp):
        path = patch(save(tmp_path / "a.nii", ramp), 40, "<4h", 3, 30000, 30000, 30000)
        assert "54,000.0 GB" in self.refused(path, "promises")

    def test_a_zipped_header_that_promises_more_than_gzip_can_hold(self, tmp_path, ramp):
        path = patch(save(tmp_path / "a.nii", ramp), 40, "<4h", 3, 500, 500, 500)
        path.with_suffix(".nii.gz").write_bytes(gzip.compress(path.read_bytes()))
        self.refused(path.with_suffix(".nii.gz"), "where the header promises")

    def test_a_gzip_bomb_is_never_unpacked(self, tmp_path, ramp):
        path = save(tmp_path / "a.nii", ramp)
        bomb = gzip.compress(path.read_bytes() + bytes(40 << 20), 9)
        path.with_suffix(".nii.gz").write_bytes(bomb)
        with peak_memory() as peak:
            assert read_volume(path.with_suffix(".nii.gz")).shape == ramp.shape
        assert peak() < 2 << 20

    def test_a_giant_header_extension_is_never_read(self, tmp_path, ramp):
        path = save(tmp_path / "a.nii", ramp)
        head, voxels = path.read_bytes()[:348], path.read_bytes()[352:]
        extension = struct.pack("<4sii", b"\1\0\0\0", 2**31 - 16, 6)
        path.write_bytes(head + extension + voxels)
        assert read_volume(path).shape == ramp.shape

    def test_voxels_said_to_begin_far_away(self, tmp_path, ramp):
        path = patch(save(tmp_path / "a.nii", ramp), 108, "<f", 1e12)
        self.refused(path, "begin at byte")

    @pytest.mark.parametrize("keep", [0.2, 0.6, 0.99])
    def test_a_truncated_file(self, tmp_path, keep):
        data = np.random.default_rng(0).integers(0, 999, (20, 20, 20)).astype(np.int16)
        for name in ("a.nii", "a.nii.gz"):
            path = save(tmp_path / name, data)
            content = path.read_bytes()
            path.write_bytes(content[: int(len(content) * keep)])
            self.refused(path, "where the header promises|cannot be read")

    def test_a_file_cut_within_its_gzip_header(self, tmp_path, ramp):
        path = save(tmp_path / "a.nii.gz", ramp)
        path.write_bytes(path.read_bytes()[:40])
        self.refused(path, "cannot be read")

    def test_a_flipped_bit_in_gzip(self, tmp_path):
        data = np.random.default_rng(0).integers(0, 999, (20, 20, 20)).astype(np.int16)
        path = save(tmp_path / "a.nii.gz", data)
        content = bytearray(path.read_bytes())
        content[-5] ^= 1  # the checksum
        path.write_bytes(content)
        self.refused(path, "CRC")

    @pytest.mark.parametrize("shape", [(9, 9), (9,), (9, 9, 1), (1, 9, 9), (9, 9, 9, 2)])
    def test_other_than_one_3d_volume(self, tmp_path, shape):
        path = save(tmp_path / "a.nii", np.arange(np.prod(shape), dtype=np.int16).reshape(shape))
        self.refused(path, "-D image|single slice|volumes in one file")

    def test_complex_voxels(self, tmp_path, ramp):
        self.refused(save(tmp_path / "a.nii", ramp.astype(np.complex64)), "complex")

    @pytest.mark.parametrize(
        ("code", "bits", "words"),
        [
            (1536, 128, "float128"),
            (1, 1, "one bit a voxel"),
            (2048, 256, "complex256"),
            (32, 64, "complex voxels"),
            (128, 24, "colour voxels"),
            (2304, 32, "colour voxels"),
        ],
    )
    def test_a_type_that_cannot_be_read_is_named(self, tmp_path, ramp, code, bits, words):
        path = save(tmp_path / "a.nii", np.tile(ramp, (4, 4, 4)))
        self.refused(patch(path, 70, "<hh", code, bits), words)

    @pytest.mark.parametrize("stray", [b"garbage at the end\n", b"\r\n", bytes(512)])
    def test_bytes_behind_the_gzip_stream_do_no_harm(self, tmp_path, ramp, stray):
        path = save(tmp_path / "a.nii.gz", ramp)
        expected = read_volume(path)
        path.write_bytes(path.read_bytes() + stray)
        volume = read_volume(path)
        assert np.array_equal(volume.data, expected.data)
        assert ("behind the end" in str(volume.notes)) == bool(stray.strip(b"\0"))

    def test_several_gzip_members_are_one_image(self, tmp_path, ramp):
        content = save(tmp_path / "a.nii", ramp).read_bytes()
        parts = [gzip.compress(content[:777]), gzip.compress(content[777:])]
        (tmp_path / "b.nii.gz").write_bytes(b"".join(parts))
        assert np.array_equal(
            read_volume(tmp_path / "b.nii.gz").data, read_volume(tmp_path / "a.nii").data
        )

    def test_bytes_behind_the_voxels_do_no_harm(self, tmp_path, ramp):
        path = save(tmp_path / "a.nii", ramp)
        expected = read_volume(path)
        path.write_bytes(path.read_bytes() + b"more")
        assert np.array_equal(read_volume(path).data, expected.data)

    def test_colour_voxels(self, tmp_path):
        colours = np.zeros((9, 9, 9), [("R", "u1"), ("G", "u1"), ("B", "u1")])
        self.refused(save(tmp_path / "a.nii", colours), "colour")

    @pytest.mark.parametrize("value", [0, 7])
    def test_a_constant_image(self, tmp_path, value):
        self.refused(save(tmp_path / "a.nii", np.full((9, 9, 9), value, np.int16)), "every voxel")

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_many_voxels_that_are_no_number(self, tmp_path, ramp, bad):
        data = ramp.astype(np.float32)
        data[:5] = bad
        self.refused(save(tmp_path / "a.nii", data), "50% of the voxels are no number")

    def test_numbers_too_large_for_float32(self, tmp_path, ramp):
        self.refused(save(tmp_path / "a.nii", ramp * 1e300), "no number")

    @pytest.mark.parametrize(
        ("zoom", "looks"), [(0.001, "metres"), (1000.0, "micrometres"), (30.0, "Correct")]
    )
    def test_voxel_sizes_that_no_head_has(self, tmp_path, ramp, zoom, looks):
        path = save(tmp_path / "a.nii", ramp, np.diag([zoom, zoom, zoom, 1]))
        assert looks in self.refused(path, "voxels of")

    @pytest.mark.parametrize("code", [1, 3])
    def test_millimetres_under_another_units_name(self, tmp_path, ramp, code):
        path = save(tmp_path / "a.nii", ramp, np.diag([1.2, 1, 1, 1]), xyzt_units=code)
        assert "The numbers look like millimetres" in self.refused(path, "voxels of")

    def test_micrometres_that_must_be_millimetres(self, tmp_path, ramp):
        path = save(tmp_path / "a.nii", ramp, np.eye(4), xyzt_units=3)
        assert "unit: micrometres" in self.refused(path, "voxels of 0.001")

    @pytest.mark.parametrize("zooms", [(0.0, 0, 0), (np.nan, 1, 1)])
    def test_no_voxel_sizes_and_no_form(self, tmp_path, ramp, zooms):
        path = patch(save(tmp_path / "a.nii", ramp), 80, "<3f", *zooms)
        self.refused(patch(path, 252, "<2h", 0, 0), "voxel sizes")

    @pytest.mark.parametrize("offset", [*range(40, 56, 2), *range(70, 74, 2), *range(76, 112, 4)])
    @pytest.mark.parametrize("junk", [b"\xff\xff\xff\xff", b"\0\0\xc0\x7f", b"\0\0\0\0"])
    def test_a_damaged_header_gives_a_volume_or_a_reason(self, tmp_path, ramp, offset, junk):
        path = save(tmp_path / "a.nii", ramp)
        content = bytearray(path.read_bytes())
        content[offset : offset + 4] = junk
        path.write_bytes(content)
        with contextlib.suppress(ScanError):
            assert np.isfinite(read_volume(path).data).all()

    def test_memory_stays_within_twice_the_volume(self, tmp_path):
        data = np.random.default_rng(0).integers(0, 99, (100, 100, 100)).astype(np.int16)
        path = save(tmp_path / "a.nii", data)
        with peak_memory() as peak:
            volume = read_volume(path)
        assert peak() < 2 * volume.data.nbytes


def test_every_broken_or_foreign_file_gives_a_volume_or_a_reason(shared_data):
    files = [p for name in (BROKEN, FOREIGN) for p in (shared_data / name).iterdir()]
    read, refused = {}, {}
    for path in files:
        try:
            read[path.name] = read_volume(path)
        except ScanError as error:
            refused[path.name] = error
    assert set(refused) >= {"not-nifti.nii", "5D_small.nii", "5D_zeros.nii.gz", "LICENSE"}
    assert "colour" in str(refused["ct_perfusion.nii.gz"])
    for name, volume in read.items():
        oracle = nib.as_closest_canonical(nib.load(next(p for p in files if p.name == name)))
        assert np.array_equal(volume.data, np.squeeze(oracle.get_fdata(dtype=np.float32))), name
        assert np.allclose(volume.affine, oracle.affine, atol=1e-4), name


def test_freesurfer_volumes_are_read_like_nibabel_does(shared_data):
    path = shared_data / "heads-other" / "aomic_sub-0001" / "orig.mgz"
    oracle = nib.as_closest_canonical(nib.load(path))
    volume = read_volume(path)
    assert np.array_equal(volume.data, oracle.get_fdata(dtype=np.float32))
    assert np.allclose(volume.affine, oracle.affine)
