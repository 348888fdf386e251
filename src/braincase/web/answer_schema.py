"""JSON schema of the answer to a search: what `braincase search --json` prints, with an identity.

It is part of the contract of `braincase.web.schema`: a field is only ever added.
"""

from __future__ import annotations

from pydantic import ConfigDict, Field

from braincase.web.schema import Body, OpenBody, SearchRequest, Value


class VisitBody(Body):
    """A later visit of a hit's person."""

    scan_id: str
    session: str | None
    years: float | None
    age: float | None
    label: Value
    score: Value


class LabelChangeBody(Body):
    """A change of the label from the hit's scan to the last visit, and in how many people."""

    before: Value
    after: Value
    people: int


class SeenAgainBody(Body):
    """What became of the people found: who was seen again, and whose label had changed."""

    seen: int = Field(description="People with a later visit.")
    years: tuple[float, float] | None = Field(
        description="To the last visit, the shortest and the longest; null where ages are unknown."
    )
    known: int = Field(description="Of how many of them the label is known at both ends.")
    changes: list[LabelChangeBody] = Field(description="The most frequent first.")


class HitBody(Body):
    """One similar case."""

    rank: int
    scan_id: str
    subject: str
    session: str | None
    distance: float
    score: float
    labels: dict[str, Value]


class NormalityBody(OpenBody):
    """How far a person is from normal for age and sex, and how differently from the query."""

    controls: int | None
    control_ages: list[float] | None = Field(
        None, description="Of the youngest and the oldest; of other ages nothing is known."
    )
    control_sexes: list[str] | None = Field(
        None, description="Of the controls; of the other sex nothing is known."
    )
    normal_anatomy: float | None
    abnormality: float | None
    abnormal: list[tuple[str, float]] | None


class VolumeBody(Body):
    """Volume of a region in ml, of brains of one size, and its percentile for age and sex."""

    name: str
    ml: float
    percentile: float | None = Field(description="0 to 100; null where it is not known.")


class VolumeNormsBody(Body):
    """What percentiles of volumes are of."""

    controls: int
    ages: list[float] = Field(description="Of the youngest and the oldest control.")
    sexes: list[str] = Field(description="Of the controls.")


class AnsweredHitBody(HitBody):
    """One similar case and what is known of it."""

    model_config = ConfigDict(extra="allow")

    regions: list[tuple[str, float]] = Field(description="Largest shares of the distance.")
    likeness: list[tuple[str, float]] = Field(
        description="Parts of the brain, most alike first; 1: as different as two people usually."
    )
    closer_than: float | None = Field(
        None, description="Share of pairs of people here who lie farther apart than query and hit."
    )
    chosen: list[tuple[str, float]] = Field(
        default_factory=list, description="As `likeness`, of the regions that were searched by."
    )
    outcome: list[VisitBody] = Field(description="Later visits of this person.")
    normality: NormalityBody | None = None
    volumes: list[VolumeBody] = Field(
        default_factory=list, description="Of named regions; empty where the code holds none."
    )


class ShareBody(Body):
    """How many of the neighbours have one value of the label, with a 95 % interval."""

    value: str
    share: float
    low: float
    high: float
    probability: float | None = None


class CalibrationBody(OpenBody):
    """On how many people the probabilities rest, and how good they are (Brier score)."""

    people: int
    classes: list[str]
    brier_before: float
    brier_after: float


class NeighboursBody(OpenBody):
    """What the neighbours' labels say."""

    label: str
    people: int
    unknown: int
    shares: list[ShareBody]
    probabilities: dict[str, float] | None = None
    calibration: CalibrationBody | None = None
    text: list[str] = Field(default_factory=list)


class TypicalityBody(OpenBody):
    """Whether the gallery has any similar case."""

    p_value: float
    distance: float
    people: int
    as_far: int = Field(description="Of these people, whose nearest other is as far away.")
    usual: float = Field(description="Distance of the nearest other person, median of people.")
    filtered: bool = Field(description="Whether these are people who pass the search's filter.")
    judged: str = Field(description="As what, where the hits are of a moved query: `unmoved`.")
    unlike: bool
    text: str


class AnswerBody(OpenBody):
    """The answer to a search: the record of `braincase search --json`, with its identity."""

    search: str
    request: SearchRequest
    hits: list[AnsweredHitBody]
    same_subject: list[HitBody]
    own_subject: str | None
    subject_detected: bool
    gallery: str
    gallery_version: int
    fingerprint: str
    n_cases: int
    n_selected: int
    n_searched: int
    k: int
    where: str
    weights_name: str | None
    query_id: str | None
    query_labels: dict[str, Value]
    exact: bool
    notes: list[str]
    label: str | None
    score: str | None
    seen_again: SeenAgainBody | None = Field(None, description="Null where nobody was.")
    neighbours: NeighboursBody | None
    typicality: TypicalityBody | None
    usually_closer_than: float | None = Field(
        None, description="`closer_than` of a person's nearest other, median of people here."
    )
    normality: NormalityBody | None = None
    volumes: list[VolumeBody] = Field(default_factory=list, description="Of the query.")
    volume_norms: VolumeNormsBody | None = None
    model_simulated: bool = Field(
        False,
        description="The model knows simulated people only, and the gallery or the query may be"
        " of real ones.",
    )
    without_regions: str | None = Field(None, description="Why no hit names regions.")


class CourseBody(Body):
    """A person who changed alike: two scans, the years between, and how volumes changed."""

    rank: int
    subject: str
    prior: str
    current: str
    years: float
    distance: float
    prior_labels: dict[str, Value]
    labels: dict[str, Value]
    volume_rates: dict[str, float] = Field(description="Percent a year, by region.")


class ChangesBody(OpenBody):
    """People whose brain changed alike over a like time, the most alike first."""

    hits: list[CourseBody]
    years: float = Field(description="Between the query's scans.")
    volume_rates: dict[str, float] = Field(description="Of the query, percent a year.")
    n_courses: int
    n_people: int
    like_time: tuple[float, float] = Field(description="Years between the scans of a hit.")
    gallery: str
    gallery_version: int
    notes: list[str]
