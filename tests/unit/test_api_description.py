"""The service's description of itself: valid OpenAPI 3.1, complete, and with examples that its own schemas accept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import schemathesis

from workflows.service.app import routes
from workflows.service.problems import CONTENT_TYPE

DOCUMENT = routes().openapi()
METHODS = {"get", "post"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


every_operation = pytest.mark.parametrize(
    ("path", "method", "operation"), list(operations()), ids=[each["operationId"] for _, _, each in operations()]
)


def accepts(schema: dict[str, Any], value: Any) -> None:
    """Fail unless a value is as a schema of the document says."""
    whole = {**schema, "components": DOCUMENT["components"], "$schema": "https://json-schema.org/draft/2020-12/schema"}
    jsonschema_rs.validate(whole, json.loads(json.dumps(value)))


def test_it_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate({**schema, "$schema": "https://json-schema.org/draft/2020-12/schema"})


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    for part in text.split('"$ref": "')[1:]:
        kind, _, name = part.partition('"')[0].removeprefix("#/components/").partition("/")
        assert name in DOCUMENT["components"][kind]
    assert "HTTPValidationError" not in text


@every_operation
def test_every_operation_says_what_it_is_and_how_it_refuses(path: str, method: str, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    assert operation["operationId"] and operation["summary"] and operation["description"]
    (tag,) = operation["tags"]
    assert tag in {each["name"] for each in DOCUMENT["tags"]}
    assert all(parameter.get("description") for parameter in operation.get("parameters", [])), "of each parameter"
    assert {"413", "421", "500"} <= answers.keys()
    is_open = path in ("/healthz", "/api/access", "/problems/{name}")
    assert ("401" in answers) is ("security" in operation) is not is_open
    assert ("403" in answers) is (method == "post")
    assert ("404" in answers) is ("{execution_id}" in path or "{name}" in path)
    assert ("422" in answers) is ("parameters" in operation or "requestBody" in operation)
    for status, answer in answers.items():
        if int(status) >= 400:
            assert answer["content"] == {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


@every_operation
def test_examples_are_what_the_schemas_say(path: str, method: str, operation: dict[str, Any]) -> None:
    if "requestBody" in operation:
        body = operation["requestBody"]["content"]["application/json"]
        accepts(body["schema"], body["example"])
    for status, answer in operation["responses"].items():
        if status.startswith("2") and operation["operationId"] not in ("cancelExecution", "explainProblem"):
            (content,) = answer["content"].values()
            accepts(content["schema"], content["example"])
    accepts({"$ref": "#/components/schemas/Problem"}, DOCUMENT["components"]["schemas"]["Problem"]["examples"][0])


def test_links_name_operations_and_their_parameters() -> None:
    known = {each["operationId"]: {one["name"] for one in each.get("parameters", [])} for _, _, each in operations()}
    links = [
        link
        for _, _, each in operations()
        for answer in each["responses"].values()
        for link in answer.get("links", {}).values()
    ]
    assert len(links) >= 10
    for link in links:
        assert link["parameters"].keys() <= known[link["operationId"]]
