"""What the reading commands say about a fleet of executions, to people and to programs."""

from __future__ import annotations

import re
from contextlib import closing
from typing import Final

import pytest

from projector.catalogue import CATALOGUE
from tests.histories import AGENT, QUEUE, RUNNER, SHIPWRECK, SURVEY, VOYAGE
from tests.service.conftest import (
    AT_THE_QUAY,
    BECALMED,
    FLEET,
    LONG_MESSAGE,
    LOST,
    MARKUP,
    MASQUERADE,
    NEVER_SAILED,
    OTHER_WRECK,
    RECALLED,
    SOUNDING_NOW,
    TORN_LOGBOOK,
    WRECK,
    CommandLine,
    append,
    open_store,
)

PROMISED_BY_SHOW: Final = {
    *("execution_id", "phase", "agent", "session_id", "thread_id", "attempt", "runner"),
    *("code", "category", "message", "remedy", "retryable", "cause", "evidence", "condition", "in_flight"),
    *("events_processed", "messages", "tool_calls", "late_events"),
    *("requested_at", "started_at", "finished_at", "version", "position"),
}


def test_a_list_is_newest_first_with_a_reason_for_every_execution_that_has_one(fleet: CommandLine) -> None:
    ended = fleet("list")
    head, *rows = ended.out.splitlines()
    assert ended.code == 0 and ended.err == ""
    assert head.split() == ["ID", "PHASE", "AGENT", "AGE", "TOOK", "REASON"]
    assert [row.split()[0] for row in rows] == list(reversed(FLEET))
    said = {row.split()[0]: row for row in rows}
    assert "FAILED" in said[WRECK] and "E401 ValueError: the lead line parted" in said[WRECK]
    assert said[AT_THE_QUAY].endswith(f"waiting_for_runner: waiting for a runner on queue '{QUEUE}'")
    assert said[BECALMED].endswith("stalled: no wind for 3 minutes")
    assert said[SOUNDING_NOW].endswith("in tool sound_depth")
    assert "degraded: event 6 (KrakenSighted) cannot be read" in said[TORN_LOGBOOK]


def test_a_piped_list_has_no_colour_and_bounds_its_reasons(fleet: CommandLine) -> None:
    ended = fleet("list", "--code", "E401")
    head, *rows = ended.out.splitlines()
    begin = head.index("REASON")
    reasons = {row.split()[0]: row[begin:] for row in rows}
    assert "\x1b" not in ended.out
    assert reasons[MASQUERADE].startswith("E401 ValueError: [bold red]all is well[/]")
    assert reasons[MASQUERADE].endswith("…") and 190 < len(reasons[MASQUERADE]) <= 200
    assert reasons[WRECK] == "E401 ValueError: the lead line parted", "what fits is left as it is"


@pytest.mark.parametrize("command", ["list", "failures"])
def test_as_json_a_reason_is_whole(fleet: CommandLine, command: str) -> None:
    assert any(LONG_MESSAGE in line["message"] for line in fleet(command, "--json").lines if line["message"])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--phase", "FAILED"), [MASQUERADE, NEVER_SAILED, LOST, OTHER_WRECK, WRECK]),
        (("--phase", "cancelled"), [RECALLED]),
        (("--code", "E101"), [NEVER_SAILED]),
        (("--code", "e203"), [LOST]),
        (("--category", "runner_lost"), [LOST]),
        (("--phase", "FAILED", "--category", "agent_failed", "--limit", "2"), [MASQUERADE, OTHER_WRECK]),
        (("--session", "reefs", "--limit", "1"), [TORN_LOGBOOK]),
        (("--since", "2026-03-14T06:00:08"), [WRECK, SURVEY]),
        (("--since", "2026-03-14T11:30:08+05:30", "--phase", "FAILED"), [WRECK]),
        (("--since", "2026-03-14", "--code", "E203"), [LOST]),
        (("--since", "0s"), []),
        (("--session", "no such session"), []),
    ],
)
def test_a_list_shows_what_was_asked_for_and_nothing_else(
    fleet: CommandLine, options: tuple[str, ...], expected: list[str]
) -> None:
    ended = fleet("list", "--json", *options)
    assert ended.code == 0
    assert [status["execution_id"] for status in ended.lines] == expected


