"""One marked head, stored in every format and layout that a reader knows.

The head is simulated and has a dark ball of 9 mm, like a lesion, in the white matter of its right
hemisphere. Each format stores its axes in another order, and oblique where it can say so.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from braincase.images.geometry import Affine, apply_affine
from braincase.simulate.head import Pose, Scanning, simulate_head
from markers import stored_as, write_analyze, write_dicom

#: The middle of the ball, MNI mm: white matter of the right hemisphere, at the corona radiata.
MARK = np.array([28.0, -12.0, 32.0])
MIRRORED = MARK * (-1, 1, 1)
RADIUS_MM = 9.0
POSE = Pose((6, -4, 5), (4, -6, 3))
SCANNING = Scanning(zooms_mm=(2.5, 2.5, 2.5), field_mm=(190, 240, 245), noise=0.02)
#: How the scanner's axes stand to the array's where the format can say it: oblique.
TILT = np.eye(4)
TILT[:3, :3] = Rotation.from_euler("xyz", (8, -11, 14), degrees=True).as_matrix()

#: Every way in: who the reader says the subject is, and towards where the stored axes run.
STORED = {
    "NIfTI, one file given": ("gz", "LAS"),
    "images: NIfTI-2": ("nifti2", "PSR"),
    "images: NIfTI, sform only": ("sform", "IRA"),
    "images: saved by SimpleITK": ("simpleitk", "SPL"),
    "table: MGZ": ("mgz", "LIA"),
    "table: NIfTI pair": ("pair", "ASR"),
    "DICOM folder": ("folder", "ASL"),
    "DICOM zip": ("zip", "LPS"),
    "DICOM study of many series": ("mixed", "LIP"),
    "BIDS: NIfTI, qform only": ("bids", "LPS"),
    "ADNI: plain NIfTI": ("002S0295", "RAS"),
    "ADNI: DICOM": ("135S6545", "AIR"),
    "OASIS-1: raw Analyze": ("OAS10001", "ASL"),
    "OASIS-1: T88 Analyze": ("OAS10002", "LAS"),
    "OASIS-3": ("OAS30001", "PSR"),
}
AXES = dict(STORED.values())
#: Analyze has no room for an origin or a direction: the head lies straight, the origin is central.
ANALYZE = ("OAS10001", "OAS10002")
Head = tuple[np.ndarray, Affine]


@dataclass(frozen=True)
class World:
    """A head in RAS+ order as int16, its affine and its true affine to MNI."""

    data: dict[str, np.ndarray]
    affine: Affine
    to_mni: Affine

    def of(self, subject: str) -> tuple[Affine, Affine]:
        """Return the voxels' affine as stored, and the true one from there to MNI."""
        turn = np.eye(4) if subject in ANALYZE else TILT
        return turn @ self.affine, self.to_mni @ np.linalg.inv(turn)


def marked_head() -> World:
    """One head three times: the mark at its right, at its left, and nowhere."""
    head = simulate_head(5, POSE, SCANNING)
    assert nib.aff2axcodes(head.affine) == ("R", "A", "S")
    points = np.moveaxis(np.indices(head.data.shape), 0, -1)
    mm = apply_affine(head.affine, points.astype(float))
    data = {"none": head.data.astype(np.int16)}
    for name, place in (("right", MARK), ("left", MIRRORED)):
        centre = apply_affine(np.linalg.inv(head.native_to_mni), place)
        ball = np.linalg.norm(mm - centre, axis=-1) < RADIUS_MM
        data[name] = np.where(ball, np.int16(250), data["none"])
    return World(data, head.affine, head.native_to_mni)


