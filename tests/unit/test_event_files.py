"""Event files: what goes in comes out byte for byte, and a file that is not whole is told in one line."""

from __future__ import annotations

import gzip
import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.codec import EventMapper
from projector.envelope import RecordedEvent
from projector.errors import EventFileError, InputRejected
from projector.keeping.event_file import EventFile, Header
from projector.keeping.event_line import FiledEvent, from_line, is_plain_json, to_line
from projector.keeping.new_file import write_event_file
from tests.histories import DAWN, VOYAGE, history
from tests.strategies import json_values, recorded_events, texts

HEADER = Header.of(DAWN, encrypted=False)
MAPPER = EventMapper()

bodies = (
    st.binary(max_size=300)
    | json_values.map(lambda value: json.dumps({"id": "e", "data": value}).encode())
    | st.sampled_from(
        [
            b"",
            b"{}",
            b"{",
            b'{"id": "kraken", "data": {}}',
            b'{"a":\n1}',
            b'{"a":1}\n',
            b' {"a":1}',
            b'{"a":1} ',
            b'{"a":"\xff"}',
            b'{"a":NaN}',
            b'{"a":1}{"a":2}',
            b'{"a":"\\ud800"}',
            '{"a":"\u2028\N{WHALE}"}'.encode(),
            b'{"a":' * 300 + b"1" + b"}" * 300,
            b'{"a":' * 5000 + b"1" + b"}" * 5000,
        ]
    )
)
places = st.integers(1, 2**62)
filed_events = st.builds(
    FiledEvent,
    position=places,
    stream=texts,
    version=places,
    topic=texts,
    id=st.none() | texts,
    body=bodies,
)


def filed(records: Sequence[RecordedEvent]) -> list[FiledEvent]:
    return [FiledEvent(r.position, r.stream, r.version, r.type, r.id, MAPPER.to_stored_event(r).state) for r in records]


