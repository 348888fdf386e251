"""The contract as files: the OpenAPI schema in the source tree is that of the application."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from braincase.web.answer_schema import AnswerBody
from braincase.web.openapi import OPENAPI_FILE, openapi_text
from web_service import API, serving, settings_for

FRONTEND = OPENAPI_FILE.parent


def test_the_schema_in_the_source_tree_is_the_applications() -> None:
    advice = "run `make api-types`, which writes it and the TypeScript types again"
    assert OPENAPI_FILE.read_text(encoding="utf-8") == openapi_text(), advice


@pytest.mark.skipif(
    not (FRONTEND / "node_modules" / ".package-lock.json").is_file(),
    reason="the frontend's packages are not installed",
)
def test_the_check_of_the_build_refuses_other_types_than_the_schemas(tmp_path: Path) -> None:
    page = tmp_path / "frontend"
    for name in ("openapi.json", "api-types/package.json", "src/api/types.ts"):
        (page / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(FRONTEND / name, page / name)
    for name in ("node_modules", "api-types/node_modules"):
        (page / name).symlink_to(FRONTEND / name)

    def check() -> int:
        command = ["npm", "run", "--silent", "check"]
        return subprocess.run(command, cwd=page / "api-types", capture_output=True).returncode

    assert check() == 0
    schema = page / "openapi.json"
    schema.write_text(schema.read_text(encoding="utf-8").replace('"n_cases"', '"n_scans"'))
    assert check() != 0


def test_the_schema_that_is_served_is_that_of_the_source_tree(
    web_gallery: Path, tmp_path: Path
) -> None:
    with serving(settings_for(web_gallery, tmp_path / "audit.jsonl")) as client:
        served = client.get(f"{API}/openapi.json").json()
    assert served == json.loads(OPENAPI_FILE.read_text(encoding="utf-8"))


def test_the_contract_names_every_field_of_an_answer(web_gallery: Path, tmp_path: Path) -> None:
    with serving(settings_for(web_gallery, tmp_path / "audit.jsonl")) as client:
        case = client.get(f"{API}/cases").json()["cases"][3]["scan_id"]
        request = {"case": case, "k": 5, "normality": True}
        answer = client.post(f"{API}/searches", json=request).json()
    assert answer["neighbours"]
    assert answer["typicality"]
    assert surplus_fields(AnswerBody.model_validate(answer)) == []


def surplus_fields(value: Any, path: str = "") -> list[str]:
    """Fields, at any depth, that the models of an answer allow but do not name."""
    if isinstance(value, BaseModel):
        surplus = [f"{path}.{name}" for name in value.model_extra or {}]
        for name in type(value).model_fields:
            surplus += surplus_fields(getattr(value, name), f"{path}.{name}")
        return surplus
    if isinstance(value, list):
        return [name for inner in value for name in surplus_fields(inner, f"{path}[]")]
    return []