def test_the_cursor_of_the_last_line_leads_through_all_pages(fleet: CommandLine) -> None:
    seen: list[str] = []
    more: list[str] = []
    while page := fleet("list", "--json", "--limit", "4", *more).lines:
        seen += [status["execution_id"] for status in page]
        more = ["--after", page[-1]["cursor"]]
    assert seen == list(reversed(FLEET))


def test_a_page_that_is_not_the_last_says_how_to_go_on(fleet: CommandLine) -> None:
    first = fleet("list", "--limit", "4")
    cursor = re.search(r"--after (\d+)", first.err)
    assert cursor
    assert fleet("list", "--limit", "1", "--after", cursor[1]).out.splitlines()[1].split()[0] == list(FLEET)[-5]
    assert fleet("list", "--limit", "11").err == ""


def test_a_list_of_nothing_says_so_without_touching_stdout(fleet: CommandLine) -> None:
    ended = fleet("list", "--session", "no such session")
    assert (ended.code, ended.out, ended.err) == (0, "", "no execution is like that\n")


def test_show_puts_the_verdict_first_and_cuts_nothing(fleet: CommandLine) -> None:
    ended = fleet("show", WRECK)
    lines = ended.out.splitlines()
    assert ended.code == 0
    assert [line.split()[0] for line in lines[:5]] == ["FAILED", "message", "remedy", "retry", "cause"]
    assert lines[0].split() == ["FAILED", "E401", "agent_failed"]
    assert "ValueError: the lead line parted" in lines[1]
    assert f"`execution-status retry {WRECK}`" in lines[3]
    assert "sound_depth (call call-1) since 2026-03-14 06:00:06 UTC" in ended.out
    assert "2 steps, 1 message, 1 tool call" in ended.out
    assert "assistant: Seven fathoms over the reef." in ended.out
    assert LONG_MESSAGE in fleet("show", LOST).out


@pytest.mark.parametrize("execution_id", FLEET)
def test_show_as_json_has_every_field_that_was_promised(fleet: CommandLine, execution_id: str) -> None:
    status = fleet("show", execution_id, "--json").object
    assert status.keys() >= PROMISED_BY_SHOW
    assert status["execution_id"] == execution_id
    assert (status["code"] is not None) is (status["phase"] == "FAILED")
    assert status["version"] == len(FLEET[execution_id]) + (execution_id == TORN_LOGBOOK)


def test_the_json_of_a_failure_tells_all_of_it(fleet: CommandLine) -> None:
    status = fleet("show", NEVER_SAILED, "--json").object
    assert (status["phase"], status["code"], status["category"]) == ("FAILED", "E101", "runner_startup_failed")
    assert "ImportError: no chart of the reef" in status["message"]
    assert status["cause"] == {"type": "ImportError", "message": "no chart of the reef"}
    assert status["retryable"] is True
    assert status["started_at"] is None


def test_the_json_of_an_execution_on_its_way_names_the_tool_in_flight(fleet: CommandLine) -> None:
    status = fleet("show", SOUNDING_NOW, "--json").object
    assert status["phase"] == "IN_PROGRESS"
    assert status["in_flight"] == {"tool": "sound_depth", "call_id": "call-1", "since": "2026-03-14T06:00:07Z"}
    assert status["progress"] == {"done": 1.0, "total": 2.0, "note": "the northern half"}
    assert (status["runner"], status["thread_id"], status["attempt"]) == (RUNNER, "thread-of-the-reefs", 1)


def test_an_event_after_the_end_is_counted_and_changes_nothing(fleet: CommandLine) -> None:
    status = fleet("show", RECALLED, "--json").object
    assert (status["phase"], status["late_events"], status["messages"]) == ("CANCELLED", 1, 0)
    assert "1 event after the end" in fleet("show", RECALLED).out