VOYAGE_EVENTS = filed(history(*VOYAGE))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A whole file with one voyage."""
    path = tmp_path / "voyage.jsonl.gz"
    write_event_file(path, HEADER, VOYAGE_EVENTS)
    return path


def rewritten(file: Path, lines: Sequence[bytes]) -> Path:
    file.write_bytes(gzip.compress(b"".join(line + b"\n" for line in lines)))
    return file


def lines_of(file: Path) -> list[bytes]:
    return gzip.decompress(file.read_bytes()).splitlines()


def refusal(file: Path) -> str:
    """Why a file is refused, whether that is seen when it is opened or when it is read."""
    with pytest.raises(EventFileError) as refused:
        EventFile(file).verify()
    text = str(refused.value)
    assert str(file) in text and text.isprintable()
    return text


# --- lines ---------------------------------------------------------------------------------------------------------


@given(filed_events)
def test_any_event_comes_back_from_its_line_byte_for_byte(event: FiledEvent) -> None:
    line = to_line(event)
    assert from_line(line) == event
    assert line.endswith(b"\n") and line.count(b"\n") == 1


@given(filed_events)
def test_a_line_is_json_that_any_tool_reads(event: FiledEvent) -> None:
    said = json.loads(to_line(event))
    assert list(said)[:5] == ["position", "stream", "version", "topic", "id"]
    assert (said["position"], said["stream"], said["id"]) == (event.position, event.stream, event.id)
    if "body" in said:
        assert said["body"] == json.loads(event.body)


@given(recorded_events())
def test_the_body_of_an_event_of_ours_stands_in_its_line_as_it_is(record: RecordedEvent) -> None:
    body = MAPPER.to_stored_event(record).state
    assert is_plain_json(body)
    assert b'"body":' + body + b"}\n" in to_line(FiledEvent(1, "s", 1, record.type, "e", body))


# --- files ---------------------------------------------------------------------------------------------------------


@given(st.lists(filed_events, max_size=8))
def test_any_events_come_back_from_a_file_byte_for_byte(events: list[FiledEvent]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any.jsonl.gz"
        written = write_event_file(path, HEADER, events)
        found = EventFile(path)
        assert found.header == HEADER
        assert list(found.events()) == events
        assert found.trailer == written
        assert (written.events, written.streams) == (len(events), sum(event.version == 1 for event in events))


def test_a_file_says_what_it_is_and_how_much_and_vouches_for_it(file: Path) -> None:
    first, *middle, last = lines_of(file)
    assert json.loads(first) == {
        "format": "execution-status events",
        "version": 1,
        "made_at": "2026-03-14T06:00:00Z",
        "encrypted": False,
    }
    lines = b"".join(line + b"\n" for line in (first, *middle))
    assert json.loads(last) == {"events": len(VOYAGE), "streams": 1, "sha256": hashlib.sha256(lines).hexdigest()}


def test_equal_events_make_equal_files(file: Path) -> None:
    again = file.with_name("again.jsonl.gz")
    write_event_file(again, HEADER, VOYAGE_EVENTS)
    assert again.read_bytes() == file.read_bytes()


def test_a_file_is_its_owners_alone(file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600


@given(st.data())
def test_a_file_that_is_cut_off_anywhere_is_refused(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cut.jsonl.gz"
        write_event_file(path, HEADER, VOYAGE_EVENTS)
        whole = path.read_bytes()
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
        refusal(path)


@given(st.data())
def test_a_file_of_which_any_byte_was_changed_is_refused_or_says_the_same(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "changed.jsonl.gz"
        write_event_file(path, HEADER, VOYAGE_EVENTS)
        whole = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(whole)
        try:
            assert list(EventFile(path).events()) == VOYAGE_EVENTS  # gzip's own header has bytes that mean nothing
        except EventFileError as refused:
            assert str(refused).isprintable()


def test_a_change_that_gzip_cannot_see_is_seen_by_the_checksum(file: Path) -> None:
    lines = lines_of(file)
    lines[3] = lines[3].replace(b"agent-runner", b"agent-winner")
    assert "its checksum is not that of its lines" in refusal(rewritten(file, lines))


def test_an_event_too_few_or_too_many_is_seen(file: Path) -> None:
    lines = lines_of(file)
    assert "it holds 11 events of 1 streams, and its end tells of 12 of 1" in refusal(
        rewritten(file, [*lines[:5], *lines[6:]])
    )
    assert "it holds 13 events" in refusal(rewritten(file, [*lines[:5], lines[4], *lines[5:]]))


def test_a_file_without_its_end_is_seen(file: Path) -> None:
    lines = lines_of(file)
    assert "it ends after 12 events, before its last line" in refusal(rewritten(file, lines[:-1]))
    file.write_bytes(gzip.compress(b"\n".join(lines)))
    assert "it ends after 12 events, before its last line" in refusal(file)


def test_something_after_the_end_is_seen(file: Path) -> None:
    assert "something comes after its end" in refusal(rewritten(file, [*lines_of(file), b""]))
    file.write_bytes(file.read_bytes() + b"and more")
    assert "is damaged" in refusal(file)


@pytest.mark.parametrize(
    "line",
    [
        b'{"position":0,"stream":"s","version":1,"topic":"T","id":"e","body":{}}',
        b'{"position":1,"stream":"s","version":1,"topic":"T","id":"e"}',
        b'{"position":1,"stream":"s","version":1,"topic":"T","id":"e","body":{},"sealed":""}',
        b'{"position":1,"stream":"s","version":1,"topic":"T","id":"e","sealed":"?"}',
        b'{"position":1,"stream":"s","version":1,"topic":"T","id":"e","body":{},"mood":"fine"}',
        b'{"position":99999999999999999999,"stream":"s","version":1,"topic":"T","id":"e","body":{}}',
        b'{"position":1,"stream":"s","version":1,"topic":"T","id":"e","body":' + b"[" * 100_000,
        b"not an event",
        b"",
    ],
)
def test_a_line_that_is_no_event_is_named_by_its_number(file: Path, line: bytes) -> None:
    lines = lines_of(file)
    assert "line 5 is n" in refusal(rewritten(file, [*lines[:4], line, *lines[4:]]))


FOREIGN = {
    "nothing": b"",
    "one byte": b"a",
    "a database": b"SQLite format 3\0" + bytes(4096),
    "a header that is not compressed": b'{"format":"execution-status events","version":1}\n',
    "nothing, compressed": gzip.compress(b""),
    "notes": gzip.compress(b"somebody's notes\n"),
    "another format": gzip.compress(b'{"format":"somebody else\'s","version":1,"made_at":"2026-03-14T06:00:00Z"}\n'),
    "brackets": gzip.compress(b"[" * 100_000),
    "zeros": gzip.compress(bytes(1_000_000)),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_file_of_somebody_else_is_told_from_a_damaged_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(content)
    assert "is no backup and no archive of this program" in refusal(path)


def test_a_file_of_a_newer_version_is_not_guessed_at(file: Path) -> None:
    lines = lines_of(file)
    lines[0] = b'{"format":"execution-status events","version":2,"made_at":[2026,3,14]}'
    assert "has format 2, and this version reads up to 1: install the newer version" in refusal(rewritten(file, lines))


def test_what_cannot_be_read_is_the_askers_affair(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent", tmp_path / ("long" * 100)):
        with pytest.raises(InputRejected) as refused:
            EventFile(path)
        assert str(path) in str(refused.value)


# --- writing ---------------------------------------------------------------------------------------------------------


def trouble() -> Iterator[FiledEvent]:
    yield VOYAGE_EVENTS[0]
    raise EOFError("the lead line parted")


def test_what_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(EOFError):
        write_event_file(tmp_path / "new.jsonl.gz", HEADER, trouble())
    assert list(tmp_path.iterdir()) == []


def test_what_fails_half_way_leaves_the_old_file_as_it_was(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(EOFError):
        write_event_file(file, HEADER, trouble(), replace=True)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_is_refused_when_it_is_read_again_gets_no_name(tmp_path: Path) -> None:
    def refuse(written: EventFile) -> None:
        assert str(written) == str(tmp_path / "new.jsonl.gz")
        assert written.verify().events == len(VOYAGE)
        assert not (tmp_path / "new.jsonl.gz").exists()
        raise EOFError

    with pytest.raises(EOFError):
        write_event_file(tmp_path / "new.jsonl.gz", HEADER, VOYAGE_EVENTS, check=refuse)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_replaced_on_demand_only(file: Path) -> None:
    with pytest.raises(InputRejected, match="exists already"):
        write_event_file(file, HEADER, [])
    assert EventFile(file).verify().events == len(VOYAGE)
    write_event_file(file, HEADER, [], replace=True)
    assert EventFile(file).verify().events == 0


def test_one_that_was_made_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "new.jsonl.gz"
    with pytest.raises(InputRejected, match="exists already"):
        write_event_file(file, HEADER, [], check=lambda written: _made_meanwhile(written, file))
    assert file.read_text() == "somebody else's"
    assert list(tmp_path.iterdir()) == [file]


def _made_meanwhile(written: EventFile, file: Path) -> None:
    written.verify()
    file.write_text("somebody else's")


def test_only_a_file_of_ours_is_ever_replaced(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    store.write_bytes(b"SQLite format 3\0")
    with pytest.raises(InputRejected, match="is something else than a backup, and is not replaced"):
        write_event_file(store, HEADER, [], replace=True)
    with pytest.raises(InputRejected, match="is a folder"):
        write_event_file(tmp_path, HEADER, [], replace=True)
    with pytest.raises(InputRejected, match="is no file"):
        write_event_file(Path("/dev/null"), HEADER, [], replace=True)
    with pytest.raises(InputRejected, match=r"the folder of .* is not there"):
        write_event_file(tmp_path / "absent" / "file", HEADER, [])
    assert store.read_bytes() == b"SQLite format 3\0"


def test_two_that_write_one_file_do_not_meet(tmp_path: Path) -> None:
    file = tmp_path / "new.jsonl.gz"

    def while_it_is_written() -> Iterator[FiledEvent]:
        with pytest.raises(InputRejected, match="another process is writing"):
            write_event_file(file, HEADER, [])
        yield from VOYAGE_EVENTS

    write_event_file(file, HEADER, while_it_is_written())
    assert list(EventFile(file).events()) == VOYAGE_EVENTS
    assert list(tmp_path.iterdir()) == [file]


def test_what_a_killed_process_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".new.jsonl.gz.part").write_bytes(b"half of something that was longer than what comes now" * 1000)
    write_event_file(tmp_path / "new.jsonl.gz", HEADER, VOYAGE_EVENTS)
    assert [path.name for path in tmp_path.iterdir()] == ["new.jsonl.gz"]
    assert list(EventFile(tmp_path / "new.jsonl.gz").events()) == VOYAGE_EVENTS
