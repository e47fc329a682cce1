"""How often the type of a task is told right, on texts that were set aside before the rule was written."""

import pytest

from benchmarks.routing import Teller, of_the_plan, ours, samples, score


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nine_of_ten_texts_set_aside_are_told_right_in_each_language(language: str) -> None:
    assert score(ours, "held_out", language=language).share >= 0.9


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("label", ["coding", "general", "always_on"])
def test_no_class_is_told_right_less_than_five_times_in_six(language: str, label: str) -> None:
    assert score(ours, "held_out", language=language, label=label).share >= 5 / 6


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_rule_is_better_than_the_plain_words_of_the_plan_also_without_always_on(language: str) -> None:
    def right(teller: Teller) -> int:
        return sum(score(teller, "held_out", language=language, label=label).right for label in ("coding", "general"))

    assert right(ours) > right(of_the_plan) * 1.2


def test_both_languages_and_halves_are_alike_in_size_and_share_no_text() -> None:
    tune, held_out = list(samples("tune")), list(samples("held_out"))
    assert len(tune) == len(held_out) == 176
    assert not {s.text for s in tune} & {s.text for s in held_out}
    assert sum(s.language == "zh" for s in held_out) == 88
