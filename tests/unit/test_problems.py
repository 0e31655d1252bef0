"""The kinds of problems: each is explained, in one place, and every refusal has one."""

from __future__ import annotations

import importlib.util
import re
from http import HTTPStatus
from pathlib import Path

import pytest

from projector import errors
from projector.errors import StatusError
from workflows.service import problem_kinds
from workflows.service.problem_kinds import ENGINE_UNREACHABLE, KINDS, Kind, explained, kind_of, kind_of_status

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "src" / "workflows" / "service"


def test_the_page_is_what_the_code_says_now() -> None:
    spec = importlib.util.spec_from_file_location("generate_problems", ROOT / "docs" / "generate_problems.py")
    assert spec is not None and spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    made = (ROOT / "docs" / "problems.md").read_text(encoding="utf-8")
    assert made == generator.page(), "run `python docs/generate_problems.py`"


def test_all_are_in_one_place() -> None:
    known = [kind for kind in vars(problem_kinds).values() if isinstance(kind, Kind)]
    assert list(KINDS.values()) == known
    assert [kind.status for kind in known] == sorted(kind.status for kind in known)
    for file in SERVICE.glob("*.py"):
        if file.name != "problem_kinds.py":
            assert not re.search(r"\bKind\(", file.read_text(encoding="utf-8")), f"{file.name} makes a kind of its own"


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_each_is_explained(kind: Kind) -> None:
    text = " ".join(explained(kind).split())
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.name)
    assert HTTPStatus(kind.status) >= 400
    assert f"`{kind.name}`, HTTP {kind.status}" in text
    for part in (kind.title, kind.means, kind.remedy):
        assert part and part in text


def test_one_that_leaves_a_failure_shows_its_entry_in_the_catalogue() -> None:
    assert "E601, `engine_unavailable`" in " ".join(explained(ENGINE_UNREACHABLE).split())


def every_error() -> list[type[StatusError]]:
    return [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, StatusError)]


@pytest.mark.parametrize("error", every_error(), ids=lambda error: error.__name__)
def test_every_refusal_has_one(error: type[StatusError]) -> None:
    kind = kind_of(error.__new__(error))
    assert kind in KINDS.values()
    assert (kind.status == 503) is issubclass(
        error, errors.StoreError | errors.EngineUnreachable | errors.TooManyStreams
    )


def test_what_the_framework_refuses_has_one() -> None:
    for status in (400, 404, 405, 413, 415, 500, 503):
        kind = kind_of_status(status)
        assert kind in KINDS.values() and (kind.status >= 500) is (status >= 500)
