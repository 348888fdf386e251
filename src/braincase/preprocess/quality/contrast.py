"""MRI contrast detection: say what an image looks like when it is no T1-weighted human head.

A refusal helps only if it says what was seen: a user who gave the wrong series finds it by that.
Rules on few measured numbers, each with the reason in the message; None means "nothing of these".
"""

from __future__ import annotations

from collections.abc import Mapping

#: Longest edge of the field of view in which a head can be, mm.
SMALLEST_HEAD_MM, LARGEST_FIELD_MM = 100, 700
#: Fewer grey values than this are labels.
FEWEST_LEVELS = 12
#: In an angiogram only the vessels are bright: less of the image than this.
FEWEST_BRIGHT = 0.03
#: Grey matter this bright against white is no T1w contrast; less is enough if fluid is bright too,
#: for a foreign contrast is registered badly, which blurs its tissues into each other.
NOT_T1W, NOT_T1W_TOGETHER = 0.92, (0.85, 0.80)


def kind_of_raw(measures: Mapping[str, float]) -> str | None:
    """Return what an image looks like by its values and size alone, or None for a possible head.

    Parameters
    ----------
    measures
        From `braincase.preprocess.quality.measures.measure_raw`.
    """
    field = measures["field_mm"]
    if measures["air_hu"] > 0.03 and measures["minimum"] < -800:
        return "looks like a CT: air at about -1000"
    if measures["levels"] < FEWEST_LEVELS:
        return f"looks like a mask or label map: only {measures['levels']:.0f} grey values"
    if field < SMALLEST_HEAD_MM:
        return (
            f"looks like a small animal or a wrong unit: the image is only {field:.0f} mm long; "
            "the voxel sizes must be in mm"
        )
    if field > LARGEST_FIELD_MM:
        return (
            f"looks like a wrong unit: the image is {field:.0f} mm long; voxel sizes must be in mm"
        )
    if measures["bright_share"] < FEWEST_BRIGHT:
        share = measures["bright_share"]
        return f"looks like an angiogram or an empty image: only {share:.1%} of it is bright"
    return None


def kind_of_prepared(measures: Mapping[str, float]) -> str | None:
    """Return what a registered image looks like by the order of its tissues, or None for T1w.

    T1w shows fluid < grey < white; T2w white < grey < fluid; FLAIR fluid < white < grey; proton
    density hardly tells them apart; CT shows the skull brightest.

    Parameters
    ----------
    measures
        From `braincase.preprocess.quality.measures.measure_prepared`, white matter 1.
    """
    grey, fluid, bone = measures["grey"], measures["fluid"], measures["bone"]
    if bone > 1.2:
        return "looks like a CT: the skull is brighter than the brain"
    both = grey > NOT_T1W_TOGETHER[0] and fluid > NOT_T1W_TOGETHER[1]
    if not (grey > NOT_T1W or both):
        return None
    if fluid < 0.75 and grey > 1:
        return "looks like a FLAIR: grey matter is brighter than white, and fluid is dark"
    return "looks like a T2w, PD or functional image: grey matter and fluid are as bright as white"
