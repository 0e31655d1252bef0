"""Replay: each event with the status after it, as of any version, the same as it was live."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from projector.engines.ports import StoreEngine
from projector.envelope import execution_stream
from projector.errors import ExecutionNotFound, InputRejected
from projector.execution_status import fold
from projector.replay import history, replay, status_at
from projector.repository import ExecutionRepository
from tests.engines import Engine
from tests.histories import REMARK, REQUESTED, SHIPWRECK, SURVEY, VOYAGE, news

REEF = execution_stream(SURVEY)


@pytest.fixture
def store(engine: Engine, place: str) -> Iterator[StoreEngine]:
    with closing(engine.open(place)) as store:
        store.append(execution_stream("another"), news(*SHIPWRECK))
        store.append(REEF, news(*VOYAGE))
        yield store


def test_each_event_is_shown_with_the_status_after_it(store: StoreEngine) -> None:
    records = store.read(REEF)
    changes = list(replay(store, SURVEY))
    assert [change.record for change in changes] == records
    assert [change.status for change in changes] == [fold(None, records[:n]) for n in range(1, len(records) + 1)]


@pytest.mark.parametrize(("first", "last"), [(1, None), (1, 1), (3, 7), (12, None), (12, 12)])
def test_a_part_is_replayed_with_all_that_went_before_it(store: StoreEngine, first: int, last: int | None) -> None:
    whole = list(replay(store, SURVEY))
    assert list(replay(store, SURVEY, from_version=first, to_version=last)) == whole[first - 1 : last]


def test_the_status_as_of_any_version_is_what_it_was_then(store: StoreEngine) -> None:
    repository = ExecutionRepository(store)
    for version, record in enumerate(store.read(REEF), start=1):
        then = status_at(store, SURVEY, version)
        assert then.version == record.version
        assert then == repository.get(SURVEY, version) == fold(None, store.read(REEF, upto=version))


def test_a_history_is_read_from_any_version_and_over_any_page(
    store: StoreEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projector.replay.PAGE", 5)
    for after in range(len(VOYAGE) + 1):
        assert [record.version for record in history(store, SURVEY, after=after)] == list(range(after + 1, 13))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"from_version": 0}, "0 is not a version: versions begin at 1"),
        ({"from_version": -3}, "-3 is not a version"),
        ({"to_version": 0}, "0 is not a version"),
        ({"from_version": 5, "to_version": 4}, "nothing lies between version 5 and version 4"),
        ({"from_version": 13}, f"execution '{SURVEY}' has 12 events: there is no version 13"),
        ({"to_version": 13}, "there is no version 13"),
        ({"from_version": 10**30}, "there is no version"),
    ],
)
def test_versions_that_make_no_sense_are_refused(store: StoreEngine, options: dict[str, int], words: str) -> None:
    with pytest.raises(InputRejected, match=words):
        list(replay(store, SURVEY, **options))


@pytest.mark.parametrize(("after", "words"), [(-1, "-1 is not a version"), (10**30, "there is no version")])
def test_a_history_after_no_version_of_it_is_refused(store: StoreEngine, after: int, words: str) -> None:
    with pytest.raises(InputRejected, match=words):
        list(history(store, SURVEY, after=after))


def test_what_is_not_there_is_not_replayed(store: StoreEngine) -> None:
    for look in (
        lambda: list(replay(store, "the-flying-dutchman")),
        lambda: list(history(store, "the-flying-dutchman")),
        lambda: status_at(store, "the-flying-dutchman", 1),
        lambda: ExecutionRepository(store).get("the-flying-dutchman"),
    ):
        with pytest.raises(ExecutionNotFound):
            look()
    assert ExecutionRepository(store).find("the-flying-dutchman") is None


def test_a_malformed_id_is_refused(store: StoreEngine) -> None:
    with pytest.raises(InputRejected, match="is not an execution id"):
        list(replay(store, "no such/id"))


def test_the_repository_s_cache_never_grows_old(store: StoreEngine) -> None:
    repository = ExecutionRepository(store)
    assert repository.get(SURVEY).version == 12
    store.append(REEF, news(REMARK))
    assert repository.get(SURVEY) == fold(None, store.read(REEF))
    assert repository.get(SURVEY, 3).version == 3
    assert repository.get(SURVEY).version == 13
    assert repository.get(SURVEY, 99).version == 13
    store.append(execution_stream("new"), news(REQUESTED))
    assert repository.get("new").version == 1
