"""What was archived reads as it did while it was in the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from projector.codec import EventMapper
from projector.engines.ports import StoreEngine
from projector.envelope import END_EVENT_ID, NewEvent, execution_stream
from projector.errors import EventFileError, ExecutionNotFound, InputRejected
from projector.events import ExecutionCompleted
from projector.execution_status import fold
from projector.keeping.archived import archived_history
from projector.keeping.event_file import EventFile
from projector.replay import history, replay, status_at
from projector.views import event_view, status_view, step_view
from tests.histories import DAWN, REQUESTED, SURVEY, new
from tests.keeping import ENDED, archived, nobody_is_told

REEF = execution_stream(SURVEY)


def test_an_archived_execution_reads_as_it_did(fleet: StoreEngine, folder: Path) -> None:
    def told(source: Any, execution_id: str) -> list[str]:
        return [
            status_view(status_at(source, execution_id)).model_dump_json(),
            status_view(status_at(source, execution_id, 2)).model_dump_json(),
            *(event_view(record).model_dump_json() for record in history(source, execution_id)),
            *(event_view(record).model_dump_json() for record in history(source, execution_id, after=1)),
            *(step_view(s.record, s.status).model_dump_json() for s in replay(source, execution_id, from_version=2)),
        ]

    before = {execution_id: told(fleet, execution_id) for execution_id in ENDED}
    made = archived(fleet, folder, events_a_file=50)
    for execution_id in ENDED:
        found = archived_history(folder, execution_id, EventMapper(), nobody_is_told)
        assert told(found, execution_id) == before[execution_id]
    in_first = EventFile(made[0].file)
    first = next(in_first.events()).stream.removeprefix("execution/")
    assert told(archived_history(made[0].file, first, EventMapper(), nobody_is_told), first) == before[first]


def test_who_is_in_no_file_is_not_found(fleet: StoreEngine, folder: Path) -> None:
    archived(fleet, folder)
    with pytest.raises(ExecutionNotFound, match="there is no execution 'voyage-0-2' in "):
        archived_history(folder, "voyage-0-2", EventMapper(), nobody_is_told)
    with pytest.raises(InputRejected, match="is not an execution id"):
        archived_history(folder, "a/b", EventMapper(), nobody_is_told)


def test_of_two_that_had_one_id_the_later_counts(fleet: StoreEngine, folder: Path) -> None:
    archived(fleet, folder)
    stream, end = execution_stream("voyage-0-0"), ExecutionCompleted(output="the second voyage")
    fleet.append(stream, [new(REQUESTED), NewEvent(END_EVENT_ID, DAWN, "orchestrator", end)])
    archived(fleet, folder)
    status = fold(None, archived_history(folder, "voyage-0-0", EventMapper(), nobody_is_told).read(stream))
    assert status is not None and status.output == "the second voyage"


def test_a_damaged_file_matters_only_to_those_who_are_in_no_other(fleet: StoreEngine, folder: Path) -> None:
    first, *rest = archived(fleet, folder, events_a_file=50)
    missing = next(EventFile(first.file).events()).stream.removeprefix("execution/")
    there = next(EventFile(rest[0].file).events()).stream.removeprefix("execution/")
    first.file.write_bytes(first.file.read_bytes()[:-20])
    said: list[str] = []
    assert archived_history(folder, there, EventMapper(), said.append).version(execution_stream(there))
    assert len(said) == 1 and said[0].startswith(f"passed over: {first.file} is damaged")
    with pytest.raises(EventFileError, match="is damaged"):
        archived_history(folder, missing, EventMapper(), said.append)


def test_a_folder_without_archives_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputRejected, match="holds no archive"):
        archived_history(tmp_path, SURVEY, EventMapper(), nobody_is_told)
