"""Times as people and models write them."""

from datetime import UTC, datetime, timedelta

import pytest

from omni_mcp.decide.times import in_words, point, span

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30min", 1800),
        ("30 m", 1800),
        ("2h", 7200),
        ("1.5h", 5400),
        ("1d 12h", 129_600),
        ("2W", 1_209_600),
        ("1 day 2 hours", 93_600),
        ("2小时30分钟", 9000),
        ("1 week", 604_800),
    ],
)
def test_a_span_is_read_as_people_write_it(text: str, seconds: int) -> None:
    assert span(text) == timedelta(seconds=seconds)
    assert point(text, NOW) == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "2", "h", "-2h", "0s", "2h later", "2 hams", "999999999w", "2h" * 1000])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"span of time|hundred years"):
        span(text)


@pytest.mark.parametrize("text", ["2026-03-01T20:00+08:00", "2026-03-01T12:00:00Z", " 2026-03-01 12:00+00:00 "])
def test_a_time_with_an_offset_is_one_moment_everywhere(text: str) -> None:
    assert point(text, NOW) == NOW


@pytest.mark.parametrize(
    ("text", "sign"), [("2026-03-01T12:00", "no offset"), ("tomorrow", "neither"), ("", "neither")]
)
def test_a_time_that_means_different_things_to_different_people_is_refused(text: str, sign: str) -> None:
    with pytest.raises(ValueError, match=sign):
        point(text, NOW)


@pytest.mark.parametrize(
    ("seconds", "words"), [(-1, "0 s"), (59, "59 s"), (180, "3 min"), (7300, "2 h"), (86_400 * 5, "5 d")]
)
def test_a_span_is_told_in_one_unit(seconds: int, words: str) -> None:
    assert in_words(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
def test_a_time_beyond_the_years_that_there_are_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="beyond the years"):
        point(text, NOW)
