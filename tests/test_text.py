"""Numbers and names read as in a sentence."""

import math

import pytest

from initbench.text import join_words, percent, plural, rough, rough_percent, split_words


@pytest.mark.parametrize(
    "value, text",
    [(0.25, "0.25"), (1.3e-12, "1e-12"), (12.34, "12"), (725, "725"), (1234, "1e3"), (0, "0"), (math.nan, "null")],
)
def test_rough_numbers(value, text):
    assert rough(value) == text


@pytest.mark.parametrize("value, text", [(0.834, "83 %"), (1, "100 %"), (0.053, "5.3 %"), (4e-7, "4e-5 %"), (0, "0 %")])
def test_rough_percents(value, text):
    assert rough_percent(value) == text


def test_percents_have_the_digits_asked_for():
    assert (percent(0.9581), percent(0.5, 0), percent(1)) == ("95.8 %", "50 %", "100.0 %")


@pytest.mark.parametrize("count, text", [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (12345, "12,345 runs")])
def test_plurals(count, text):
    assert plural(count, "run") == text


@pytest.mark.parametrize("names, text", [(["he"], "he"), (["he", "xavier"], "he and xavier"), ("abc", "a, b and c")])
def test_names_are_joined_as_in_a_sentence(names, text):
    assert join_words(names) == text


def test_words_between_commas():
    assert split_words("act, depth,,init ") == ["act", "depth", "init"]
    assert split_words("") == split_words(" , ") == []
