"""What support agents are asked about memberships, each answered by one command: `connects` on a ledger of 2026."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.kit.asking import Asking
from tests.kit.deciding import Deciding, as_read, deciding
from tests.kit.policies import policies
from worker.ledger.sql import load

EXPECTED_KEYS = {"on", "kind", "connects", "explanation"}
MEMBERSHIP_KEYS = {
    *("plan", "cycle_start", "next_renewal_on", "scheduled_plan", "suspended", "version", "charge_unanswered"),
    "explanation",
}


def at(text: str) -> datetime:
    """An instant of 2026, as `3-14 12:00`."""
    return datetime.strptime(f"2026-{text}", "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


class Year:
    """The events of 2026, in order."""

    def __init__(self, decides: Deciding) -> None:
        self._decides = decides
        self._offsets: Counter[str] = Counter()
        self._count = 0

    async def send(self, topic: str, when: str, freelancer_id: str = "f-1", **fields: Any) -> str:  # noqa: ANN401
        """Let a fact become known when it happened; returns its event id."""
        self._count += 1
        event_id = f"e-{self._count}"
        body = {"event_id": event_id, "occurred_at": at(when).isoformat(), "freelancer_id": freelancer_id, **fields}
        row = {"topic": topic, "partition": 0, "offset": self._offsets[topic], "payload": json.dumps(body).encode()}
        self._offsets[topic] += 1
        await self._decides.decide(as_read([{**row, "business_time": at(when)}]))
        await self._decides.commit()
        return event_id

    async def until(self, when: str) -> None:
        """Let time pass: everything due by then is done, the grace being over."""
        await self._decides.until(at(when))

    async def charged(self, when: str, named: str, outcome: str = "paid", attempt: int = 1) -> str:
        charge_id = f"f-1:{named}:{attempt}"
        return await self.send("membership-charge-settled", when, charge_id=charge_id, outcome=outcome, source="a card")

    async def f_1_is_on_plus(self) -> None:
        """Registered on 1 March, on Plus from 11 March on."""
        await self.send("freelancer-registered", "3-01 09:00")
        choice = await self.send("membership-plan-chosen", "3-11 10:00", plan="plus")
        await self.charged("3-11 10:05", choice)


@pytest.fixture
async def year(database_url: str) -> AsyncIterator[Year]:
    async with deciding(database_url, policies()) as decides:
        yield Year(decides)


@pytest.fixture
def connects(database_url: str, tmp_path: Path) -> Asking:
    return Asking(
        tmp_path,
        DATABASE_URL=database_url,
        KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1",
        CONNECTS_ALLOW_SIMULATED_TIME="1",
        CONNECTS_CLOCK="2026-03-11T12:00:00Z@1",
    )


async def test_why_73_and_not_80(year: Year, connects: Asking) -> None:
    await year.f_1_is_on_plus()
    history = await connects("history f-1")
    assert "73 Connects granted for the upgrade to Plus" in history.text
    assert "10 x 10 / 31 rounded down: 10 of the 31 days of the Basic cycle had passed" in history.text
    assert "The next renewal is on 11 April 2026; it brings 80." in history.text
    assert "10 x 10 / 31 rounded down" in (await connects("explain --freelancer f-1 --details")).text


async def test_why_10_after_a_downgrade(year: Year, connects: Asking) -> None:
    await year.f_1_is_on_plus()
    await year.send("membership-plan-chosen", "3-20 10:00", plan="basic")
    await year.until("4-11 00:05")
    change = (await connects("history f-1 --json")).json["changes"][-1]
    assert (change["delta"], change["reason"]) == (10, "cycle-started")
    assert "Plus ended with the cycle before: Basic was chosen on 20 March 2026." in change["explanation"]
    answer = await connects("explain cycle:f-1:2026-04-11 --details")
    assert answer.code == 0
    assert change["explanation"] in answer.text


async def test_why_10_after_a_charge_that_failed(year: Year, connects: Asking) -> None:
    await year.f_1_is_on_plus()
    await year.until("4-11 00:05")
    await year.charged("4-11 06:00", "2026-04-11", "failed")
    change = (await connects("history f-1 --json")).json["changes"][-1]
    assert (change["delta"], change["occurred_at"]) == (10, "2026-04-11T00:00:00Z")
    assert (
        "Plus ended: the charge of $20.00 for the Plus cycle that began on 11 April 2026 failed"
        in change["explanation"]
    )


async def test_when_is_my_next(year: Year, connects: Asking) -> None:
    await year.f_1_is_on_plus()
    answer = await connects("history f-1 --upcoming --json")
    assert (answer.code, answer.json.keys()) == (0, {"reply", "upcoming"})
    upcoming = answer.json["upcoming"]
    assert all(expected.keys() == EXPECTED_KEYS for expected in upcoming)
    assert [(expected["on"], expected["kind"], expected["connects"]) for expected in upcoming] == [
        ("2026-04-11", "renewal", 80),
        ("2027-03-01", "expiry", 40),
        ("2027-03-11", "expiry", 73),
    ]
    page = await connects("history f-1 --upcoming")
    assert (
        "2026-04-11 renewal 80 Plus is renewed on 11 April 2026: $20.00 is requested from the payment method."
        in page.text
    )


async def test_what_comes_of_a_downgrade_and_of_a_suspension_is_shown_before(year: Year, connects: Asking) -> None:
    await year.f_1_is_on_plus()
    await year.send("membership-plan-chosen", "3-20 10:00", plan="basic")
    upcoming = (await connects("history f-1 --upcoming --json")).json["upcoming"]
    assert [(expected["kind"], expected["connects"]) for expected in upcoming[:2]] == [("downgrade", 0), ("grant", 10)]
    await year.send("account-suspended", "3-21 10:00", scope="account")
    upcoming = (await connects("history f-1 --upcoming --json")).json["upcoming"]
    assert [(expected["kind"], expected["connects"]) for expected in upcoming[:2]] == [("downgrade", 0), ("grant", 0)]
    assert "The account is suspended since 21 March 2026." in (await connects("history f-1 --details")).text


async def test_my_cycle_began_yesterday_and_i_have_none_for_the_charge_is_not_answered(
    year: Year, connects: Asking
) -> None:
    await year.f_1_is_on_plus()
    await year.until("4-11 00:05")
    words = (
        "A charge of $20.00 was requested from the payment method on 11 April 2026 and is not answered yet. "
        "80 Connects for the Plus cycle that began on 11 April 2026 come in when its charge of $20.00 is paid; "
        "from 11 May 2026 on it counts as failed."
    )
    (awaited,) = (await connects("explain --freelancer f-1 --json")).json["awaited"]
    assert awaited == {
        "subject": {"freelancer_id": "f-1", "charge_id": "f-1:2026-04-11:1"},
        "reason": "charge-unanswered",
        "since": "2026-04-11T00:00:00Z",
        "explanation": words,
    }
    for command in ("explain --freelancer f-1", "explain renewal:f-1:2026-04-11", "history f-1"):
        assert words in (await connects(f"{command} --details")).text, command
    first, *_ = (await connects("history f-1 --upcoming --json")).json["upcoming"]
    assert (first["on"], first["kind"], first["connects"]) == ("2026-04-11", "grant", 80)

    await year.charged("4-12 08:00", "2026-04-11")
    assert (await connects("explain --freelancer f-1 --json")).json["awaited"] == []
    assert (await connects("explain renewal:f-1:2026-04-11 --json")).json.keys() == {"reply", "decisions"}
    change = (await connects("history f-1 --json")).json["changes"][-1]
    assert (change["delta"], change["occurred_at"]) == (80, "2026-04-11T00:00:00Z")


async def test_my_cycle_began_yesterday_and_i_have_none_for_the_account_is_suspended(
    year: Year, connects: Asking
) -> None:
    await year.send("freelancer-registered", "3-01 09:00")
    await year.send("account-suspended", "3-05 09:00", scope="account")
    await year.until("4-01 00:05")
    withheld = "10 Connects withheld for the cycle that began on 1 April 2026"
    for command in ("explain --freelancer f-1 --details", "explain cycle:f-1:2026-04-01 --details"):
        assert withheld in (await connects(command)).text, command


async def test_my_cycle_began_yesterday_and_i_have_none_for_the_ledger_has_not_come_there(
    year: Year, connects: Asking
) -> None:
    await year.send("freelancer-registered", "3-01 09:00")
    await year.send("connects-purchased", "3-31 22:10", purchase_id="b-1", connects=5)
    clock = {"CONNECTS_CLOCK": "2026-04-02T08:00:00Z@1"}
    (awaited,) = (await connects("explain --freelancer f-1 --json", **clock)).json["awaited"]
    assert (awaited["reason"], awaited["since"]) == ("cycle-start-due", "2026-04-01T00:00:00Z")
    assert awaited["explanation"] == (
        "The cycle that begins on 1 April 2026 is not booked yet, nor what it brings: business time has come to "
        "22:10:00 UTC on 31 March 2026. `connects status` tells what holds it back."
    )
    assert (await connects("explain --freelancer f-1 --json")).json["awaited"] == []


async def test_explain_lists_a_membership_in_ledger_order(year: Year, connects: Asking) -> None:
    await year.f_1_is_on_plus()
    await year.until("4-11 00:05")
    await year.charged("4-11 06:00", "2026-04-11")
    decisions = (await connects("explain --freelancer f-1 --json")).json["decisions"]
    assert [(decision["kind"], decision["reason"]) for decision in decisions] == [
        ("first", "registered"),
        ("first", "charge-requested"),
        ("first", "upgraded"),
        ("clock", "charge-requested"),
        ("first", "renewed"),
    ]
    assert [decision["seq"] for decision in decisions] == sorted(decision["seq"] for decision in decisions)


async def test_an_answer_that_came_before_its_charge_shows_its_follow_up(year: Year, connects: Asking) -> None:
    await year.f_1_is_on_plus()
    early = await year.charged("3-30 10:00", "2026-04-11")
    (unknown,) = (await connects(f"explain {early} --json")).json["decisions"]
    assert (unknown["kind"], unknown["reason"]) == ("first", "unknown-charge")
    await year.until("4-11 00:05")
    first, follow_up = (await connects(f"explain {early} --json")).json["decisions"]
    assert (follow_up["kind"], follow_up["reason"], follow_up["follows"]) == ("follow-up", "renewed", first["seq"])
    assert follow_up["changes"][0]["delta"] == 80
    assert f"follows decision {first['seq']}" in (await connects(f"explain {early} --details")).text


async def test_a_lapse_is_reported_and_so_is_a_payment_after_it(year: Year, connects: Asking) -> None:
    await year.f_1_is_on_plus()
    await year.until("5-11 00:05")
    answer = await connects("explain renewal:f-1:2026-05-11 --details")
    assert "was not answered before the next cycle began on 11 May 2026" in answer.text
    missed = (await connects("explain cycle:f-1:2026-04-11 --json")).json["decisions"]
    assert [(decision["reason"], decision["changes"][0]["delta"]) for decision in missed] == [("cycle-started", 10)]
    await year.charged("5-12 08:00", "2026-04-11")
    listed = (await connects("status --json")).json["for_operators"]
    assert [(row["reason"], row["subject"]) for row in listed] == [("paid-after-lapse", {"freelancer_id": "f-1"})]


async def test_history_shows_the_membership(year: Year, connects: Asking) -> None:
    await year.send("connects-purchased", "2-27 09:00", purchase_id="b-1", connects=5)
    assert (await connects("history f-1 --json")).json["membership"] is None
    await year.f_1_is_on_plus()
    membership = (await connects("history f-1 --json")).json["membership"]
    assert membership.keys() == MEMBERSHIP_KEYS
    assert (
        membership.items()
        >= {
            "plan": "plus",
            "cycle_start": "2026-03-11",
            "next_renewal_on": "2026-04-11",
            "scheduled_plan": None,
            "suspended": False,
            "charge_unanswered": None,
        }.items()
    )
    await year.send("membership-plan-chosen", "3-20 10:00", plan="basic")
    membership = (await connects("history f-1 --json")).json["membership"]
    assert (membership["plan"], membership["scheduled_plan"]) == ("plus", "basic")
    assert membership["explanation"] == (
        "The plan is Plus. Its cycle began on 11 March 2026; Plus ends with it on 11 April 2026. "
        "Basic was chosen on 20 March 2026."
    )
    assert membership["explanation"] in (await connects("history f-1 --details")).text


async def test_status_shows_what_the_billing_system_owes_an_answer_to(year: Year, connects: Asking) -> None:
    await year.f_1_is_on_plus()
    await year.send("freelancer-registered", "3-02 09:00", freelancer_id="f-2")
    choice = await year.send("membership-plan-chosen", "3-12 10:00", freelancer_id="f-2", plan="plus")
    await year.until("4-11 00:05")

    shown = (await connects("status --json")).json
    assert shown["charges_unanswered"] == 2
    upgrade, renewal = shown["charges_waiting"]
    assert (upgrade["charge_id"], upgrade["kind"], upgrade["lapses_on"]) == (f"f-2:{choice}:1", "upgrade", None)
    assert upgrade["requested_at"] == "2026-03-12T10:00:00Z"
    assert renewal == {
        "charge_id": "f-1:2026-04-11:1",
        "freelancer_id": "f-1",
        "kind": "renewal",
        "cycle_start": "2026-04-11",
        "attempt": 1,
        "amount_cents": 2000,
        "currency": "USD",
        "source": "payment-method",
        "promo_code": None,
        "requested_at": "2026-04-11T00:00:00Z",
        "lapses_on": "2026-05-11",
    }
    page = (await connects("status")).text
    assert "charges unanswered 2, the oldest asked at 2026-03-12 10:00:00" in page
    assert "f-1:2026-04-11:1 f-1 $20.00 2026-04-11 00:00:00 2026-05-11" in page


async def test_metrics_sample_how_many_charges_wait_and_for_how_long(year: Year, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    assert tuple(await connection.fetchrow(load("asking.sql")["sampled"])) == (0, 0, 0.0)
    await year.f_1_is_on_plus()
    await year.send(
        "proposal-submitted", "3-12 09:00", "f-2", job_id="j", proposal_id="p", connects=2, origin="proposal"
    )
    await year.until("4-11 00:05")
    overdrawn, charges, oldest_seconds = await connection.fetchrow(load("asking.sql")["sampled"])
    assert (overdrawn, charges) == (1, 1)
    waited = datetime.now(UTC) - at("4-11 00:00")
    assert abs(oldest_seconds - waited.total_seconds()) < 60
    await connection.close()


async def test_status_counts_cycle_starts_that_are_due(year: Year, connects: Asking) -> None:
    await year.send("freelancer-registered", "3-01 09:00")
    await year.send("freelancer-registered", "3-02 09:00", freelancer_id="f-2")
    await year.send("connects-purchased", "4-01 00:00", purchase_id="b-1", connects=5)
    within_the_grace = (await connects("status --json")).json
    assert (within_the_grace["clock_due"], within_the_grace["business_time"]) == (0, "2026-04-01T00:00:00Z")
    assert (await connects("status --json", CONNECTS_SETTLEMENT_GRACE="0")).json["clock_due"] == 1
