"""Structured report (DICOM SR, TID 1500 "Measurement Report") of an answer, by highdicom.

One measurement group for the search as a whole (algorithm, gallery, typicality, neighbours,
z-scores by region) and one for each hit. Concepts that no dictionary has are of the private scheme
``99BRAINCASE``; their meanings stand in the report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from braincase.answer.compose import Answer, AnsweredHit
from braincase.labels import value_text
from braincase.pacs.dicom_objects import MAKER, Source, describe
from braincase.purpose import PURPOSE
from braincase.report.wording import reason_of, sections_of, warning_of
from braincase.sources.archive_links import ImageReference, Link
from braincase.version import __version__

SCHEME = "99BRAINCASE"
RATIO = Code("1", "UCUM", "no units")
PROCEDURE = Code("24590-2", "LN", "MR Brain")
#: Letters of a text item.
MOST_TEXT = 1000


@dataclass(frozen=True)
class Searched:
    """What was searched with and in.

    Parameters
    ----------
    model
        Its fingerprint.
    gallery, version
        The gallery's name and version.
    studies
        Studies of hits by scan_id, where they are known and may be named.
    """

    model: str
    gallery: str
    version: int
    studies: Mapping[str, Link]


def report_object(
    answer: Answer, searched: Searched, source: Source, series: int, parts: Sequence[object],
    made: datetime,
) -> Any:  # fmt: skip
    """Return an answer as a structured report in the source's study.

    Parameters
    ----------
    answer
        What is reported.
    searched
        By which model, in which gallery.
    source
        Whose study it belongs to.
    series
        The series number.
    parts
        What makes this result what it is; see `Source.uid`.
    made
        When the result was made.
    """
    evidence = [_reference(source, image, source.study_uid) for image in source.images]
    own = {str(image.SOPInstanceUID) for image in evidence}
    others = {link.image: link.study for link in searched.studies.values()}
    evidence += [
        _reference(source, image, study)
        for image, study in others.items()
        if image is not None and image[1] not in own
    ]
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=source.uid("device", __version__), name=MAKER, manufacturer_name=MAKER,
        model_name="similar-case search", serial_number="0",
    )  # fmt: skip
    context = sr.ObservationContext(
        sr.ObserverContext(codes.DCM.Device, device),
    )
    groups = [_search_group(answer, searched, source, evidence[0])]
    groups += [_hit_group(hit, searched, source) for hit in answer.hits]
    content = sr.MeasurementReport(
        observation_context=context, procedure_reported=PROCEDURE, imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )  # fmt: skip
    report = sr.EnhancedSR(
        evidence=evidence, content=content[0],
        series_instance_uid=source.uid("report series", *parts),
        series_number=series, sop_instance_uid=source.uid("report", *parts), instance_number=1,
        manufacturer=MAKER, is_complete=True, is_final=False, is_verified=False,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )  # fmt: skip
    describe(report, source, series, "Similar cases (research)", made)
    return report


def _reference(source: Source, image: ImageReference, study: str) -> Any:
    """Return the little of an image that a report refers to it by."""
    reference = Dataset()
    reference.SOPClassUID, reference.SOPInstanceUID, reference.SeriesInstanceUID = image
    reference.StudyInstanceUID = study
    reference.Modality = "MR"
    reference.PatientID = reference.PatientName = reference.PatientBirthDate = ""
    reference.PatientSex = reference.StudyDate = reference.StudyTime = reference.StudyID = ""
    reference.AccessionNumber = reference.ReferringPhysicianName = ""
    reference.Rows = int(source.header.get("Rows") or 1)
    reference.Columns = int(source.header.get("Columns") or 1)
    return reference


def _search_group(answer: Answer, searched: Searched, source: Source, image: Any) -> Any:
    """Return the group of the search as a whole."""
    measurements = [_number("GALLERYVERSION", "Gallery version", searched.version)]
    if answer.typicality is not None:
        measurements.append(
            _number("TYPICALITY", "Conformal p of the distance", answer.typicality.p_value)
        )
    if answer.neighbours is not None:
        for share in answer.neighbours.shares:
            label = source.words(value_text(share.label))
            for what, value in (("share", share.share), ("low", share.low), ("high", share.high)):
                meaning = f"Neighbours {label}: {_INTERVAL[what]}"
                measurements.append(_number(f"NEIGHBOUR{what.upper()}", meaning, value))
    if answer.normality is not None:
        for name, z in answer.normality.by_region.items():
            measurements.append(_number("ZREGION", f"z of brightness, {name}", z))
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=source.uid("search", searched.model, searched.version), identifier="Search"
        ),
        finding_type=_code("SEARCH", "Similar-case search"),
        algorithm_id=sr.AlgorithmIdentification(
            name=f"{MAKER} similar-case search", version=__version__,
            parameters=[f"model {searched.model}", source.words(f"gallery {searched.gallery}")],
        ),
        measurements=measurements,
        source_images=[
            sr.SourceImageForMeasurementGroup(
                str(image.SOPClassUID), str(image.SOPInstanceUID)
            )
        ],
    )  # fmt: skip
    texts = [PURPOSE, warning_of(answer)]
    texts += [f"{heading}: {line}" for heading, lines in sections_of(answer) for line in lines]
    _say(group, source, texts)
    return group


_INTERVAL = {
    "share": "share of people",
    "low": "lower end of the 95 % interval",
    "high": "upper end of the 95 % interval",
}


def _hit_group(hit: AnsweredHit, searched: Searched, source: Source) -> Any:
    """Return the group of one hit."""
    found = hit.hit
    measurements = [
        _number("RANK", "Rank", found.rank),
        _number("DISTANCE", "Distance of codes", found.distance),
        _number("SCORE", "Similarity score", found.score),
    ]
    if hit.closer_than is not None:
        meaning = "Share of pairs of people who are farther apart"
        measurements.append(_number("CLOSERTHAN", meaning, hit.closer_than))
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=source.uid("hit", searched.model, searched.version, found.scan_id),
            identifier=source.words(f"Hit {found.rank}: {found.scan_id}"),
        ),
        finding_type=_code("HIT", "Similar case"),
        measurements=measurements,
    )
    labels = ", ".join(f"{k} {value_text(v)}" for k, v in found.labels.items() if v is not None)
    reason = reason_of(hit)
    _say(group, source, [f"Labels: {labels}" if labels else "", reason[:1].upper() + reason[1:]])
    if link := searched.studies.get(found.scan_id):
        group[0].ContentSequence.extend(_places(link))
    return group


def _places(link: Link) -> Iterator[Any]:
    """Yield where in the archive a hit is: its study, and an image of it for viewers to open."""
    contains = sr.RelationshipTypeValues.CONTAINS
    yield sr.UIDRefContentItem(_code("HITSTUDY", "Study of the similar case"), link.study, contains)
    if link.image is not None:
        kind, instance, _ = link.image
        name = _code("HITIMAGE", "Image of the similar case")
        yield sr.ImageContentItem(name, kind, instance, relationship_type=contains)


def _say(group: Any, source: Source, texts: Sequence[str]) -> None:
    """Add sentences to a group, as comments."""
    for text in texts:
        if text:
            group[0].ContentSequence.append(
                sr.TextContentItem(
                    Code("121106", "DCM", "Comment"), source.words(text)[:MOST_TEXT],
                    sr.RelationshipTypeValues.CONTAINS,
                )
            )  # fmt: skip


def _code(value: str, meaning: str) -> Any:
    return sr.CodedConcept(value, SCHEME, meaning[:64])


def _number(value: str, meaning: str, number: float) -> Any:
    return sr.Measurement(_code(value[:16], meaning), _six_digits(number), RATIO)


def _six_digits(number: float) -> float:
    return number if isinstance(number, int) else float(f"{number:.6g}")
