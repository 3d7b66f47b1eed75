"""A decision that lacks a fact, and a rule that has no reply, are answered in the recorded words: never an error."""

from typing import Any

import pytest

from tests.golden.made_by_hand import CASES, Case, known_of
from worker.replies.compose import TABLE, of_decision, reply_to

CHANGED = [(rule, "applied", reason, {"connects": 5}) for rule, reason in sorted(TABLE)]


@pytest.mark.parametrize("case", [*CHANGED, *CASES], ids=lambda case: f"{case[0]}, {case[2]}")
def test_no_fact_that_is_missing_is_an_error(case: Case) -> None:
    rule, outcome, reason, facts = case
    for left_out in facts or [""]:
        fewer: dict[str, Any] = {name: fact for name, fact in facts.items() if name != left_out}
        known = known_of((rule, outcome, reason, fewer))
        draft = of_decision(known.decisions[0], known)
        assert draft.headline
        assert "None" not in draft.headline.replace("None of", "")


def test_a_rule_without_a_reply_is_answered_in_its_recorded_words_with_the_day() -> None:
    known = known_of(("grant.rating", "applied", "rated", {"connects": 5}))
    assert reply_to(known).reply == "The recorded words.\nThat was on 14 March 2026."
    assert reply_to(known).verdict == "yes"
