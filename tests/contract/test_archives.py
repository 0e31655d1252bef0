"""Archives: what ended long ago goes out of the store whole and into a verified file, and everything else stays."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from projector.engines.ports import StoreEngine
from projector.envelope import ARCHIVE_LOG, NewEvent, execution_stream, runner_stream
from projector.events import ExecutionsArchived
from projector.execution_status import Phase
from projector.keeping.ended import all_ended, sum_of_ended
from projector.keeping.event_file import EventFile
from projector.projecting.projection_runner import ProjectionRunner
from projector.projecting.rebuild import rebuild
from tests.fleet import RUNNERS, STORIES, set_sail
from tests.histories import ATTEMPT, COMPLETED, DAWN, REQUESTED, SURVEY, VOYAGE, new, news
from tests.keeping import ENDED, NOW, archived, held_ids, log_of, next_position, stored_rows, streams_in
from tests.tables import change, folded, insert_raw, project, rows, statuses

REEF = execution_stream(SURVEY)


# --- what goes, and what stays ----------------------------------------------------------------------------------


def test_what_has_ended_goes_whole_and_the_rest_stays_as_it_was(fleet: StoreEngine, folder: Path) -> None:
    before, ids = stored_rows(fleet), held_ids(fleet)
    (made,) = archived(fleet, folder)
    gone = {execution_stream(execution_id) for execution_id in ENDED}
    assert streams_in(made) == gone
    assert (made.executions, made.events) == (21, len([row for row in before if row.stream in gone]))
    *rest, note = stored_rows(fleet)
    assert rest == [row for row in before if row.stream not in gone]
    assert note.stream == ARCHIVE_LOG
    assert [held for held in held_ids(fleet) if held[0] != ARCHIVE_LOG] == [h for h in ids if h[0] not in gone]
    assert {row.stream for row in rest} >= {runner_stream(f"runner-{number}") for number in range(len(RUNNERS))}


def test_the_file_holds_each_event_as_the_store_did(fleet: StoreEngine, folder: Path) -> None:
    before = {row[:5]: row for row in stored_rows(fleet)}
    ids = {(stream, version): event_id for stream, event_id, version in held_ids(fleet)}
    (made,) = archived(fleet, folder)
    file = EventFile(made.file)
    for event in file.events():
        row = before[event.position, event.stream, event.version, event.topic, event.body]
        assert event.id == ids[row.stream, row.version]
    assert file.trailer is not None
    assert (file.trailer.events, file.trailer.streams, file.trailer.sha256) == (made.events, 21, made.sha256)


def test_the_store_tells_where_they_went(fleet: StoreEngine, folder: Path) -> None:
    (made,) = archived(fleet, folder)
    assert made.file == folder / "executions-2026-06-01-1.jsonl.gz"
    assert log_of(fleet) == [
        ExecutionsArchived(file=made.file.name, executions=21, events=made.events, sha256=made.sha256)
    ]
    assert fleet.read(ARCHIVE_LOG)[0].writer == "archiver:1"


def test_the_query_tables_are_as_if_they_had_never_been(fleet: StoreEngine, folder: Path) -> None:
    archived(fleet, folder)
    assert rebuild(fleet, verify_only=True).differences == ()
    assert set(statuses(fleet)) == {f"voyage-{number}-2" for number in range(3)}
    assert rows(fleet)["failure_groups"] == []
    assert len(rows(fleet)["runners"]) == len(RUNNERS)


def test_failures_that_stay_are_still_counted(fleet: StoreEngine, folder: Path) -> None:
    late = [NewEvent(e.id, e.time + timedelta(days=40), e.writer, e.event, e.attempt) for e in news(*STORIES[1])]
    fleet.append(execution_stream("a-late-wreck"), late)
    project(fleet)
    archived(fleet, folder, before=DAWN + timedelta(days=20))
    (group,) = rows(fleet)["failure_groups"]
    assert group[:2] + group[5:6] == ("E401", group[1], 1)
    assert "a-late-wreck" in group


def test_only_what_ended_before_the_moment_goes(fleet: StoreEngine, folder: Path) -> None:
    fifth_second = DAWN + timedelta(seconds=5)
    ended = {i: s for i, s in statuses(fleet).items() if s.finished_at is not None and s.finished_at < fifth_second}
    assert 0 < len(ended) < len(ENDED)
    assert {one.execution_id for one in all_ended(fleet, fifth_second)} == set(ended)
    assert sum_of_ended(fleet, fifth_second)[:2] == (len(ended), sum(status.version for status in ended.values()))
    (made,) = archived(fleet, folder, before=fifth_second)
    assert streams_in(made) == set(map(execution_stream, ended))


def test_nothing_to_archive_makes_no_file(fleet: StoreEngine, folder: Path) -> None:
    before = stored_rows(fleet), rows(fleet)
    assert archived(fleet, folder, before=DAWN) == []
    assert list(folder.iterdir()) == []
    assert (stored_rows(fleet), rows(fleet)) == before


def test_rows_are_brought_up_to_date_first(store: StoreEngine, folder: Path) -> None:
    set_sail(store)
    (made,) = archived(store, folder)
    assert made.executions == len(STORIES) - 1


def test_a_row_is_not_believed_where_the_store_says_otherwise(fleet: StoreEngine, folder: Path) -> None:
    change(fleet, "UPDATE executions SET finished_at = '2026-03-14T06:00:01+00:00' WHERE phase = 'IN_PROGRESS'")
    said: list[str] = []
    (made,) = archived(fleet, folder, said=said)
    assert streams_in(made) == set(map(execution_stream, ENDED))
    at_sea = ", ".join(f"execution/voyage-{number}-2" for number in range(3))
    assert said == [f"left in the store, which tells of no end of them: {at_sea}"]
    assert [path.name for path in folder.iterdir()] == [made.file.name]
    assert {one.execution_id for one in all_ended(fleet, NOW)} == set(), "the rows are right again"


def test_an_end_that_cannot_be_read_is_no_end(store: StoreEngine, folder: Path) -> None:
    store.append(REEF, news(*VOYAGE))
    project(store)
    damage = "UPDATE stored_events SET state = ? WHERE originator_id = ? AND originator_version = ?"
    change(store, damage, b'{"id": "end", "time": "2026-03', REEF, len(VOYAGE))
    said: list[str] = []
    assert archived(store, folder, said=said) == []
    assert said == [f"left in the store, which tells of no end of them: {REEF}"]
    assert len(store.read(REEF)) == len(VOYAGE)


def test_what_the_projector_could_not_take_stays(store: StoreEngine, folder: Path) -> None:
    store.append(REEF, [new(REQUESTED), new(ATTEMPT, attempt=2**70), new(COMPLETED)])
    insert_raw(store, REEF, "MessageAppended", b"damaged")
    store.append(execution_stream("healthy"), news(*VOYAGE))
    project(store)
    (made,) = archived(store, folder)
    assert streams_in(made) == {execution_stream("healthy")}


def test_events_that_cannot_be_read_are_kept_as_they_are(store: StoreEngine, folder: Path) -> None:
    store.append(REEF, news(*VOYAGE[:-1]))
    insert_raw(store, REEF, "MessageAppended", b"\x00\xffdamaged")
    insert_raw(store, REEF, "KrakenSighted", b'{"id": "k", "time": "2026-03-14T06:00:09Z", "data": {}}')
    store.append(REEF, [new(COMPLETED)])
    bodies = [row.state for row in stored_rows(store)]
    (made,) = archived(store, folder)
    assert [event.body for event in EventFile(made.file).events()] == bodies


# --- several files, several times ----------------------------------------------------------------------------------


def test_a_large_archive_has_several_files_and_no_execution_is_in_two(fleet: StoreEngine, folder: Path) -> None:
    made = archived(fleet, folder, events_a_file=50)
    assert len(made) > 2
    assert [file.file.name for file in made] == [f"executions-2026-06-01-{n}.jsonl.gz" for n in range(1, len(made) + 1)]
    assert sum(file.executions for file in made) == 21
    assert set.union(*map(streams_in, made)) == set(map(execution_stream, ENDED))
    assert [event.file for event in log_of(fleet)] == [file.file.name for file in made]
    assert all(file.events < 50 + max(map(len, STORIES)) for file in made)
    assert rebuild(fleet, verify_only=True).differences == ()


def test_a_name_is_never_given_twice_even_when_the_file_was_moved_away(fleet: StoreEngine, folder: Path) -> None:
    (first,) = archived(fleet, folder)
    first.file.unlink()
    set_sail(fleet, prefix="second-")
    (second,) = archived(fleet, folder)
    assert second.file.name == "executions-2026-06-01-2.jsonl.gz"


def test_a_file_of_somebody_else_is_never_overwritten(fleet: StoreEngine, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "executions-2026-06-01-1.jsonl.gz").write_text("notes")
    (made,) = archived(fleet, folder)
    assert made.file.name == "executions-2026-06-01-2.jsonl.gz"
    assert (folder / "executions-2026-06-01-1.jsonl.gz").read_text() == "notes"


def test_positions_are_never_given_twice(fleet: StoreEngine, folder: Path) -> None:
    seen = {row.position for row in stored_rows(fleet)}
    for round in range(3):
        store_head = fleet.head()
        fleet.append(execution_stream(f"last-{round}"), news(REQUESTED, COMPLETED))
        project(fleet)
        archived(fleet, folder)
        assert fleet.head() == store_head + 3, "two events and the note"
        position = next_position(fleet)
        assert position == store_head + 4
        assert position not in seen
        seen |= {row.position for row in stored_rows(fleet)}


def test_an_id_may_be_used_again_when_its_execution_is_archived(fleet: StoreEngine, folder: Path) -> None:
    projector = ProjectionRunner(fleet, fleet.database, renew=lambda: rebuild(fleet))
    projector.catch_up()
    archived(fleet, folder)
    fleet.append(execution_stream("voyage-0-0"), [new(REQUESTED)])
    projector.catch_up()
    assert statuses(fleet)["voyage-0-0"] == folded(fleet)["voyage-0-0"]
    assert statuses(fleet)["voyage-0-0"].phase is Phase.PENDING
