"""The JSON contract: pydantic models of all requests and answers, from which OpenAPI is made.

Version 1. A field is only ever added. The answer to a search is the record that
`braincase search --json` prints, with the search's identity in front.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from braincase.gallery.record.record import MOST_DIMENSIONS
from braincase.web.sent_values import has_broken_text, label_value

#: One value of a case's labels.
Value = str | float | int | None
Role = Literal["reader", "curator", "admin"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]
#: Codes of real scans stay far within this; beyond it distances overflow.
CodeNumber = Annotated[float, Field(ge=-1e6, le=1e6)]
LabelName = Annotated[str, Field(pattern=r"^[A-Za-z_]\w{0,59}$")]
#: One label as a client sends it.
SentValue = Annotated[Value, BeforeValidator(label_value)]
ScanId = Annotated[str, Field(min_length=1, max_length=200)]


class Body(BaseModel):
    """A JSON object of the service, without unknown fields.

    In an answer every field is there, those with a default as well, and OpenAPI says so.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_serialization_defaults_required=True
    )


class RequestBody(Body):
    """A JSON object that a client sends: each value of exactly its kind, each text whole."""

    model_config = ConfigDict(strict=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_broken_text(cls, content: object) -> object:
        if has_broken_text(content):
            raise ValueError("a text with half of a character (a lone surrogate) or a zero")
        return content


class OpenBody(Body):
    """A JSON object made elsewhere in the library, which may have more fields."""

    model_config = ConfigDict(extra="allow")


class FailureBody(Body):
    """Why a request was not carried out."""

    error: str = Field(description="A name for programs.")
    message: str = Field(description="One line for a radiologist.")


class DoneBody(Body):
    """It is done."""

    status: Literal["ok"] = "ok"
    version: str


WorkerState = Literal["none", "starting", "ready", "stopped", "failing"]


class ServiceHealthBody(Body):
    """What works of the service; where a part fails the answer is a 503 that names it."""

    status: Literal["ok"] = "ok"
    version: str
    gallery: Literal["ok", "failing"]
    worker: WorkerState = Field(
        description="none: started without a model; stopped: starts with the next upload."
    )
    disk: Literal["ok", "almost full"]
    audit: Literal["ok", "failing"]


class MeBody(Body):
    """Who is asking."""

    user: str
    role: Role
    csrf: str = Field(description="Send it as X-CSRF-Token with every change.")
    shown: str = Field(description="The name to show: for users of an OpenID provider another one.")
    login: bool = Field(description="Whether one has a session here, which one can end.")
    password: bool = Field(description="Whether one has a password and API tokens here.")
    opens_viewer: bool = Field(False, description="May open a case's study in the viewer.")
    finds_studies: bool = Field(False, description="May open a study of the archive.")


class SignInBody(Body):
    """How one may sign in."""

    password: bool = Field(description="With a name and a password: POST /login.")
    provider: str | None = Field(description="Name of the OpenID provider: GET /oidc/login.")


class LogoutBody(DoneBody):
    """The session has ended."""

    provider_logout: str | None = Field(
        None,
        description="Where one signs out at the OpenID provider, where one still is signed in.",
    )


class LoginRequest(RequestBody):
    """A user's name and password."""

    user: Annotated[str, Field(min_length=1, max_length=200)]
    password: Annotated[str, Field(min_length=1, max_length=1000)]


class PasswordRequest(RequestBody):
    """A user's own old and new password."""

    old: Annotated[str, Field(min_length=1, max_length=1000)]
    new: Annotated[str, Field(min_length=1, max_length=1000)]


class SessionBody(Body):
    """One session of the user who asks; times in UTC."""

    begun: str
    used: str
    current: bool


class TokenBody(Body):
    """One API token of the user who asks; times in UTC, `until` empty if it never ends."""

    id: str
    note: str
    made: str
    until: str


class TokenRequest(RequestBody):
    """An API token that a user wants."""

    note: Annotated[str, Field(max_length=200)] = ""
    days: Annotated[float, Field(gt=0, le=3650)] | None = 90.0


class NewTokenBody(Body):
    """A new API token; its text is told this once."""

    token: str


class ColumnBody(Body):
    """One column of the gallery, to filter and colour by."""

    name: str
    kind: Literal["number", "text"]
    values: list[str] | None = Field(None, description="Of text: the 50 most frequent.")
    minimum: float | None = None
    maximum: float | None = None


class GalleryBody(Body):
    """What the gallery holds now."""

    name: str
    version: int
    cases: int
    people: int
    fingerprint: str
    resolution_mm: int
    label: str | None
    columns: list[ColumnBody]
    can_upload: bool
    upload_bytes: int = Field(description="The largest upload that is taken.")
    regions: list[str]
    encoder: str = Field("", description="The name of a foreign encoder; empty for a model.")
    without_regions: str | None = Field(
        None, description="Why there are none: the codes are no map of the brain's cells."
    )
    simulated: bool | None = Field(description="True where all people are simulated.")
    model_simulated: bool = Field(
        False, description="The model has learned from simulated people only."
    )


class PointBody(Body):
    """One case on the map."""

    scan_id: str
    subject: str
    x: float
    y: float
    value: Value


class PlaceBody(Body):
    """Where the query lies on the map."""

    x: float
    y: float


class MapBody(Body):
    """All cases in two dimensions: the first principal components of their codes."""

    version: int
    columns: list[str]
    colour: str | None
    explained: list[float] = Field(description="Share of the variance on x and y.")
    points: list[PointBody]
    query: PlaceBody | None = Field(description="Of the search that was named.")


class CaseBody(Body):
    """One scan in the gallery."""

    scan_id: str
    subject: str
    session: str | None
    labels: dict[str, Value]
    view_mm: int | None = Field(
        None, description="Voxel edge of its view volume; null where it has none."
    )


class ViewerBody(Body):
    """Where a case's study is shown."""

    url: str


class StudyRequest(RequestBody):
    """A study of the archive: exactly one of `study` and `accession`."""

    study: Annotated[str, Field(pattern=r"^[0-9.]+$", max_length=64)] | None = None
    accession: Annotated[str, Field(min_length=1, max_length=64)] | None = None

    @model_validator(mode="after")
    def _check_one(self) -> StudyRequest:
        if (self.study is None) == (self.accession is None):
            raise ValueError("exactly one of study and accession")
        return self


class CasesBody(Body):
    """Some of the cases that a filter leaves."""

    total: int
    version: int
    cases: list[CaseBody]


class StudyCasesBody(Body):
    """The cases that are scans of one study; else the study as the DICOM node has prepared it."""

    cases: list[CaseBody]
    upload: str | None = Field(None, description="To search with, as an uploaded scan.")
    subject: str | None = Field(None, description="The pseudonym of its person.")


class NewCaseRequest(RequestBody):
    """A curator's request to add an uploaded scan as a case."""

    upload: Annotated[str, Field(max_length=64)]
    scan_id: Annotated[
        str, Field(pattern=r"^sub-[A-Za-z0-9]+(_ses-[A-Za-z0-9]+)?$", max_length=200)
    ]
    subject: Annotated[str, Field(pattern=r"^[A-Za-z0-9]+$", max_length=100)]
    session: Annotated[str, Field(pattern=r"^[A-Za-z0-9]+$", max_length=100)] | None = None
    labels: Annotated[dict[LabelName, SentValue], Field(max_length=100)] = Field(
        default_factory=dict
    )


class ChangeBody(Body):
    """What a curator's change did; `version` names the gallery after it."""

    version: int
    added: list[str]
    removed: list[str]
    duplicates: list[str] = Field(description="Cases with the very same image.")


class SeriesBody(Body):
    """A DICOM series that may be the scan."""

    number: int
    description: str
    slices: int


class JobBody(Body):
    """The preparation of an uploaded scan."""

    job: str
    state: JobState
    stage: str
    progress: Annotated[float, Field(ge=0, le=1)]
    message: str
    notes: list[str]
    series: list[SeriesBody] = Field(
        default_factory=list,
        description="Of a failed job: send the file again with `series=NUMBER` of one of these.",
    )
    view_mm: int | None = Field(
        None, description="Voxel edge of its view volume; null where it has none."
    )


class StartedBody(Body):
    """A job that has been accepted."""

    job: str


class RegionRequest(RequestBody):
    """A region to compare, and how much it counts."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0


class SearchRequest(RequestBody):
    """What to look for: exactly one of `case`, `upload` and `code`."""

    case: ScanId | None = None
    upload: Annotated[str, Field(max_length=64)] | None = None
    code: Annotated[list[CodeNumber], Field(min_length=1, max_length=MOST_DIMENSIONS)] | None = None
    k: Annotated[int, Field(ge=1, le=1000)] = 10
    where: Annotated[str, Field(max_length=2000)] = ""
    subject: Annotated[str, Field(max_length=200)] | None = None
    regions: Annotated[list[RegionRequest], Field(max_length=50)] = Field(default_factory=list)
    as_of: Annotated[int, Field(ge=0, le=2**53)] | None = None
    plus: Annotated[list[ScanId], Field(max_length=100)] = Field(default_factory=list)
    minus: Annotated[list[ScanId], Field(max_length=100)] = Field(default_factory=list)
    older: Annotated[float, Field(ge=-100, le=100)] | None = None
    similar_by: Annotated[
        Literal["code", "normal", "abnormality"],
        Field(description="`normal`: built alike; `abnormality`: ill alike."),
    ] = "code"
    known: Annotated[
        dict[LabelName, SentValue],
        Field(max_length=20, description="Of an upload's person, such as age and sex (F or M)."),
    ] = Field(default_factory=dict)
    normality: Annotated[
        bool, Field(description="Also say how far from normal query and hits are.")
    ] = False
    controls: Annotated[
        Annotated[str, Field(max_length=2000)] | None,
        Field(description="Who is a control: a filter such as `cdr = 0`; null: by diagnosis."),
    ] = None

    @field_validator("known")
    @classmethod
    def _check_age_and_sex(cls, known: dict[str, Value]) -> dict[str, Value]:
        """Refuse what the library would not use, as the command line does."""
        age, sex = known.get("age"), known.get("sex")
        if age is not None and (isinstance(age, str) or not 0 <= age <= 130):
            raise ValueError("age must be a number of years, 0 to 130")
        if sex is not None and sex not in ("F", "M"):
            raise ValueError("sex must be F or M")
        return known


class RegionBody(Body):
    """One region of the atlas; `index` is its value in the atlas image."""

    index: int
    name: str
    hemisphere: Literal["left", "right", "both"]
