"""The OpenAPI schema against the service: generated requests, and each answer as promised."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as bounded
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from braincase.web.app import PREFIX, ROUTES, Route
from web_service import serving, settings_for, wait_for

#: A stream of events has no end to wait for.
CALLED = [route for route in ROUTES if not route.path.endswith("/events")]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
BOUNDED = bounded(
    max_examples=10,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def service_schema(
    web_gallery: Path, web_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[schemathesis.BaseSchema, dict[str, str]]]:
    """The schema, and names of things that the service has."""
    folder = tmp_path_factory.mktemp("schema")
    shutil.copytree(web_gallery, folder / "gallery")
    options = {"limits": {"queue": 10_000, "kept_uploads": 10_000}}
    settings = settings_for(folder / "gallery", folder / "audit.jsonl", web_model, **options)
    with serving(settings) as client:
        wait_for(lambda: client.get(f"{PREFIX}/ready").status_code == 200)
        case = client.get(f"{PREFIX}/cases").json()["cases"][0]["scan_id"]
        told = client.post(f"{PREFIX}/searches", json={"case": case, "k": 2}).json()
        schema = schemathesis.openapi.from_url(f"{client.base_url}{PREFIX}/openapi.json")
        yield schema, {"scan_id": told["hits"][0]["scan_id"], "search": told["search"]}


@pytest.mark.parametrize("route", CALLED, ids=lambda route: f"{route.method} {route.path}")
def test_every_answer_is_as_the_schema_promises(
    service_schema: tuple[schemathesis.BaseSchema, dict[str, str]], route: Route
) -> None:
    """Generated requests, sensible and senseless; no fault, no answer that the schema lacks."""
    schema, there = service_schema
    operation = schema[PREFIX + route.path][route.method]

    @BOUNDED
    @given(case=operation.as_strategy())
    def call(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS)
        known = {name: there[name] for name in case.path_parameters or {} if name in there}
        if known and route.method == "GET":
            case.path_parameters = {**case.path_parameters, **known}
            case.call_and_validate(checks=CHECKS)

    call()


def test_the_schema_is_whole(
    service_schema: tuple[schemathesis.BaseSchema, dict[str, str]],
) -> None:
    paths = service_schema[0].raw_schema["paths"]
    for route in ROUTES:
        told = paths[PREFIX + route.path][route.method.lower()]
        assert told["summary"]
        answers = told["responses"]
        assert {"400", "403", "429", "503"} <= set(answers)
        good = answers[str(route.status)]["content"]
        assert all(
            kind != "application/json" or content["schema"] for kind, content in good.items()
        )
        for status, answer in answers.items():
            if status[0] in "45" and status != "416":
                reference = answer["content"]["application/json"]["schema"]["$ref"]
                assert reference.endswith("/FailureBody")