def test_show_at_a_version_tells_the_status_as_it_was(fleet: CommandLine) -> None:
    assert fleet("show", WRECK, "--at", "1", "--json").object["phase"] == "PENDING"
    status = fleet("show", WRECK, "--at", "7", "--json").object
    assert (status["phase"], status["version"], status["code"]) == ("IN_PROGRESS", 7, None)
    assert status["in_flight"]["tool"] == "sound_depth"
    assert fleet("show", WRECK, "--at", str(len(SHIPWRECK)), "--json").out == fleet("show", WRECK, "--json").out


def test_show_of_what_is_not_projected_yet_is_right_all_the_same(alone: CommandLine) -> None:
    with closing(open_store(alone.store)) as store:
        append(store, WRECK, *SHIPWRECK)
    assert alone("show", WRECK, "--json").object["code"] == "E401"


def test_events_are_one_line_each_in_their_order(fleet: CommandLine) -> None:
    ended = fleet("events", SURVEY)
    head, *rows = ended.out.splitlines()
    assert head.split() == ["VER", "POS", "TIME", "(UTC)", "TYPE", "WRITER", "WHAT"]
    assert [row.split()[4] for row in rows] == [type(event).__name__ for event in VOYAGE]
    assert f"{AGENT} on queue '{QUEUE}': Sound the north reef." in rows[0]
    assert 'sound_depth {"latitude": 54.3} (call call-1)' in rows[5]
    assert 'call call-1: {"fathoms": 7}' in rows[6]
    assert "1/2 the northern half" in rows[8]
    assert "4 events, 1 message, 1 tool call; sound_depth" in rows[9]


def test_events_as_json_have_their_envelope(fleet: CommandLine) -> None:
    lines = fleet("events", SURVEY, "--json").lines
    assert [line["version"] for line in lines] == list(range(1, len(VOYAGE) + 1))
    envelope = {"position", "version", "type", "time", "writer", "attempt", "data"}
    assert all(line.keys() == envelope for line in lines)
    assert lines[0]["data"]["input"] == "Sound the north reef."


def test_events_after_a_version_begin_behind_it(fleet: CommandLine) -> None:
    assert [line["version"] for line in fleet("events", SURVEY, "--after", "10", "--json").lines] == [11, 12]
    at_the_end = fleet("events", SURVEY, "--after", "12")
    assert (at_the_end.code, at_the_end.out) == (0, "")


def test_an_event_that_cannot_be_read_says_why(fleet: CommandLine) -> None:
    last = fleet("events", TORN_LOGBOOK, "--json").lines[-1]
    assert last["type"] == "KrakenSighted"
    assert last["data"] == {"unreadable": "this version does not know the event"}
    assert "cannot be read: this version does not know the event" in fleet("events", TORN_LOGBOOK).out


def test_a_replay_shows_each_event_and_under_it_what_it_changed(fleet: CommandLine) -> None:
    lines = fleet("replay", WRECK).out.splitlines()
    assert len(lines) == 2 * len(SHIPWRECK)
    assert lines[0].split()[2] == "ExecutionRequested"
    assert "(nothing) → PENDING" in lines[1]
    assert "PENDING → IN_PROGRESS, attempt 0 → 1" in lines[9]
    assert "events processed 1 → 2, tool calls 0 → 1, in flight sound_depth" in lines[13]
    assert "IN_PROGRESS → FAILED, E401 agent_failed" in lines[17]


def test_a_replay_that_begins_in_the_middle_knows_what_was_before(fleet: CommandLine) -> None:
    whole = fleet("replay", SURVEY).out.splitlines()
    assert fleet("replay", SURVEY, "--from", "6", "--to", "8").out.splitlines() == whole[10:16]


def test_the_last_step_of_a_replay_is_the_status_that_show_shows(fleet: CommandLine) -> None:
    steps = fleet("replay", WRECK, "--json").lines
    assert [step["version"] for step in steps] == [step["status"]["version"] for step in steps]
    assert steps[-1]["status"] == fleet("show", WRECK, "--json").object
    assert [step["status"]["phase"] for step in steps] == ["PENDING"] * 4 + ["IN_PROGRESS"] * 4 + ["FAILED"]
    assert [step["version"] for step in fleet("replay", WRECK, "--json", "--to", "3").lines] == [1, 2, 3]


