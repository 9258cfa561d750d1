"""Points in time and durations."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib import times

FIRST, LAST = -62_135_596_800_000, 253_402_300_799_999  # the years 1 to 9999


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20T09:30:00Z", "2026-11-20T09:30:00.000Z"),
        ("2026-11-20T09:30:00.5Z", "2026-11-20T09:30:00.500Z"),
        ("2026-11-20T09:30:00,5Z", "2026-11-20T09:30:00.500Z"),
        ("2026-11-20T09:30:00.123456789Z", "2026-11-20T09:30:00.123Z"),
        ("2026-11-20T09:30:00.9999Z", "2026-11-20T09:30:00.999Z"),
        ("2026-11-20T09:30:00+02:00", "2026-11-20T07:30:00.000Z"),
        ("2026-11-20T09:30:00+0200", "2026-11-20T07:30:00.000Z"),
        ("2026-11-20 09:30:00-05", "2026-11-20T14:30:00.000Z"),
        ("2026-11-20T09:30:00", "2026-11-20T09:30:00.000Z"),
        ("2026-11-20t09:30z", "2026-11-20T09:30:00.000Z"),
        ("2026-11-20", "2026-11-20T00:00:00.000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59.9999Z", "9999-12-31T23:59:59.999Z"),
    ],
)
def test_an_iso_8601_time_is_parsed_in_every_form_that_applications_use(text, expected):
    """It may have any fraction, an offset or a blank; without a zone it is in UTC."""
    assert times.format_iso(times.parse_iso(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        *["", "yesterday", "2026-11-20\n", " 2026-11-20", "2026-11-20T", "2026-11-20X09:30", "2026-11-20 09:30 UTC"],
        *["2026-02-30", "2026-11-20T24:00:00Z", "2026-11-20T09:30:60Z", "2026-11-20T09:30+25:00", "0000-01-01"],
        *["1763631000", "1711111320101", "20261120", "2026-W47-5", "٢٠٢٦-11-20"],
        *["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "10000-01-01T00:00:00Z"],
    ],
)
def test_a_text_that_is_not_an_iso_8601_time_is_a_value_error(text):
    """Examples are a number, another calendar's form, an impossible date, and a time that UTC cannot name."""
    with pytest.raises(ValueError, match=r"."):
        times.parse_iso(text)


@settings(deadline=None)
@given(st.integers(FIRST, LAST))
def test_every_point_in_time_survives_formatting_and_parsing(moment):
    """That holds for every millisecond from the year 1 to the year 9999."""
    assert times.parse_iso(times.format_iso(moment)) == moment


@settings(deadline=None)
@given(st.lists(st.integers(FIRST, LAST), max_size=5))
def test_formatted_times_sort_in_the_order_of_time(moments):
    """They can be compared as text."""
    assert sorted(map(times.format_iso, moments)) == list(map(times.format_iso, sorted(moments)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", 0),
        ("90s", 90_000),
        ("10m", 600_000),
        ("6h", 21_600_000),
        ("7d", 604_800_000),
        ("99999d", 8_639_913_600_000),
    ],
)
def test_a_duration_of_a_number_and_a_unit_is_parsed_to_milliseconds(text, expected):
    """The units are seconds, minutes, hours and days."""
    assert times.parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "10", "m", "1.5h", "-1h", "1 h", "1H", "1w", "1h30m", "1h\n", "100000d", "٣h"])
def test_an_invalid_duration_is_a_value_error_with_examples(text):
    """The message says what to write instead."""
    with pytest.raises(ValueError, match="is not a duration; write 1 to 5 digits and a unit: 90s, 10m, 6h or 7d"):
        times.parse_duration(text)


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [
        *[(0, "0 s"), (400, "0.4 s"), (45_000, "45 s"), (60_000, "1 min"), (720_000, "12 min"), (3_600_000, "1 h")],
        *[(12_600_000, "3.5 h"), (86_400_000, "1 d"), (181_440_000, "2.1 d")],
    ],
)
def test_a_duration_is_formatted_as_a_person_would_say_it(milliseconds, expected):
    """One number, at most one decimal, and the largest unit that fits."""
    assert times.format_duration(milliseconds) == expected


def test_now_is_in_milliseconds_since_1970():
    """In any other unit it would be outside of these years."""
    assert times.parse_iso("2026-01-01") < times.now() < times.parse_iso("2100-01-01")
