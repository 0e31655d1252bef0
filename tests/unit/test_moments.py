"""Moments as people type them: so long ago, or a date or time; anything else is refused in one line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.errors import InputRejected
from projector.moments import moment_of
from tests.histories import DAWN


@pytest.mark.parametrize(
    ("typed", "ago"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("1h", timedelta(hours=1)),
        ("2d", timedelta(days=2)),
        ("1.5h", timedelta(minutes=90)),
        ("0s", timedelta()),
        ("007d", timedelta(days=7)),
        (" 1H ", timedelta(hours=1)),
        ("36600d", timedelta(days=36_600)),
    ],
)
def test_a_length_of_time_is_that_long_ago(typed: str, ago: timedelta) -> None:
    assert moment_of(typed, DAWN) == DAWN - ago
    assert moment_of(typed, DAWN).tzinfo is UTC


@pytest.mark.parametrize(
    ("typed", "moment"),
    [
        ("2026-03-14", datetime(2026, 3, 14, tzinfo=UTC)),
        ("2026-03-14T06:00", DAWN),
        ("2026-03-14 06:00:00", DAWN),
        ("2026-03-14T06:00:00.250", DAWN + timedelta(seconds=0.25)),
        ("2026-03-14T06:00:00Z", DAWN),
        ("2026-03-14T11:30:00+05:30", DAWN),
        ("20260314T060000Z", DAWN),
        ("2999-12-31", datetime(2999, 12, 31, tzinfo=UTC)),
        ("0001-01-01", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_date_or_time_is_itself_and_without_a_zone_it_is_utc(typed: str, moment: datetime) -> None:
    assert moment_of(typed, DAWN + timedelta(days=400)) == moment
    assert moment_of(typed, DAWN).tzinfo is UTC


@pytest.mark.parametrize(
    "typed",
    [
        *("", " ", "h", "1", "1w", "1 h", "-1h", "+1h", "1e3s", "nan", "nans", "inf", "NaNd", "infd", "1.h", ".5h"),
        *("36601d", "9" * 9 + "d", "9" * 10 + "s", "9" * 5000 + "s", "1h30m", "1,5h", "yesterday", "at dawn"),
        *("06:00", "2026", "2026-13-01", "2026-02-30", "2026-03-14T25:00", "0001-01-01T00:00+05:30", "1773468000"),
        *("9999-12-31T23:59-05:30", "\N{ARABIC-INDIC DIGIT SEVEN}h", "\udcff", "'; DROP TABLE executions; --"),
    ],
)
def test_anything_else_is_refused_in_one_line_that_says_what_to_give(typed: str) -> None:
    with pytest.raises(InputRejected, match=r"is not a time: say how long ago, as 90s, 30m, 1h or 2d, or give") as no:
        moment_of(typed, DAWN)
    assert str(no.value).isprintable()
    assert len(str(no.value)) < 500


@given(st.text() | st.from_regex(r"[0-9.:T+Zsmhd -]{1,30}", fullmatch=True))
def test_every_text_is_a_moment_or_refused(typed: str) -> None:
    try:
        assert moment_of(typed, DAWN).tzinfo is UTC
    except InputRejected as refusal:
        assert str(refusal).isprintable()


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-3)), timezone(timedelta(hours=14))])))
def test_a_time_that_was_written_by_this_program_is_read_again(time: datetime) -> None:
    try:
        expected = time.astimezone(UTC)
    except OverflowError:
        return
    assert moment_of(time.isoformat(), DAWN) == expected
