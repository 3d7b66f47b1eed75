"""Memberships in words: each reason code of domain.md, and the complaints that they answer."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.kit.members import basic_member, cycle_starts, on, plus_member
from tests.kit.story import Story, explained, only_change
from worker.domain.decisions import Fact, Subject
from worker.words import charges, memberships, monthly
from worker.words.explanations import explain, explain_change

MEMBERSHIP_REASONS = {
    reason for room in (charges, memberships, monthly) for words in room.WORDS.values() for reason in words
}
HER = Subject("f-1")
PAID = datetime(2026, 4, 12, 15, tzinfo=UTC)
CHOSEN = datetime(2026, 4, 10, 9, tzinfo=UTC)
SINCE = datetime(2026, 4, 20, tzinfo=UTC)
UPGRADE: dict[str, Fact] = {
    "charge_id": "f-1:e-2:1",
    "charge": "upgrade",
    "cycle_start": "2026-04-10",
    "amount_cents": 2000,
    "currency": "USD",
    "source": "earnings-balance",
    "attempt": 1,
}
RENEWAL: dict[str, Fact] = UPGRADE | {
    "charge_id": "f-1:2026-05-10:1",
    "charge": "renewal",
    "cycle_start": "2026-05-10",
    "source": "payment-method",
}
PLUS: dict[str, Fact] = {"plan": "plus", "cycle_start": "2026-04-10", "next_renewal": "2026-05-10"}
BASIC: dict[str, Fact] = {"plan": "basic", "cycle_start": "2026-05-10", "next_renewal": "2026-06-10"}
PRORATED: dict[str, Fact] = UPGRADE | {
    "connects": 73,
    "paid": 70,
    "free": 3,
    "free_whole": 10,
    "days": 9,
    "length": 30,
    "prorated_from": "2026-04-01",
    "prorated_to": "2026-04-10",
    "chosen_at": CHOSEN,
    "paid_at": PAID,
    "next_renewal": "2026-05-10",
}
WHOLE: dict[str, Fact] = {"plan": "plus", "connects": 80, "paid": 70, "free": 10, "paid_at": PAID.replace(month=5)}

Case = tuple[str, str, dict[str, Fact], str]
WORDED: list[Case] = [
    (
        "cycle-started",
        "applied",
        BASIC | {"connects": 10},
        "10 Connects granted for the Basic cycle that began on 10 May 2026. The next cycle begins on 10 June 2026.",
    ),
    (
        "cycle-started",
        "applied",
        BASIC | {"connects": 10, "why": "chosen", "downgrade_chosen_at": SINCE},
        (
            "10 Connects granted for the Basic cycle that began on 10 May 2026. Plus ended with the cycle before: "
            "Basic was chosen on 20 April 2026. The next cycle begins on 10 June 2026."
        ),
    ),
    (
        "cycle-started",
        "applied",
        BASIC | {"connects": 10, "why": "suspended", "scope": "billing-method", "suspended_at": SINCE},
        (
            "10 Connects granted for the Basic cycle that began on 10 May 2026. Plus ended with the cycle before: "
            "the billing method was suspended on 20 April 2026. The next cycle begins on 10 June 2026."
        ),
    ),
    (
        "cycle-started",
        "applied",
        RENEWAL | BASIC | {"connects": 10, "why": "failed", "failed_at": PAID.replace(month=5)},
        (
            "10 Connects granted for the Basic cycle that began on 10 May 2026. Plus ended: the charge of $20.00 for "
            "the Plus cycle that began on 10 May 2026 failed on 12 May 2026. The next cycle begins on 10 June 2026."
        ),
    ),
    (
        "cycle-started",
        "applied",
        BASIC | {"connects": 10, "why": "lapsed"},
        (
            "10 Connects granted for the Basic cycle that began on 10 May 2026. Plus ended: the charge for this cycle "
            "was not answered before the next began. The next cycle begins on 10 June 2026."
        ),
    ),
    (
        "cycle-started",
        "applied",
        RENEWAL | WHOLE | {"next_renewal": "2026-06-10"},
        (
            "80 Connects granted for the Plus cycle that began on 10 May 2026 (70 that are paid for and 10 free): "
            "its charge was paid on 12 May 2026. The next renewal is on 10 June 2026."
        ),
    ),
    (
        "upgraded",
        "applied",
        PRORATED,
        (
            "73 Connects granted for the upgrade to Plus, paid on 12 April 2026: 70 that are paid for + 3 of the 10 "
            "free ones. The free ones are prorated, 10 x 9 / 30 rounded down: 9 of the 30 days of the Basic cycle had "
            "passed, from 1 April 2026 to 10 April 2026. The next renewal is on 10 May 2026; it brings 80."
        ),
    ),
    (
        "upgraded",
        "applied",
        PRORATED | {"connects": 70, "free": 0, "days": 0, "prorated_to": "2026-04-01"},
        (
            "70 Connects granted for the upgrade to Plus, paid on 12 April 2026: 70 that are paid for + 0 of the 10 "
            "free ones. The free ones are prorated, 10 x 0 / 30 rounded down: none of the 30 days of the Basic cycle "
            "that began on 1 April 2026 had passed. The next renewal is on 10 May 2026; it brings 80."
        ),
    ),
    (
        "upgraded",
        "applied",
        PRORATED
        | {
            "overtaken": True,
            "prorated_from": "2026-05-01",
            "prorated_to": "2026-05-10",
            "paid_at": PAID.replace(month=5, day=10),
            "next_renewal": "2026-06-10",
        },
        (
            "73 Connects granted for the upgrade to Plus, paid on 10 May 2026: 70 that are paid for + 3 of the 10 "
            "free ones. The free ones are prorated, 10 x 9 / 30 rounded down: 9 of the 30 days of the Basic cycle had "
            "passed, from 1 May 2026 to 10 May 2026. The Basic cycle began only after the choice on 10 April 2026, so "
            "the day of the payment counts. The next renewal is on 10 June 2026; it brings 80."
        ),
    ),
    (
        "upgraded",
        "applied",
        {name: fact for name, fact in PRORATED.items() if name != "paid_at"}
        | {"amount_cents": 0, "nothing_to_pay": True, "price_cents": 2000, "promo_code": "FREE"},
        (
            "73 Connects granted for the upgrade to Plus, chosen on 10 April 2026: 70 that are otherwise paid for + 3 "
            "of the 10 free ones. The free ones are prorated, 10 x 9 / 30 rounded down: 9 of the 30 days of the Basic "
            "cycle had passed, from 1 April 2026 to 10 April 2026. Nothing has to be paid for it: the promotion code "
            "FREE brings its price of $20.00 to nothing. The next renewal is on 10 May 2026; it brings 80."
        ),
    ),
    (
        "renewed",
        "applied",
        RENEWAL | WHOLE | {"amount_cents": 0, "nothing_to_pay": True, "price_cents": 0, "next_renewal": "2026-06-10"},
        (
            "Plus is renewed on 10 May 2026: 80 Connects granted (70 that are otherwise paid for and 10 free). "
            "Nothing has to be paid for it. The next renewal is on 10 June 2026."
        ),
    ),
    (
        "renewed",
        "applied",
        RENEWAL | WHOLE | {"next_renewal": "2026-06-10"},
        (
            "The charge of $20.00 for the Plus cycle that began on 10 May 2026 was paid on 12 May 2026: 80 Connects "
            "granted (70 that are paid for and 10 free). The next renewal is on 10 June 2026."
        ),
    ),
    (
        "paid-after-lapse",
        "applied",
        RENEWAL | WHOLE,
        (
            "80 Connects granted (70 that are paid for and 10 free): the charge of $20.00 for the Plus cycle that "
            "began on 10 May 2026 was paid on 12 May 2026, after Plus had ended because it had not been. "
            "The plan stays as it is."
        ),
    ),
    (
        "account-suspended",
        "withheld",
        BASIC | {"connects": 10, "suspended_at": SINCE},
        (
            "10 Connects withheld for the cycle that began on 10 May 2026: the account had been suspended since "
            "20 April 2026. They are not made up later. The next cycle begins on 10 June 2026."
        ),
    ),
    (
        "account-suspended",
        "withheld",
        BASIC | {"connects": 10, "suspended_at": SINCE, "why": "chosen", "downgrade_chosen_at": CHOSEN},
        (
            "10 Connects withheld for the cycle that began on 10 May 2026: the account had been suspended since "
            "20 April 2026. They are not made up later. Plus ended with the cycle before: Basic was chosen on "
            "10 April 2026. The next cycle begins on 10 June 2026."
        ),
    ),
    (
        "account-suspended",
        "declined",
        PLUS | {"scope": "billing-method", "suspended_at": SINCE},
        (
            "Plus was not ordered: the billing method had been suspended since 20 April 2026. "
            "Plus may be chosen again when no suspension is in force any more."
        ),
    ),
    (
        "membership-began",
        "applied",
        BASIC,
        "The membership began on 10 May 2026, as Basic. The next cycle begins on 10 June 2026.",
    ),
    (
        "already-on-plan",
        "declined",
        PLUS | {"chosen": "plus"},
        "Nothing changed: the plan is Plus already. The next renewal is on 10 May 2026.",
    ),
    (
        "already-on-plan",
        "declined",
        BASIC | {"chosen": "plus", "upgrade": "f-1:e-2:1"},
        "Nothing changed: Plus was chosen before, and its charge is not answered yet. It is not charged twice.",
    ),
    (
        "already-on-plan",
        "declined",
        PLUS | {"chosen": "basic", "downgrade_chosen_at": SINCE},
        "Nothing changed: Basic was chosen on 20 April 2026 already. Plus ends with its cycle, on 10 May 2026.",
    ),
    (
        "already-on-plan",
        "declined",
        BASIC | {"chosen": "basic", "downgrade_chosen_at": SINCE, "upgrade": "f-1:e-2:1"},
        (
            "Nothing changed: Basic was chosen on 20 April 2026 already. "
            "If the charge for Plus is paid, Plus ends with its first cycle."
        ),
    ),
    (
        "already-on-plan",
        "declined",
        BASIC | {"chosen": "basic"},
        "Nothing changed: the plan is Basic already. The next cycle begins on 10 June 2026.",
    ),
    (
        "downgrade-scheduled",
        "applied",
        PLUS | {"chosen": "basic", "chosen_at": SINCE},
        (
            "Basic was chosen on 20 April 2026. Plus ends with its cycle, on 10 May 2026. "
            "Until then Plus stays; nothing is charged for the time after."
        ),
    ),
    (
        "downgrade-scheduled",
        "applied",
        PLUS | {"chosen": "basic", "chosen_at": CHOSEN},
        (
            "Basic was chosen on 10 April 2026. That is too late for the cycle that began on 10 April 2026: the charge "
            "for it remains due. Plus ends with its cycle, on 10 May 2026. "
            "Until then Plus stays; nothing is charged for the time after."
        ),
    ),
    (
        "downgrade-scheduled",
        "applied",
        PLUS | {"chosen": "basic", "chosen_at": SINCE, "renewal": "f-1:2026-04-10:1"},
        (
            "Basic was chosen on 20 April 2026. Plus ends with its cycle, on 10 May 2026. Until then Plus stays; "
            "nothing is charged for the time after. The charge for the cycle that began on 10 April 2026 is not "
            "answered yet; if it fails, Plus ends immediately."
        ),
    ),
    (
        "downgrade-scheduled",
        "applied",
        BASIC | {"chosen": "basic", "chosen_at": SINCE, "upgrade": "f-1:e-2:1"},
        (
            "Basic was chosen on 20 April 2026, while the charge for Plus is not answered yet. "
            "If it is paid, Plus ends with its first cycle."
        ),
    ),
    (
        "downgrade-cancelled",
        "applied",
        PLUS | {"downgrade_chosen_at": SINCE},
        (
            "The downgrade chosen on 20 April 2026 is cancelled: Plus goes on, and its cycle stays as it is. "
            "The next renewal is on 10 May 2026."
        ),
    ),
    (
        "downgrade-cancelled",
        "applied",
        BASIC | {"downgrade_chosen_at": SINCE, "upgrade": "f-1:e-2:1", "promo_code": "FIVE"},
        (
            "The downgrade chosen on 20 April 2026 is cancelled: Plus, once its charge is paid, goes on after its "
            "first cycle. The promotion code FIVE counts for the next charge."
        ),
    ),
    (
        "downgraded",
        "applied",
        {"why": "chosen", "downgrade_chosen_at": SINCE, "cycle_start": "2026-05-10"},
        (
            "Plus ended with its cycle on 10 May 2026: Basic was chosen on 20 April 2026. The plan is Basic from then "
            "on, and nothing is charged. Plus may be chosen again at any time."
        ),
    ),
    (
        "downgraded",
        "applied",
        {
            "why": "suspended",
            "scope": "account",
            "suspended_at": SINCE,
            "cycle_start": "2026-05-10",
            "suspended": "account",
        },
        (
            "Plus ended with its cycle on 10 May 2026: the account was suspended on 20 April 2026. The plan is Basic "
            "from then on, and nothing is charged. Plus may be chosen again when no suspension is in force any more."
        ),
    ),
    (
        "suspended",
        "applied",
        {"scope": "account", "at": SINCE, "plan": "plus", "next_renewal": "2026-05-10"},
        (
            "The account was suspended on 20 April 2026. Plus ends with its cycle, on 10 May 2026, unless that is "
            "lifted before. A cycle that starts meanwhile brings no monthly Connects, and Plus cannot be chosen; "
            "one-time Connects, proposals and refunds go on."
        ),
    ),
    (
        "suspended",
        "applied",
        PLUS | {"scope": "billing-method", "at": SINCE, "downgrade_chosen_at": CHOSEN},
        (
            "The billing method was suspended on 20 April 2026. Plus ends with its cycle, on 10 May 2026, lifted or "
            "not: Basic was chosen on 10 April 2026."
        ),
    ),
    (
        "suspended",
        "applied",
        PLUS | {"scope": "account", "at": SINCE, "still_suspended": "billing-method"},
        (
            "The account was suspended on 20 April 2026. Plus ends with its cycle, on 10 May 2026, unless that and "
            "the suspension of the billing method are lifted before. A cycle that starts meanwhile brings no monthly "
            "Connects, and Plus cannot be chosen; one-time Connects, proposals and refunds go on."
        ),
    ),
    (
        "suspended",
        "applied",
        {"scope": "billing-method", "at": SINCE, "plan": "basic", "next_renewal": "2026-05-10"},
        "The billing method was suspended on 20 April 2026.",
    ),
    (
        "suspended",
        "applied",
        BASIC | {"scope": "billing-method", "at": SINCE, "upgrade": "f-1:e-2:1"},
        (
            "The billing method was suspended on 20 April 2026. If the charge for Plus is paid, Plus ends with its "
            "first cycle, unless that is lifted before."
        ),
    ),
    (
        "suspended",
        "recorded",
        {"scope": "account", "at": SINCE, "plan": "plus"},
        (
            "Noted: the account was suspended on 20 April 2026. It changes nothing: that was known already, or the "
            "suspension was lifted after it."
        ),
    ),
    (
        "reinstated",
        "applied",
        {"scope": "account", "at": SINCE, "plan": "plus", "next_renewal": "2026-05-10"},
        (
            "The suspension of the account was lifted on 20 April 2026. Plus goes on. "
            "The next renewal is on 10 May 2026."
        ),
    ),
    (
        "reinstated",
        "applied",
        {"scope": "account", "at": SINCE, "plan": "plus", "still_suspended": "billing-method"},
        "The suspension of the account was lifted on 20 April 2026. The billing method is still suspended.",
    ),
    (
        "reinstated",
        "applied",
        {
            "scope": "account",
            "at": SINCE,
            "plan": "plus",
            "next_renewal": "2026-05-10",
            "downgrade_chosen_at": CHOSEN,
        },
        (
            "The suspension of the account was lifted on 20 April 2026. Basic had also been chosen on 10 April "
            "2026: Plus ends with its cycle, on 10 May 2026."
        ),
    ),
    (
        "reinstated",
        "applied",
        BASIC | {"scope": "billing-method", "at": SINCE},
        "The suspension of the billing method was lifted on 20 April 2026. The plan is Basic until Plus is chosen.",
    ),
    (
        "reinstated",
        "applied",
        BASIC | {"scope": "billing-method", "at": SINCE, "upgrade": "f-1:e-2:1"},
        "The suspension of the billing method was lifted on 20 April 2026. Plus begins when its charge is paid.",
    ),
    (
        "reinstated",
        "applied",
        {"scope": "account", "at": SINCE, "plan": "basic"},
        "The suspension of the account was lifted on 20 April 2026.",
    ),
    (
        "reinstated",
        "recorded",
        {"scope": "account", "at": SINCE, "plan": "basic"},
        (
            "Noted: the suspension of the account was lifted on 20 April 2026. It changes nothing: there was none, or "
            "there has been a new one since."
        ),
    ),
    (
        "charge-requested",
        "applied",
        UPGRADE | {"price_cents": 2000, "chosen_at": CHOSEN},
        (
            "Plus was chosen on 10 April 2026: $20.00 is requested from the earnings balance. When that is paid, Plus "
            "begins and its Connects come in; until then the plan is Basic."
        ),
    ),
    (
        "charge-requested",
        "applied",
        RENEWAL
        | {
            "price_cents": 2000,
            "amount_cents": 1505,
            "promo_code": "SPRING",
            "connects": 80,
            "next_renewal": "2026-06-10",
        },
        (
            "Plus is renewed on 10 May 2026: $15.05 is requested from the payment method, instead of $20.00, with the "
            "promotion code SPRING. The 80 Connects of this cycle come in when that is paid. "
            "The next renewal is on 10 June 2026."
        ),
    ),
    (
        "charge-retried",
        "applied",
        RENEWAL | {"attempt": 2, "failed_at": PAID, "currency": "EUR"},
        (
            "On 12 April 2026 the earnings balance did not pay for the Plus cycle that began on 10 May 2026: 20.00 EUR "
            "is requested from the payment method now. If that fails too, it is not requested again."
        ),
    ),
    (
        "charge-failed",
        "applied",
        UPGRADE | {"failed_at": PAID},
        (
            "The charge of $20.00 for the upgrade to Plus failed on 12 April 2026. Nothing changed. "
            "Plus may be chosen again at any time."
        ),
    ),
    (
        "charge-failed",
        "applied",
        RENEWAL | {"failed_at": PAID, "connects": 10, "next_renewal": "2026-06-10"},
        (
            "The charge of $20.00 for the Plus cycle that began on 10 May 2026 failed on 12 April 2026: the plan is "
            "Basic now, 10 Connects granted for this cycle. The next cycle begins on 10 June 2026. "
            "Plus may be chosen again at any time."
        ),
    ),
    (
        "charge-failed",
        "applied",
        RENEWAL | {"failed_at": PAID, "withheld": True, "suspended_at": SINCE, "next_renewal": "2026-06-10"},
        (
            "The charge of $20.00 for the Plus cycle that began on 10 May 2026 failed on 12 April 2026: the plan is "
            "Basic now, Basic's Connects for this cycle withheld, because the account was suspended on 20 April 2026. "
            "The next cycle begins on 10 June 2026. Plus may be chosen again at any time."
        ),
    ),
    (
        "charge-failed",
        "applied",
        RENEWAL | {"lapsed": True, "lapsed_on": "2026-06-10"},
        (
            "The charge of $20.00 for the Plus cycle that began on 10 May 2026 was not answered before the next cycle "
            "began on 10 June 2026. It counts as failed: the plan is Basic from 10 May 2026 on. "
            "If it is paid after all, its Connects come in then."
        ),
    ),
    (
        "charge-already-settled",
        "declined",
        RENEWAL | {"status": "paid", "outcome": "failed"},
        (
            "Nothing done: the charge of $20.00 for the Plus cycle that began on 10 May 2026 is decided already: "
            "it had been paid before."
        ),
    ),
    (
        "charge-already-settled",
        "declined",
        UPGRADE | {"amount_cents": 0, "status": "paid", "outcome": "failed"},
        "Nothing done: the charge of $0.00 for the upgrade to Plus is decided already: there is nothing to pay.",
    ),
    (
        "charge-already-settled",
        "declined",
        RENEWAL | {"status": "lapsed", "outcome": "failed"},
        (
            "Nothing done: the charge of $20.00 for the Plus cycle that began on 10 May 2026 is decided already: "
            "it counts as failed since the next cycle began without an answer."
        ),
    ),
    (
        "unknown-charge",
        "recorded",
        {"charge_id": "f-1:e-2:1", "outcome": "paid"},
        "Noted: no charge f-1:e-2:1 has been requested of this freelancer yet. The answer counts as soon as it is.",
    ),
    (
        "earnings-noted",
        "recorded",
        {"available_cents": 1234, "at": SINCE},
        (
            "Noted: the earnings balance was $12.34 on 20 April 2026. "
            "If it is enough, the next charge of a membership is taken from it."
        ),
    ),
    (
        "earnings-noted",
        "recorded",
        {"available_cents": 1234, "currency": "EUR", "at": SINCE},
        (
            "Noted: the earnings balance was 12.34 EUR on 20 April 2026. "
            "If it is enough, the next charge of a membership is taken from it."
        ),
    ),
    (
        "awaits-cycle-start",
        "recorded",
        {"at": PAID, "next_renewal": "2026-04-12"},
        (
            "Noted: this is dated on 12 April 2026, not before the cycle start on 12 April 2026. "
            "That is decided first, this right after."
        ),
    ),
    (
        "promo-accepted",
        "applied",
        {"promo_code": "HALF", "percent_off": 50, "charges": 3},
        "The promotion code HALF is accepted: 50% off the next 3 charges.",
    ),
    (
        "promo-accepted",
        "applied",
        {"promo_code": "FIVE", "cents_off": 500, "currency": "USD", "charges": 1},
        "The promotion code FIVE is accepted: $5.00 off the next charge.",
    ),
    (
        "promo-code-unknown",
        "declined",
        {"promo_code": "NOPE"},
        "Not accepted: there is no promotion code NOPE.",
    ),
    (
        "promo-code-unknown",
        "declined",
        {"promo_code": "NOPE", "chosen": "plus"},
        "Nothing changed: there is no promotion code NOPE.",
    ),
    (
        "promo-code-expired",
        "declined",
        {"promo_code": "HALF", "valid_from": CHOSEN, "valid_until": SINCE},
        (
            "Not accepted: the promotion code HALF is not valid on that day: "
            "it counts from 10 April 2026 on, and before 20 April 2026."
        ),
    ),
    (
        "promo-code-already-used",
        "declined",
        {"promo_code": "HALF"},
        "Not accepted: the promotion code HALF was used before. Each counts once.",
    ),
]
REASONS = sorted({(reason, outcome) for reason, outcome, *_ in WORDED})


@pytest.mark.parametrize(("reason", "outcome", "facts", "words"), WORDED)
def test_every_reason_has_words_that_name_what_when_and_how_many(
    reason: str, outcome: str, facts: dict[str, Fact], words: str
) -> None:
    assert explain(reason, outcome, HER, facts) == words


@pytest.mark.parametrize(("reason", "outcome", "facts", "words"), WORDED)
def test_facts_read_back_from_the_ledger_make_the_same_words(
    reason: str, outcome: str, facts: dict[str, Fact], words: str
) -> None:
    stored = {name: fact.isoformat() if isinstance(fact, datetime) else fact for name, fact in facts.items()}
    assert explain(reason, outcome, HER, stored) == words


@pytest.mark.parametrize(("reason", "outcome", "facts", "words"), WORDED)
def test_with_any_fact_missing_there_is_still_a_sentence(
    reason: str, outcome: str, facts: dict[str, Fact], words: str
) -> None:
    assert words
    for missing in [None, *facts]:
        left = {name: fact for name, fact in facts.items() if missing not in {None, name}}
        shown = explain(reason, outcome, Subject(), left)
        assert shown.endswith("."), shown
        assert "None" not in shown
        assert "  " not in shown


def test_every_reason_code_of_memberships_has_words_and_a_test() -> None:
    assert MEMBERSHIP_REASONS - {"nothing-to-do"} == {reason for reason, _ in REASONS}


def test_reason_codes_of_membership_decisions_are_those_of_the_rules() -> None:
    rules = (Path(__file__).parents[3] / "docs" / "domain.md").read_text().splitlines()
    (line,) = (line for line in rules if line.startswith("- Reason codes of membership decisions:"))
    codes = set(re.findall("`([a-z-]+)`", line.partition("Rule ids")[0]))
    assert len(codes) > 10
    assert codes <= MEMBERSHIP_REASONS


# The complaints (domain.md).


def test_prorated_without_a_word_73_and_not_80() -> None:
    words = explain_change(only_change(plus_member().decisions[-1]))
    assert "70 that are paid for + 3 of the 10 free ones" in words
    assert "10 x 9 / 30 rounded down" in words
    assert "from 1 April 2026 to 10 April 2026" in words


@pytest.mark.parametrize(
    ("registered", "chosen", "words"),
    [
        (on(3, 31, 9), on(3, 31, 10), "10 x 0 / 1 rounded down: the one day of the Basic cycle that began on 31 March"),
        (on(4, 30, 9), on(4, 30, 10), "10 x 0 / 1 rounded down: the one day of the Basic cycle that began on 30 April"),
        (
            on(3, 30, 9),
            on(3, 30, 10),
            "10 x 0 / 2 rounded down: none of the 2 days of the Basic cycle that began on 30",
        ),
        (
            on(3, 30, 9),
            on(3, 31, 10),
            "10 x 1 / 2 rounded down: 1 of the 2 days of the Basic cycle had passed, from 30",
        ),
        (
            on(4, 1, 9),
            on(4, 1, 10),
            "10 x 0 / 30 rounded down: none of the 30 days of the Basic cycle that began on 1 ",
        ),
        (
            on(4, 1, 9),
            on(4, 2, 10),
            "10 x 1 / 30 rounded down: 1 of the 30 days of the Basic cycle had passed, from 1 ",
        ),
    ],
)
def test_prorated_in_a_cycle_of_a_day_or_on_its_first_day(registered: datetime, chosen: datetime, words: str) -> None:
    story = Story(start=on(3, 29))
    story.registered("f-1", at=registered)
    story.chose("plus", "f-1", at=chosen)
    shown = explain_change(only_change(story.paid(story.charge("f-1").charge_id, "f-1", at=chosen)))
    assert words in shown


def overtaken(registered: datetime, chosen: datetime, until: datetime, paid: datetime) -> str:
    """The words about an upgrade of f-1 that was chosen, or decided, out of order; business time passes `until`."""
    story = Story(start=on(3, 29))
    story.registered("f-1", at=registered)
    story.chose("plus", "f-1", at=chosen)
    story.until(until)
    return explain_change(only_change(story.paid(story.charge("f-1").charge_id, "f-1", at=paid)))


@pytest.mark.parametrize(
    ("registered", "chosen", "until", "paid", "words"),
    [
        # The usual case: a cycle started between the choice and the payment.
        (on(4, 1), on(4, 10), on(5, 2), on(5, 4), "choice on 10 April 2026, so the day of the payment counts."),
        # The payment is dated before that start, and was read after it.
        (
            *(on(4, 1), on(4, 10), on(5, 2), on(4, 20)),
            "choice on 10 April 2026 and the payment on 20 April 2026, so its first day counts.",
        ),
        # The choice is dated before the registration that began the membership: no cycle has started since.
        (on(4, 10), on(4, 8), on(4, 11), on(4, 12), "choice on 8 April 2026, so the day of the payment counts."),
        # So is the payment.
        (
            *(on(4, 10), on(4, 8), on(4, 11), on(4, 9)),
            "choice on 8 April 2026 and the payment on 9 April 2026, so its first day counts.",
        ),
        # Paid on the day on which the cycle began.
        (on(4, 10, 9), on(4, 8), on(4, 11), on(4, 10), "choice on 8 April 2026, so the day of the payment counts."),
    ],
)
def test_why_an_upgrade_does_not_go_by_the_day_of_its_choice(
    registered: datetime, chosen: datetime, until: datetime, paid: datetime, words: str
) -> None:
    shown = overtaken(registered, chosen, until, paid)
    assert f" The Basic cycle began only after the {words} The next renewal" in shown


def test_downgraded_and_got_10_not_80() -> None:
    story = plus_member()
    story.chose("basic", "f-1", at=on(4, 20))
    cycle = cycle_starts(story, 5, 10)[-1]
    assert "Plus ended with the cycle before: Basic was chosen on 20 April 2026." in explain_change(only_change(cycle))


def test_monthly_late_or_missing_my_cycle_began_yesterday() -> None:
    story = plus_member()
    (renewal,) = cycle_starts(story, 5, 10)
    assert explained(renewal) == (
        "Plus is renewed on 10 May 2026: $20.00 is requested from the payment method. The 80 Connects of this cycle "
        "come in when that is paid. The next renewal is on 10 June 2026."
    )


def test_when_are_my_next_connects() -> None:
    (cycle,) = cycle_starts(basic_member(), 5, 1)
    assert explain_change(only_change(cycle)).endswith("The next cycle begins on 1 June 2026.")


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Pacific/Auckland"])
def test_a_day_is_the_same_day_wherever_the_worker_runs(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        words = explain("membership-began", "applied", HER, BASIC | {"cycle_start": "2026-05-09"})
    finally:
        monkeypatch.undo()
        time.tzset()
    assert "on 9 May 2026" in words


def test_an_upgrade_paid_after_its_first_cycle_says_why_the_day_of_the_payment_counts() -> None:
    story = Story(start=on(1, 1))
    story.registered("f-1", at=on(1, 15, 9))
    story.chose("plus", "f-1", at=on(1, 30), event_id="up")
    paid = story.paid("f-1:up:1", "f-1", at=on(2, 10))
    assert explained(paid) == (
        "78 Connects granted for the upgrade to Plus, paid on 10 February 2026: 70 that are paid for + 8 of the 10 "
        "free ones. The free ones are prorated, 10 x 26 / 31 rounded down: 26 of the 31 days of the Basic cycle had "
        "passed, from 15 January 2026 to 10 February 2026. The Plus cycle of the choice would have ended on "
        "1 February 2026, so the day of the payment counts. The next renewal is on 10 March 2026; it brings 80."
    )


def test_what_is_paid_promises_no_renewal_if_plus_is_to_end() -> None:
    story = basic_member()
    story.chose("plus", "f-1", at=on(4, 10), event_id="up")
    story.chose("basic", "f-1", at=on(4, 11))
    paid = story.paid("f-1:up:1", "f-1", at=on(4, 12))
    assert explained(paid).endswith("Basic was chosen on 11 April 2026: Plus ends with its cycle, on 10 May 2026.")
    story = plus_member()
    cycle_starts(story, 5, 10)
    story.suspended("f-1", at=on(5, 11))
    paid = story.paid("f-1:2026-05-10:1", "f-1", at=on(5, 12))
    ends = "The account is suspended: Plus ends with its cycle, on 10 June 2026, unless no suspension is in force then."
    assert explained(paid).endswith(ends)
    assert explain_change(only_change(paid)).endswith(ends)


def test_a_suspended_account_does_not_say_that_plus_may_be_chosen() -> None:
    story = basic_member()
    story.chose("plus", "f-1", at=on(4, 10), event_id="up")
    story.suspended("f-1", at=on(4, 11))
    failed = story.unpaid("f-1:up:1", "f-1", at=on(4, 12))
    assert explained(failed).endswith("Plus may be chosen again when no suspension is in force any more.")


def test_a_balance_older_than_the_last_reported_says_that_it_changes_nothing() -> None:
    story = basic_member()
    story.has_earned("f-1", 500, at=on(4, 10))
    assert explained(story.has_earned("f-1", 900, at=on(4, 9))) == (
        "Noted: the earnings balance was $9.00 on 9 April 2026. "
        "It changes nothing: a later one, of 12:00:00 UTC on 10 April 2026, was reported before."
    )
