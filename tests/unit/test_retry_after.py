"""When the application wants to hear from us again: what its answer's headers say, and how far they are believed."""

import email.utils

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from chalicelib import times
from chalicelib.application import retry_after
from chalicelib.application.retry_after import MAX_RETRY_AFTER
from tests.fakes import HOUR

SECOND = 1000
NOW = times.parse_iso("2026-11-20T09:30:00Z")
EPOCH = NOW // SECOND

FIELDS = (
    "Retry-After",
    "Date",
    "RateLimit",
    *(f"{prefix}-{rest}" for prefix in ("RateLimit", "X-RateLimit", "X-Rate-Limit") for rest in ("Reset", "Remaining")),
)


def read(**headers):
    """Return what an answer with these headers says now; `Retry_After` sets `Retry-After`."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return retry_after.read(CaseInsensitiveDict(fields), NOW)


def http_date(milliseconds):
    """Return a time as servers usually write it: `Fri, 20 Nov 2026 09:30:00 GMT`."""
    return email.utils.formatdate(milliseconds / 1000, usegmt=True)


def test_an_answer_that_does_not_say_when_gives_nothing():
    """Then somebody else has to decide how long to wait."""
    assert read() is None
    assert read(Date=http_date(NOW), Content_Type="application/json", RateLimit_Limit="100") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120", 120 * SECOND),
        ("0", 0),
        ("007", 7 * SECOND),
        (" 5 ", 5 * SECOND),
        ("-5", 0),
        ("3600", HOUR),
        ("3601", MAX_RETRY_AFTER),
        ("31536000", MAX_RETRY_AFTER),
        ("9999999999", MAX_RETRY_AFTER),
    ],
)
def test_a_delay_in_seconds_is_at_least_nothing_and_at_most_an_hour(text, expected):
    """An application that says a year by mistake must not stop us for a year."""
    assert read(Retry_After=text) == expected


@pytest.mark.parametrize(
    "text",
    ["Fri, 20 Nov 2026 09:30:40 GMT", "Friday, 20-Nov-26 09:30:40 GMT", "Fri Nov 20 09:30:40 2026"],
)
def test_a_date_is_read_in_each_of_the_three_formats(text):
    """RFC 9110, section 5.6.7, has a current format and two old ones; a recipient has to know all of them."""
    assert read(Retry_After=text) == 40 * SECOND


def test_the_day_of_the_oldest_format_may_have_one_digit():
    """It is filled with a space."""
    assert read(Retry_After="Tue Dec  1 09:30:00 2026") == MAX_RETRY_AFTER
    assert read(Retry_After="Sun Nov  1 09:30:00 2026") == 0


def test_a_date_in_the_past_means_now_and_one_far_away_an_hour():
    """The bounds are those of a delay."""
    assert read(Retry_After=http_date(NOW - 1)) == 0
    assert read(Retry_After=http_date(NOW + 24 * HOUR)) == MAX_RETRY_AFTER


@pytest.mark.parametrize("difference", [-24 * HOUR, 24 * HOUR])
def test_a_date_is_compared_with_the_answers_own_clock_if_it_has_one(difference):
    """The application's clock may be wrong, but both dates are from the same clock."""
    their_now = NOW + difference
    assert read(Retry_After=http_date(their_now + 30 * SECOND), Date=http_date(their_now)) == 30 * SECOND
    assert read(X_RateLimit_Reset=str(their_now // SECOND + 30), Date=http_date(their_now)) == 30 * SECOND


def test_a_date_header_that_is_no_date_is_ignored():
    """Then the only clock is ours."""
    assert read(Retry_After=http_date(NOW + 30 * SECOND), Date="yesterday") == 30 * SECOND


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "1.5",
        "1e3",
        "+5",
        "--5",
        "5s",
        "0x10",
        "1 2",
        "120, 60",
        "10000000000",
        "9" * 5000,
        "٣",
        "\uff11\uff12",
        "Fri, 20 Nov 2026 09:30:40 GMT, Fri, 20 Nov 2026 09:30:50 GMT",
        "Fri, 31 Feb 2026 09:30:40 GMT",
        "Fri, 20 Nov 2026 25:30:40 GMT",
        "Fri, 20 Nov 2026",
        "Fri, ٢٠ Nov 2026 09:30:40 GMT",
        "2026-11-20T09:30:40Z",
        "Fri, 20 Nov 99999 09:30:40 GMT",
    ],
    ids=lambda text: ascii(text[:30]),
)
def test_what_is_neither_a_number_of_seconds_nor_a_date_says_nothing(text):
    """A guess could be wrong by hours."""
    assert read(Retry_After=text) is None
    assert read(X_RateLimit_Reset=text) is None