def put(path: Path, head: Head, axes: str, kind=nib.Nifti1Image, forms: str = "sq") -> Path:
    """Store an image with its axes in this order, told by the sform, the qform or both."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data, affine = stored_as(*head, axes)
    image = kind(data, affine)
    if kind is not nib.MGHImage:
        image.set_sform(affine, int("s" in forms))
        image.set_qform(affine, int("q" in forms))
    nib.save(image, path)
    return path


def write_single(folder: Path, head: Head) -> list[tuple[Path, str | None]]:
    """Store images as files, in a folder of no standard, and named by tables."""
    plain, named = folder / "plain", folder / "named"
    put(plain / "nifti2.nii.gz", head, AXES["nifti2"], nib.Nifti2Image)
    put(plain / "sform.nii.gz", head, AXES["sform"], forms="s")
    first = put(named / "a.nii.gz", head, AXES["simpleitk"])
    sitk.WriteImage(sitk.ReadImage(str(first)), str(plain / "simpleitk.nii.gz"))
    put(named / "b.mgz", head, AXES["mgz"], nib.MGHImage)
    put(named / "c.img", head, AXES["pair"], nib.Nifti1Pair)
    (named / "t.csv").write_text("path,subject\nb.mgz,mgz\n")
    (named / "t.tsv").write_text("path\tsubject\nc.hdr\tpair\n")
    one = put(folder / "one.nii.gz", head, AXES["gz"])
    return [(one, "gz"), (plain, None), (named / "t.csv", None), (named / "t.tsv", None)]


def write_dicoms(folder: Path, head: Head, other: Head) -> list[tuple[Path, str]]:
    """Store DICOM series; whatever beside the T1w is in a mixed study has the mark at its left."""
    one = write_dicom(folder / "one", *stored_as(*head, AXES["folder"]))
    series = write_dicom(folder / "zipped", *stored_as(*head, AXES["zip"]))
    archive = Path(shutil.make_archive(str(folder / "study"), "zip", series))
    study, axes = {"StudyInstanceUID": "1.2.3"}, AXES["mixed"]
    write_dicom(folder / "mixed" / "a", *stored_as(*head, axes), **study)
    wrong = [
        {"SeriesDescription": "t2_space", "EchoTime": 408},
        {"SeriesDescription": "t1_mprage_gd", "ContrastBolusAgent": "Gd"},
        {"SeriesDescription": "localizer", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
    ]
    for number, fields in enumerate(wrong, start=4):
        place = folder / "mixed" / f"b{number}"
        write_dicom(place, *stored_as(*other, axes), SeriesNumber=number, **study, **fields)
    return [(one, "folder"), (archive, "zip"), (folder / "mixed", "mixed")]


def write_layouts(folder: Path, head: Head, straight: Head) -> list[tuple[Path, None]]:
    """Store the head as BIDS and as the archives of ADNI and OASIS lay it out."""
    bids, adni, first, third = (folder / n for n in ("bids", "adni", "oasis1", "oasis3"))
    path = bids / "sub-bids/ses-1/anat/sub-bids_ses-1_T1w.nii.gz"
    put(path, head, AXES["bids"], forms="q")
    (bids / "participants.tsv").write_text("participant_id\tage\nsub-bids\t70\n")
    series, date = "MPR__GradWarp__B1_Correction__N3__Scaled", "2006-04-18_08_20_30.0"
    name = f"ADNI_002_S_0295_MR_{series}_Br_20070319113623975_S13408_I45108.nii"
    leaf = adni / "ADNI/002_S_0295" / series / date / "S13408"
    put(leaf / name, head, AXES["002S0295"])
    leaf = adni / "ADNI/135_S_6545/Accelerated_Sagittal_MPRAGE/2019-09-13_10_11_12.0/I1226543"
    write_dicom(leaf, *stored_as(*head, AXES["135S6545"]))
    for number, path in enumerate(sorted(leaf.iterdir())):
        path.rename(leaf / f"ADNI_135_S_6545_MR_MPRAGE_br_raw_2019_{number}_S873_I1226543.dcm")
    name = "disc1/OAS1_0001_MR1/RAW/OAS1_0001_MR1_mpr-1_anon.hdr"
    write_analyze(first / name, *straight, AXES["OAS10001"], orient=2)
    name = "PROCESSED/MPRAGE/T88_111/OAS1_0002_MR1_mpr_n4_anon_111_t88_gfc.hdr"
    path = first / "disc1" / "OAS1_0002_MR1" / name
    write_analyze(path, *straight, AXES["OAS10002"])
    name = "OAS30001_MR_d0129/anat2/NIFTI/sub-OAS30001_ses-d0129_run-01_T1w.nii.gz"
    put(third / name, head, AXES["OAS30001"])
    return [(bids, None), (adni, None), (first, None), (third, None)]


def every_source(folder: Path, world: World) -> list[tuple[Path, str | None]]:
    """Store the head with the mark at its right in every way; return what a reader is given.

    Returns
    -------
    A path, and whom to call the person where the path holds one only.
    """
    affine, _ = world.of("")
    head, other = ((world.data[side], affine) for side in ("right", "left"))
    return [
        *write_single(folder / "files", head),
        *write_dicoms(folder / "dicom", head, other),
        *write_layouts(folder / "layouts", head, (world.data["right"], world.affine)),
    ]
