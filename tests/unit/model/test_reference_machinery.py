"""Expiry, lateness, repeats, and triggers that should not have been."""

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.kit.histories import History
from tests.model.answers import Row
from tests.model.comparison import compare
from tests.model.ledger import Ledger, check, ledger_of
from tests.model.model import ReferenceModel
from tests.model.story import (
    DAY,
    GRACE,
    POLICY,
    START,
    Decided,
    adjusted,
    bought,
    closed,
    event,
    hired,
    instant,
    outbid,
    proposed,
    registered,
)


def test_a_lot_expires_a_calendar_year_after_it_was_issued_booked_one_grace_later() -> None:
    decided = Decided(bought(0, "b-0", 40), bought(9, "b-1", 5), proposed(10, "p-1", 12), until=365 * DAY + GRACE)
    (expiry,) = decided.of("clock")
    assert (expiry["event_id"], expiry["business_time"]) == ("expiry:f-1:1", instant(365 * DAY + GRACE))
    (change,) = expiry["changes"]
    assert (change["rule"], change["reason"], change["delta"]) == ("expire.lot", "lot-expired", -28)
    assert change["occurred_at"] == instant(365 * DAY)
    assert decided.balance() == 5


def test_connects_of_the_29th_of_february_expire_on_the_28th() -> None:
    leap_day = (datetime(2028, 2, 29, 12, tzinfo=UTC) - START).total_seconds()
    decided = Decided(bought(leap_day, "b-0", 40), until=leap_day + 366 * DAY)
    assert decided.of("clock")[0]["occurred_at"] == datetime(2029, 2, 28, 12, tzinfo=UTC)


def test_a_lot_that_was_used_up_does_not_expire() -> None:
    assert Decided(bought(0, "b-0", 40), proposed(1, "p-1", 40), until=400 * DAY).of("clock") == []


def test_debts_do_not_expire() -> None:
    assert Decided(proposed(0, "p-1", 40), until=400 * DAY).balance() == -40


def test_a_settlement_comes_before_an_expiry_of_the_same_instant() -> None:
    decided = Decided(bought(0, "b-0", 40), proposed(1, "p-1", 12), closed(365 * DAY))
    assert [row["kind"] for row in decided.rows[-2:]] == ["settlement", "clock"]


def test_a_redelivery_changes_nothing_whatever_its_spacing() -> None:
    first = registered(0, event_id="e-a")
    again = (first[0], b"another key", json.dumps(json.loads(first[2]), indent=3).encode(), first[3])
    decided = Decided(first, again)
    assert [row["outcome"] for row in decided.rows] == ["applied", "duplicate"]
    assert decided.balance() == 40


def test_a_known_event_id_with_other_content_is_a_conflict() -> None:
    decided = Decided(registered(0, event_id="e-a"), registered(0, event_id="e-a", extra=1))
    assert decided.answers("freelancer-registered")[1] == "rejected/event-id-conflict"


def test_one_event_id_may_be_in_two_topics() -> None:
    decided = Decided(registered(0, event_id="e-a"), bought(0, "b-1", 5, event_id="e-a"))
    assert decided.balance() == 45


def test_a_rejected_record_does_not_use_up_its_event_id() -> None:
    decided = Decided(bought(0, "b-1", 10**7, event_id="e-a"), bought(1, "b-1", 5, event_id="e-a"))
    assert decided.answers("connects-purchased") == ["rejected/invalid-event", "applied/purchased"]


def test_a_time_too_far_ahead_is_rejected_and_holds_nobody_up() -> None:
    decided = Decided(registered(100 * 365 * DAY), registered(1, "f-2"), proposed(0, "p-1", 1))
    assert decided.answers("freelancer-registered") == ["rejected/occurred-in-the-future", "applied/registered"]
    assert decided.rows[-1]["business_time"] == instant(1)


def test_a_time_too_long_ago_is_rejected_and_uses_up_no_event_id() -> None:
    long_ago = -40 * 365 * DAY
    decided = Decided(bought(long_ago, "b-1", 5, event_id="e-a"), bought(0, "b-1", 5, event_id="e-a"))
    assert decided.answers("connects-purchased") == ["rejected/occurred-too-long-ago", "applied/purchased"]
    assert decided.rows[-1]["business_time"] == instant(0)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"7",
        b'{"event_id": "e", "occurred_at": "2026-01-01T00:00:00Z"}',
        b'{"event_id": "e", "occurred_at": "2026-01-01T00:00:00", "freelancer_id": "f"}',
        b'{"event_id": "e", "occurred_at": "2026-02-30T00:00:00Z", "freelancer_id": "f"}',
        b'{"event_id": "e e", "occurred_at": "2026-01-01T00:00:00Z", "freelancer_id": "f"}',
        b'{"event_id": "e", "occurred_at": "2026-01-01T00:00:00Z", "freelancer_id": 7}',
        b'{"event_id": "e", "occurred_at": "2026-01-01T00:00:00Z", "freelancer_id": "f", "x": NaN}',
        b'{"event_id": "e", "occurred_at": "2026-01-01T00:00:00Z", "freelancer_id": "f", "x": "' + b"x" * 2**18 + b'"}',
    ],
)
def test_what_is_no_event_is_rejected(value: bytes | None) -> None:
    decided = Decided(("freelancer-registered", b"", value, START))
    assert decided.answers("freelancer-registered") == ["rejected/invalid-event"]