def test_failures_of_one_cause_are_one_line(fleet: CommandLine) -> None:
    groups = fleet("failures", "--json").lines
    counted = {(group["code"], group["cause"]): group["executions"] for group in groups}
    assert counted["E401", "ValueError"] in (1, 2)
    wrecked = next(group for group in groups if "lead line" in group["message"])
    assert (wrecked["executions"], wrecked["last_execution_id"]) == (2, OTHER_WRECK)
    assert [group["last_position"] for group in groups] == sorted((g["last_position"] for g in groups), reverse=True)
    table = fleet("failures", "--limit", "2").out.splitlines()
    assert len(table) == 3
    assert table[2].split()[:3] == ["E101", "runner_startup_failed", "1"]


def test_runners_say_what_they_serve_and_why_one_could_not_start(fleet: CommandLine) -> None:
    ended = fleet("runners")
    assert ended.out.splitlines()[0].split() == ["RUNNER", "STATE", "FOR", "QUEUE", "AGENTS", "ERROR"]
    rows = {line.split()[0]: line for line in ended.out.splitlines()[1:]}
    assert rows[RUNNER].split()[1] == "ready" and AGENT in rows[RUNNER]
    assert "startup_failed" in rows["meridian:99"]
    assert rows["meridian:99"].endswith("import: ImportError: no chart of the reef")
    (only,) = fleet("runners", "--queue", "night-watch", "--json").lines
    assert (only["runner_id"], only["state"], only["error_type"]) == ("meridian:99", "startup_failed", "ImportError")


def test_runners_of_a_queue_that_nobody_serves_are_none_and_said_to_be(fleet: CommandLine) -> None:
    ended = fleet("runners", "--queue", "dog-watch")
    assert (ended.code, ended.out, ended.err) == (0, "", "no runner has ever served queue 'dog-watch'\n")


def test_the_catalogue_is_shown_whole_without_any_store(alone: CommandLine) -> None:
    assert [line["code"] for line in alone("codes", "--json").lines] == [code.value for code in CATALOGUE]
    table = alone("codes").out
    assert all(entry.code in table and entry.category in table and entry.when in table for entry in CATALOGUE.values())


def test_one_code_is_shown_with_its_words_and_no_braces(alone: CommandLine) -> None:
    card = alone("codes", "e201").out
    assert card.splitlines()[0].split() == ["E201", "runner_crashed"]
    assert "The runner's process died <where>: <cause>." in card
    assert "{" not in card
    entry = alone("codes", "E201", "--json").object
    assert set(entry) == {"code", "category", "when", "message", "remedy", "retryable"}


def test_what_looks_like_markup_is_shown_as_it_is(fleet: CommandLine) -> None:
    assert MARKUP in fleet("show", MASQUERADE).out
    assert MARKUP in fleet("list", "--phase", "FAILED").out


@pytest.mark.parametrize("command", [("show",), ("events",), ("replay",), ("watch",)])
def test_a_text_that_turns_the_reading_direction_is_shown_by_its_number(
    fleet: CommandLine, command: tuple[str, ...]
) -> None:
    out = fleet(*command, MASQUERADE).out
    assert "invoice<U+202E>fdp.exe" in out
    assert "\u202e" not in out


def test_programs_get_such_a_text_unchanged(fleet: CommandLine) -> None:
    assert fleet("show", MASQUERADE, "--json").object["last_messages"][0]["text"] == "invoice\u202efdp.exe"


def test_json_stays_json_where_the_output_has_no_unicode(fleet: CommandLine) -> None:
    ended = fleet("show", MASQUERADE, "--json", PYTHONIOENCODING="ascii")
    assert ended.out.isascii()
    assert ended.object["last_messages"][0]["text"] == "invoice\u202efdp.exe"


def test_tables_do_not_break_where_the_output_has_no_unicode(fleet: CommandLine) -> None:
    ended = fleet("replay", WRECK, PYTHONIOENCODING="ascii")
    assert ended.code == 0
    assert "PENDING \\u2192 IN_PROGRESS" in ended.out
