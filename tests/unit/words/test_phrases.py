"""Pieces of sentences: counts in their own number."""

import pytest

from worker.words.phrases import agreeing, counted


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 messages"), (1, "1 message"), (2, "2 messages"), (None, "messages")]
)
def test_one_of_a_thing_is_shown_in_the_singular(count: int | None, words: str) -> None:
    assert counted(count, "message") == words


def test_a_word_that_takes_more_than_an_s_is_given_in_both_forms() -> None:
    assert [counted(count, "batch waits", "batches wait") for count in (1, 3)] == ["1 batch waits", "3 batches wait"]


def test_the_form_alone_agrees_with_its_count() -> None:
    assert [agreeing(count, "is", "are") for count in (0, 1, 2, 1.5, None)] == ["are", "is", "are", "are", "are"]