def test_times_are_compared_in_utc() -> None:
    decided = Decided(event("freelancer-registered", 0, freelancer_id="f-1"))
    moved = decided.rows[0]["payload"].replace(b"+00:00", b"-02:30")
    assert Decided(("freelancer-registered", b"", moved, START)).rows[0]["occurred_at"] == instant(9_000)


def test_lateness_is_recorded_beyond_the_grace() -> None:
    decided = Decided(registered(100), registered(100 - GRACE, "f-2"), registered(99 - GRACE, "f-3"))
    assert [row["late_by_seconds"] for row in decided.rows] == [None, None, GRACE + 1]


# Triggers that should not have been.


def story() -> Decided:
    return Decided(
        registered(0),
        outbid(1, "p-1"),
        proposed(2, "p-1", 12, 5),
        proposed(3, "p-2", 4, who="f-2"),
        closed(100),
        hired(999),
    )


def test_a_ledger_as_it_should_be_has_no_differences() -> None:
    report = check(ledger_of(story().driver), POLICY)
    assert report.ok, str(report)
    assert report.decisions == 9


def find(rows: list[Row], kind: str) -> int:
    return next(number for number, row in enumerate(rows) if row["kind"] == kind)


def differences(rows: list[Row]) -> str:
    model = ReferenceModel(POLICY, GRACE)
    return "\n".join(words for row in rows for words in compare(model.apply(row), row))


def test_a_settlement_before_its_time_is_found() -> None:
    rows = story().rows
    rows[find(rows, "settlement")]["business_time"] -= timedelta(seconds=1)
    assert "but was due at" in differences(rows)


def test_a_settlement_made_twice_is_found() -> None:
    rows = story().rows
    place = find(rows, "settlement")
    rows.insert(place, rows[place])
    assert "no settlement of this proposal was owed" in differences(rows)


def test_settlements_in_another_order_than_the_spends_are_found() -> None:
    rows = story().rows
    place = find(rows, "settlement")
    rows[place], rows[place + 1] = rows[place + 1], rows[place]
    assert "p-1 was read before, and comes first" in differences(rows)


def test_a_settlement_that_is_missing_is_found() -> None:
    ledger = ledger_of(story().driver)
    ledger.decisions.pop(find(ledger.decisions, "settlement"))
    words = str(check(ledger, POLICY))
    assert "missing: the settlement of p-1" in words
    assert "what led to it" in words


def test_clock_work_before_its_turn_is_found() -> None:
    rows = Decided(bought(0, "b-0", 40), bought(1, "b-1", 5), until=366 * DAY).rows
    rows[-1], rows[-2] = rows[-2], rows[-1]
    assert "was due before" in differences(rows)


def test_clock_work_before_its_time_is_found() -> None:
    rows = Decided(bought(0, "b-0", 40), bought(1, "b-2", 40, "f-2"), until=366 * DAY).rows
    rows[1], rows[2] = rows[2], rows[1]
    assert "was done before its time" in differences(rows)


def test_a_follow_up_that_is_missing_or_that_nobody_was_owed_is_found() -> None:
    rows = story().rows
    follow_up = rows.pop(find(rows, "follow-up"))
    assert "should have been followed up right here" in differences(rows)
    assert "nothing was owed to decision" in differences([*story().rows, follow_up])


def test_business_time_going_back_is_found() -> None:
    rows = story().rows
    rows[-1]["business_time"] = instant(0)
    assert "business time went back" in differences(rows)


def spoil(ledger: Ledger, table: str, name: str, value: object) -> str:
    spoiled = copy.deepcopy(ledger)
    getattr(spoiled, table)[0][name] = value
    return str(check(spoiled, POLICY))


def test_a_state_that_does_not_follow_from_the_decisions_is_found() -> None:
    ledger = ledger_of(story().driver)
    assert "wallet f-1: balance should be 40, is 41" in spoil(ledger, "wallets", "balance", 41)
    assert "lot f-1:1: remaining should be 40, is 7" in spoil(ledger, "lots", "remaining", 7)
    assert "spend p-1: base_debt should be 0, is 3" in spoil(ledger, "spends", "base_debt", 3)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("delta", 41, "delta should be 40, is 41"),
        ("version", 2, "version should be 1, is 2"),
        ("balance_after", 0, "balance_after should be 40, is 0"),
        ("movements", [("f-1:1", None, 39)], "movements should be"),
        ("reason", "welcome", "reason should be registered, is welcome"),
    ],
)
def test_a_change_that_should_have_been_another_is_found(name: str, value: Any, words: str) -> None:  # noqa: ANN401
    rows = story().rows
    rows[0]["changes"][0][name] = value
    assert words in differences(rows)


def test_an_effect_granted_twice_is_found_from_the_tables_alone() -> None:
    ledger = ledger_of(Decided(adjusted(0, "a-1", 5)).driver)
    again = copy.deepcopy(ledger.decisions[0])
    again |= {"seq": 2, "offset": 1, "event_id": "e-other"}
    again["changes"][0] |= {"version": 2, "balance_after": 10}
    ledger.decisions.append(again)
    assert "I1: 2 effects of one natural key: ('adjust', 'a-1')" in str(check(ledger, POLICY))


@pytest.mark.parametrize("seed", range(3))
def test_a_long_history_with_everything_in_it_agrees_with_itself_when_read_again(seed: int) -> None:
    history = History(seed, 30, 60, 800, START, timedelta(days=700), late=0.1, late_by=timedelta(days=100), poison=0.1)
    decided = Decided(*history)
    report = check(ledger_of(decided.driver), POLICY)
    assert report.ok, f"{history!r}\n{report}"
