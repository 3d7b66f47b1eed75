"""Versions of a wallet in the order of their messages: each once, in order; what was published once more may repeat."""

import pytest

from worker.proof.output_topic import Versions

FIRST = ""
ONE, TWO = "command:1", "command:2"


def seen(*messages: tuple[int, str], is_whole: bool = True) -> tuple[list[int | None], list[str]]:
    """After which version each message must not come, and what is missing in the end."""
    versions = Versions()
    found = [versions.see("f-1", version, by, is_whole=is_whole) for version, by in messages]
    return found, list(versions.missing())


@pytest.mark.parametrize(
    "messages",
    [
        [(1, FIRST), (2, FIRST), (3, FIRST)],
        [(1, FIRST), (2, FIRST), (1, ONE), (2, ONE), (3, FIRST)],
        [(1, FIRST), (2, FIRST), (1, ONE), (2, ONE), (1, TWO), (2, TWO)],
        [(1, ONE), (2, ONE)],
        [(3, FIRST), (1, ONE), (2, ONE), (3, ONE)],
        [(1, FIRST), (5, FIRST), (2, ONE), (3, ONE), (4, ONE), (5, ONE)],
        [(1, FIRST), (5, FIRST), (3, ONE), (4, ONE), (5, ONE), (2, TWO), (3, TWO)],
    ],
)
def test_all_that_was_published_is_there(messages: list[tuple[int, str]]) -> None:
    assert seen(*messages) == ([None] * len(messages), [])


def test_what_nobody_ordered_again_is_a_repeat() -> None:
    assert seen((1, FIRST), (2, FIRST), (1, FIRST)) == ([None, None, 2], [])


def test_a_command_that_published_twice_is_a_repeat() -> None:
    assert seen((1, FIRST), (2, FIRST), (1, ONE), (2, ONE), (2, ONE)) == ([None] * 4 + [2], [])


def test_what_is_still_missing_is_named() -> None:
    words = "f-1: the versions {} to {} are not in the topic"
    assert seen((7, FIRST), (3, ONE))[1] == [words.format(1, 2), words.format(4, 6)]
    assert seen((7, FIRST), (3, ONE), is_whole=False)[1] == []