# -- the fields for rate limits


@pytest.mark.parametrize(
    "headers",
    [
        {"RateLimit_Reset": "50"},
        {"RateLimit_Reset": "50", "RateLimit_Remaining": "0"},
        {"RateLimit": "limit=100, remaining=0, reset=50"},
        {"RateLimit": "limit=100,reset=50"},
        {"RateLimit": '"default";r=0;t=50'},
        {"RateLimit": '"default"; r=0; t=50; pk=:cHN0=:'},
        {"RateLimit": '"day";r=3;t=3000, "burst";r=0;t=50'},
        {"RateLimit": '"burst";r=0;t=5, "minute";r=0;t=50'},
        {"X_RateLimit_Reset": "50"},
        {"X_RateLimit_Reset": "50", "X_RateLimit_Remaining": "0"},
        {"X_RateLimit_Reset": "50", "X_RateLimit_Remaining": "-1"},
        {"X_Rate_Limit_Reset": "50"},
        {"X_RateLimit_Reset": str(EPOCH + 50), "X_RateLimit_Remaining": "0"},
        {"X_Rate_Limit_Reset": str(EPOCH + 50), "X_Rate_Limit_Remaining": "0"},
        {"x_ratelimit_reset": "50", "x_ratelimit_remaining": "0"},
        {"Retry_After": "soon", "X_RateLimit_Reset": "50"},
    ],
    ids=str,
)
def test_without_retry_after_the_reset_of_a_used_up_limit_counts(headers):
    """Several drafts of the IETF, GitHub and Twitter each write it in their own way."""
    assert read(**headers) == 50 * SECOND


@pytest.mark.parametrize(
    "headers",
    [
        {"RateLimit_Reset": "50", "RateLimit_Remaining": "1"},
        {"RateLimit": "limit=100, remaining=7, reset=50"},
        {"RateLimit": '"default";r=7;t=50'},
        {"RateLimit": '"default";r=0'},
        {"RateLimit": "50"},
        {"X_RateLimit_Reset": str(EPOCH + 50), "X_RateLimit_Remaining": "4999"},
        {"X_RateLimit_Reset": "50", "X_RateLimit_Remaining": "0, 7"},
        {"X_Rate_Limit_Reset": "50", "X_Rate_Limit_Remaining": "some"},
    ],
    ids=str,
)
def test_the_reset_of_a_limit_that_is_not_used_up_says_nothing(headers):
    """Something else was too much, and may be over at once: an hourly limit's reset is no answer to it."""
    assert read(**headers) is None


def test_retry_after_comes_first():
    """It is about this answer, and the other fields about the limit (the IETF's drafts say so too)."""
    assert read(Retry_After="5", RateLimit_Reset="50", RateLimit='"a";r=0;t=60', X_RateLimit_Reset="70") == 5 * SECOND


@pytest.mark.parametrize(("seconds", "expected"), [(EPOCH - 50, 0), (EPOCH + 24 * 3600, MAX_RETRY_AFTER)])
def test_a_reset_since_1970_has_the_same_bounds(seconds, expected):
    """It may be over already, or a day away."""
    assert read(X_RateLimit_Reset=str(seconds)) == expected


# -- whatever the application says

NUMBERS = st.integers(-(10**12), 10**12).map(str)
DATES = st.integers(-6 * 10**10, 25 * 10**10).map(lambda seconds: http_date(seconds * SECOND))
LIMITS = st.lists(st.tuples(st.sampled_from(["limit", "remaining", "reset", "r", "t"]), NUMBERS).map("=".join))
TEXTS = st.one_of(st.text(max_size=40), NUMBERS, DATES, LIMITS.map(", ".join), LIMITS.map(";".join))
HEADERS = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, TEXTS))


@given(headers=HEADERS, now=st.integers(0, 10**14))
@example(headers={"RateLimit": "reset=" * 20_000}, now=NOW)
@example(headers={"Retry-After": "9" * 60_000}, now=NOW)
@example(headers={"Retry-After": "Mon Jan  1 00:00:00 0001", "Date": "Fri Dec 31 23:59:59 9999"}, now=NOW)
def test_whatever_the_headers_say_the_wait_is_unknown_or_within_an_hour(headers, now):
    """No header may raise, or stop the service for longer."""
    wait = retry_after.read(CaseInsensitiveDict(headers), now)
    assert wait is None or 0 <= wait <= MAX_RETRY_AFTER == 3_600_000
