"""Asking the ledger, as support agents and operators do: `connects` as a process, answers to the contract's letter."""

import asyncio
import json
import re
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.kit.asking import Asking
from tests.kit.produce import Sent
from tests.kit.waiting import in_time, until_async
from tests.kit.world import Events, World
from worker.embedded.state import free_ports
from worker.ledger.migrate import migrate
from worker.ledger.sql import load
from worker.problems import Problem, Report, written

HISTORY_KEYS = {"freelancer_id", "balance", "version", "overdrawn", "lots", "changes"}
CHANGE_KEYS = {"version", "occurred_at", "delta", "balance_after", "rule", "reason", "explanation", "cause"}
LOT_KEYS = {"lot_id", "source", "issued_at", "expires_at", "remaining"}
DECISION_KEYS = {
    *("kind", "follows", "event_id", "topic", "partition", "offset", "subject", "outcome", "reason", "rule"),
    *("policy_version", "facts", "explanation", "late_by_seconds", "changes"),
}
STATUS_KEYS = {
    *("role", "lag_records", "lag_seconds", "business_time", "held_back_by", "settlements_pending", "clock_due"),
    *("outbox_pending", "parked", "dead_letters", "missing_topics"),
}
REFUND = "12 Connects returned: the client closed job j-1 without hiring anyone."


@pytest.fixture
def connects(world: World) -> Asking:
    return world.asking()


@pytest.fixture
def send() -> Events:
    return Events()


async def played(world: World, send: Events, decisions: int) -> None:
    """Produce the events, and let a worker decide them."""
    await world.produce(send.messages)
    await world.worker()
    await world.settled()
    await world.has_decided(decisions)


def a_refund(send: Events) -> None:
    """f-1 registers, applies for j-1, and gets back what that cost; e-4 repeats e-3."""
    send("freelancer-registered", freelancer_id="f-1")
    send("proposal-submitted", freelancer_id="f-1", job_id="j-1", proposal_id="p-1", connects=12, origin="proposal")
    send("job-closed", job_id="j-1", client_id="c-1", closure="closed-by-client")


async def test_history_shows_a_wallet_in_numbers_and_words(world: World, connects: Asking, send: Events) -> None:
    a_refund(send)
    await played(world, send, 4)

    history = (await connects.as_process("history f-1 --json")).json
    assert history.keys() >= HISTORY_KEYS
    assert (history["balance"], history["version"], history["overdrawn"]) == (40, 3, False)
    assert [lot["remaining"] for lot in history["lots"]] == [40]
    assert history["lots"][0].keys() >= LOT_KEYS
    assert [change["version"] for change in history["changes"]] == [1, 2, 3]
    registered, spent, refunded = history["changes"]
    assert registered.keys() >= CHANGE_KEYS
    assert (spent["delta"], spent["balance_after"], spent["reason"]) == (-12, 28, "proposal-submitted")
    assert (refunded["delta"], refunded["explanation"]) == (12, REFUND)
    assert refunded["cause"].items() >= {"topic": "job-closed", "incarnation": 0, "event_id": "e-3"}.items()
    assert refunded["occurred_at"] == send.now.isoformat().replace("+00:00", "Z")

    assert [change["version"] for change in (await connects("history f-1 --json --last 1")).json["changes"]] == [3]
    page = await connects.as_process("history f-1")
    assert page.code == 0
    assert page.out.startswith("You have 40 Connects. The next 10 come on ")
    assert "f-1:1" not in page.out
    assert "f-1:1" in (await connects("history f-1 --details")).out
    month = f"{send.now:%Y-%m}"
    summed = (await connects(f"history f-1 --month {month} --json")).json
    assert [(kind["kind"], kind["connects"]) for kind in summed["kinds"]] == [
        ("registering", 40),
        ("came back from proposals", 12),
        ("proposals", -12),
    ]
    assert (summed["opening"], summed["closing"], summed["later"], summed["balance"]) == (0, 40, 0, 40)
    assert "went from 0 to 40 Connects" in (await connects(f"history f-1 --month {month}")).text
    assert REFUND in page.out


async def test_history_shows_what_will_expire_when(world: World, connects: Asking) -> None:
    send = Events(datetime(2026, 2, 28, 23, 59, 58, tzinfo=UTC))
    send("connects-purchased", freelancer_id="f-1", purchase_id="b-0", connects=40)
    send("connects-purchased", freelancer_id="f-1", purchase_id="b-1", connects=5)
    await played(world, send, 2)

    upcoming = (await connects.as_process("history f-1 --upcoming --json")).json["upcoming"]
    assert [(entry["on"], entry["kind"], entry["connects"]) for entry in upcoming] == [
        ("2027-02-28", "expiry", 40),
        ("2027-03-01", "expiry", 5),
    ]
    assert upcoming[1]["explanation"] == (
        "5 Connects of 1 March 2026 (purchase) expire on 1 March 2027, unless they are spent before."
    )
    assert "2027-03-01" in (await connects("history f-1 --upcoming")).out


async def test_an_unknown_freelancer_has_nothing_and_is_exit_1(connects: Asking) -> None:
    answer = await connects("history f-404 --json")
    assert (answer.code, answer.json["balance"], answer.json["changes"]) == (1, 0, [])
    assert (await connects("history f-404 --upcoming --json")).json["upcoming"] == []
    nothing = "We have nothing on record about the freelancer f-404."
    assert (await connects.as_process("history f-404")).out.splitlines()[0] == nothing
    asked = ("", " --upcoming", " --month 2026-03", " --as-of 2026-03-01T00:00:00Z", " --known-at 2026-03-01T00:00:00Z")
    questions = [*(f"history f-404{option}" for option in asked), "explain --freelancer f-404"]
    questions += ["answer expiry --freelancer f-404", "explain --about expiry --freelancer f-404"]
    for question in questions:
        answer, page = await connects(f"{question} --json"), await connects(question)
        reply = answer.json["reply"]
        assert (answer.code, page.code, next(iter(answer.json))) == (1, 1, "reply"), question
        assert (reply["verdict"], reply["headline"]) == ("unknown", nothing), question
        assert page.out.splitlines() == reply["reply"].splitlines(), question


async def test_whom_nobody_had_named_then_was_unknown_then(world: World, connects: Asking, send: Events) -> None:
    a_refund(send)
    await played(world, send, 4)
    answer = await connects("history f-1 --known-at 2026-01-01T09:00:00Z --json")
    assert (answer.code, answer.json["reply"]["verdict"]) == (1, "unknown")
    headline = "We had nothing on record about the freelancer f-1 at 09:00:00 UTC on 1 January 2026."
    assert answer.json["reply"]["headline"] == headline
    assert (await connects("history j-1")).out.startswith("j-1 is a job: ask with connects explain --job j-1.")


async def test_an_overdrawn_wallet_says_so(world: World, connects: Asking, send: Events) -> None:
    send("proposal-submitted", freelancer_id="f-1", job_id="j-1", proposal_id="p-1", connects=12, origin="proposal")
    await played(world, send, 1)
    history = (await connects("history f-1 --json")).json
    assert (history["balance"], history["overdrawn"], history["lots"]) == (-12, True, [])
    assert (await connects("history f-1")).out.startswith("You are overdrawn by 12 Connects")
    nothing = (await connects("history f-1 --upcoming --json")).json
    assert (nothing["upcoming"], nothing["reply"]["verdict"]) == ([], "info")
    assert (await connects("history f-1 --upcoming")).text.startswith(nothing["reply"]["reply"].replace("\n", " "))
    assert (await connects("status --json")).json["overdrawn_wallets"] == 1


async def test_explain_finds_all_that_an_event_led_to(world: World, connects: Asking, send: Events) -> None:
    a_refund(send)
    await played(world, send, 4)
    bought = send("connects-purchased", freelancer_id="f-2", purchase_id="b-1", connects=10)
    await world.produce([send.messages[-2], Sent("job-closed", b'{"event_id": "e-3", "job_id": 7}'), bought])
    await world.has_decided(7)

    answer = await connects.as_process("explain e-3 --json")
    assert answer.code == 0
    decisions = answer.json["decisions"]
    assert all(decision.keys() >= DECISION_KEYS for decision in decisions)
    shown = [(decision["kind"], decision["outcome"], decision["reason"]) for decision in decisions]
    assert shown[:2] == [
        ("first", "recorded", "settlement-pending"),
        ("settlement", "applied", "closed-without-hire"),
    ]
    assert sorted(shown[2:]) == [
        ("first", "duplicate", "already-decided"),
        ("first", "rejected", "invalid-event"),
    ]
    settlement = decisions[1]
    assert settlement["explanation"] == REFUND
    assert settlement["subject"] == {"freelancer_id": "f-1", "job_id": "j-1", "proposal_id": "p-1"}
    (change,) = settlement["changes"]
    assert (change["delta"], change["balance_after"], change["version"]) == (12, 40, 3)
    assert [lot["delta"] for lot in change["lots"]] == [12]
    assert settlement["policy_version"]

    assert (await connects("explain e-3 --topic hire-made --json")).json["decisions"] == []
    page = await connects.as_process("explain e-3 --topic job-closed")
    assert page.out.startswith("Yes: all 12 Connects for j-1 came back on ")
    assert REFUND not in page.out
    assert REFUND in (await connects("explain e-3 --topic job-closed --details")).out
    nothing = await connects("explain e-404 --json")
    assert (nothing.code, nothing.json.keys()) == (1, {"reply", "decisions"})
    assert (nothing.json["reply"]["verdict"], nothing.json["decisions"]) == ("unknown", [])
    assert nothing.json["reply"]["headline"] == "We have nothing on record about the id e-404."
    bought = await connects("explain b-1")
    assert (bought.code, bought.out.splitlines()[0][:29]) == (0, "Yes: the 10 Connects you boug")
    assert (await connects("explain b-1 --topic connects-purchased")).code == 0
    narrowed = await connects("explain b-1 --topic job-closed --json")
    assert (narrowed.code, narrowed.json["reply"]["verdict"]) == (1, "unknown")
    mixed_up = await connects("explain p-1")
    assert (mixed_up.code, mixed_up.out.splitlines()[0]) == (
        1,
        "p-1 is a proposal: ask with connects explain --proposal p-1.",
    )


async def test_every_late_decision_says_by_how_much(world: World, connects: Asking, send: Events) -> None:
    a_refund(send)
    await played(world, send, 4)
    late = json.dumps(
        {
            "event_id": "late",
            "occurred_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
            "freelancer_id": "f-1",
            "badge": "top-rated",
        }
    )
    await world.produce([Sent("badge-earned", late.encode())])
    await world.has_decided(5)
    (decision,) = (await connects("explain late --json")).json["decisions"]
    assert 3500 < decision["late_by_seconds"] < 3800
    assert decision["reason"] == "no-award-for-badge"
    assert "late by" in (await connects.as_process("explain late --details")).out


async def test_a_proposal_on_an_open_job_is_open_and_says_what_would_return_it(
    world: World, connects: Asking, send: Events
) -> None:
    send("freelancer-registered", freelancer_id="f-1")
    send("proposal-submitted", freelancer_id="f-1", job_id="j-2", proposal_id="p-2", connects=6, origin="proposal")
    send("proposal-submitted", freelancer_id="f-1", job_id="j-3", proposal_id="p-3", connects=0, origin="proposal")
    await played(world, send, 3)

    for about in ("--proposal p-2", "--job j-2", "--freelancer f-1"):
        (spend,) = (await connects(f"explain {about} --json")).json["open"]
        assert spend["subject"] == {"freelancer_id": "f-1", "job_id": "j-2", "proposal_id": "p-2"}
        assert (spend["connects"], spend["reason"]) == (6, "job-not-closed")
        assert "has not been closed since" in spend["explanation"]
        assert "without hiring anyone" in spend["explanation"]
    assert (await connects("explain --proposal p-3 --json")).json["open"] == []
    assert "job j-2 has not been closed since" in (await connects("explain --freelancer f-1 --details")).out
    reply = (await connects("explain --proposal p-2 --json")).json["reply"]
    assert (reply["verdict"], reply["numbers"]["open"]) == ("not-yet", 6)
    assert (
        "If the client closes it without hiring anyone, all 6 come back." in (await connects("explain --job j-2")).text
    )

    await world.produce([send("job-closed", job_id="j-2", client_id="c-1", closure="expired")])
    await world.has_decided(5)
    refused = (await connects("explain --proposal p-2 --json")).json
    assert refused["open"] == []
    assert [(d["kind"], d["reason"]) for d in refused["decisions"]] == [
        ("first", "proposal-submitted"),
        ("settlement", "job-expired"),
    ]
    assert "job j-2 expired" in refused["decisions"][1]["explanation"]


async def test_explain_by_job_freelancer_and_proposal_agree(world: World, connects: Asking, send: Events) -> None:
    a_refund(send)
    await played(world, send, 4)
    by_job = (await connects("explain --job j-1 --json")).json["decisions"]
    assert [d["reason"] for d in by_job] == ["proposal-submitted", "settlement-pending", "closed-without-hire"]
    by_freelancer = (await connects("explain --freelancer f-1 --json")).json["decisions"]
    assert [d["reason"] for d in by_freelancer] == ["registered", "proposal-submitted", "closed-without-hire"]
    by_proposal = (await connects("explain --proposal p-1 --json")).json["decisions"]
    assert by_proposal == by_freelancer[1:]


async def test_an_expiry_is_explained_by_the_instant_that_caused_it(world: World, connects: Asking) -> None:
    send = Events(datetime(2025, 1, 31, tzinfo=UTC))
    send("connects-purchased", freelancer_id="f-1", purchase_id="b-1", connects=40)
    await world.produce(send.messages)
    await world.worker()
    await world.has_decided(2)
    (expired,) = (await connects("explain expiry:f-1:1 --json")).json["decisions"]
    assert (expired["kind"], expired["topic"], expired["reason"]) == ("clock", None, "lot-expired")
    (change,) = (await connects("history f-1 --json --last 1")).json["changes"]
    assert change["cause"] == {"topic": None, "event_id": "expiry:f-1:1"}
    assert change["explanation"] == (
        "40 Connects expired on 31 January 2026: they came in on 31 January 2025 (purchase) and were not used in time."
    )


@pytest.mark.parametrize("claims", ["never", "seconds", "ahead"])
async def test_status_believes_no_timestamp_of_a_producer(
    world: World, connects: Asking, send: Events, claims: str
) -> None:
    """Never set, seconds in the place of milliseconds, and as far ahead as a broker allows by default."""
    now = int(datetime.now(UTC).timestamp())
    timestamp_ms = {"never": 0, "seconds": now, "ahead": (now + 3_000) * 1_000}[claims]
    a_refund(send)
    await world.produce([replace(message, timestamp=timestamp_ms) for message in send.messages])
    answer = await connects("status --json")
    shown = answer.json
    assert shown["lag_records"] == 3
    assert 0 < shown["lag_seconds"] < 60
    assert [problem.split(",")[0] for problem in answer.problems] == ["no worker runs"]


async def test_status_shows_the_lag_before_any_worker_ran_and_its_end_after(
    world: World, connects: Asking, send: Events
) -> None:
    a_refund(send)
    await world.produce(send.messages)
    answer = await connects.as_process("status --json")
    before = answer.json
    assert before.keys() >= STATUS_KEYS
    assert answer.code == 1
    assert (before["role"], before["lag_records"], before["business_time"]) == ("none", 3, None)
    assert before["lag_seconds"] > 0
    assert before["held_back_by"]["clock"] is None
    assert (before["missing_topics"], answer.problems[0].split(",")[0]) == ([], "no worker runs")
    assert "no worker runs" in (await connects.as_process("status")).out

    await world.worker()
    await world.settled()
    await world.has_decided(4)

    async def all_is_done() -> bool:
        after = (await connects("status --json")).json
        return bool(after["business_time"]) and after["outbox_pending"] == 0

    await until_async(all_is_done)
    answer = await connects("status --json")
    after = answer.json
    assert (answer.code, after["problems"]) == (0, [])
    assert (after["role"], after["lag_records"], after["lag_seconds"]) == ("active", 0, 0.0)
    assert (after["settlements_pending"], after["clock_due"], after["parked"], after["dead_letters"]) == (0, 0, 0, 0)
    assert after["held_back_by"] is None


@pytest.mark.parametrize(("began", "reported", "is_told"), [(12, 10, False), (12, 3, True)])
async def test_status_tells_what_hindered_a_worker_only_once_it_reported_that_it_lasts(
    world: World, connects: Asking, began: float, reported: float, *, is_told: bool
) -> None:
    """A worker that is killed while it takes the ledger over reports nothing more, and is not hindered for ever."""
    since = datetime.now(UTC) - timedelta(seconds=began)
    problem = Problem("taking-over", "", "taking the ledger over", since, hinders=True)
    await world.execute(
        "INSERT INTO workers (holder, report, reported_at) VALUES ('w1', $1, clock_timestamp() - $2::interval)",
        written(Report("active", 0.0, [problem])),
        timedelta(seconds=reported),
    )
    shown = await connects("status --json")
    told = [one["what"] for one in shown.json["problems"]]
    assert (shown.code, told) == ((1, ["worker w1 (active): taking the ledger over."]) if is_told else (0, []))


async def test_status_counts_closures_not_yet_settled_and_what_the_clock_owes(world: World, connects: Asking) -> None:
    send = Events(datetime.now(UTC))
    world.grace_seconds = 3600
    a_refund(send)
    await world.produce(send.messages)
    await world.worker()
    await world.has_decided(3)
    assert (await connects("status --json")).json["settlements_pending"] == 1
    await world.execute(
        "UPDATE lots SET expires_at = issued_at - interval '1 day', issued_at = issued_at - interval '2 days'"
    )

    async def owed() -> bool:
        return bool((await connects("status --json", CONNECTS_SETTLEMENT_GRACE="0")).json["clock_due"])

    await until_async(owed)


async def test_status_counts_charges_that_the_billing_system_has_not_answered(
    world: World, connects: Asking, send: Events
) -> None:
    send("membership-plan-chosen", freelancer_id="f-1", plan="plus", event_id="up-1")
    asked_at = send.now
    send("membership-plan-chosen", freelancer_id="f-2", plan="plus", event_id="up-2")
    await played(world, send, 2)
    status = (await connects("status --json")).json
    assert status["charges_unanswered"] == 2
    oldest, _ = status["charges_waiting"]
    assert datetime.fromisoformat(oldest.pop("requested_at")) == asked_at
    assert oldest == {
        "charge_id": "f-1:up-1:1",
        "freelancer_id": "f-1",
        "kind": "upgrade",
        "cycle_start": asked_at.date().isoformat(),
        "attempt": 1,
        "amount_cents": 2_000,
        "currency": "USD",
        "source": "payment-method",
        "promo_code": None,
        "lapses_on": None,
    }
    assert "f-1:up-1:1" in (await connects("status")).out


async def test_status_counts_cycles_that_are_due(world: World, connects: Asking) -> None:
    send = Events(datetime.now(UTC))
    world.grace_seconds = 3600
    send("freelancer-registered", freelancer_id="f-1")
    await world.produce(send.messages)
    await world.worker()
    await world.has_decided(1)
    await world.execute("UPDATE memberships SET cycle_start = '2025-12-01', next_renewal = '2026-01-01'")

    async def owed() -> bool:
        return (await connects("status --json", CONNECTS_SETTLEMENT_GRACE="0")).json["clock_due"] == 1

    await until_async(owed)


async def test_a_hire_that_came_after_its_refunds_is_listed_for_operators(
    world: World, connects: Asking, send: Events
) -> None:
    a_refund(send)
    await played(world, send, 4)
    send.now -= timedelta(minutes=1)
    hire = send("hire-made", job_id="j-1", freelancer_id="f-2", contract_id="k-1")
    await world.produce([hire])
    await world.has_decided(5)
    (listed,) = (await connects("status --json")).json["for_operators"]
    assert (listed["reason"], listed["subject"]["job_id"]) == ("hire-after-settlement", "j-1")
    assert "freelancers keep them" in listed["explanation"]
    assert listed["explanation"] in " ".join((await connects("status")).out.split())


async def test_dead_letters_are_listed_and_shown_whole(world: World, connects: Asking) -> None:
    steering = b'{"event_id": "e-1", "note": "\x1b[2J"'
    await world.produce([Sent("hire-made", steering, b"k", [("trace", b"\xff")]), Sent("hire-made", None)])
    await world.worker()
    await world.has_decided(2)
    listed = await connects.as_process("dead-letters list --json")
    assert listed.code == 1
    assert {letter["error_code"] for letter in listed.json["dead_letters"]} == {"invalid-event"}
    shown = []
    for letter in listed.json["dead_letters"]:
        whole = (await connects(f"dead-letters show {letter['seq']} --json")).json
        page = await connects.as_process(f"dead-letters show {letter['seq']}")
        assert "\x1b" not in page.out
        shown.append((whole["key"], whole["value"], whole["headers"]))
    assert sorted(shown, key=str) == [
        ("k", steering.decode(), [["trace", "\\xff"]]),
        (None, None, []),
    ]
    assert (await connects("dead-letters show 99")).code == 1
    assert (await connects("status --json")).json["dead_letters"] == 2


async def test_status_says_that_output_topics_are_missing_and_letters_unsent(
    world: World, connects: Asking, send: Events
) -> None:
    send("freelancer-registered", freelancer_id="f-1")
    await world.produce([*send.messages, Sent("hire-made", b"no JSON")])
    worker = await world.worker()
    await world.has_decided(2)

    async def has_gone_out() -> bool:
        return await world.value("SELECT count(*) FROM dead_letters WHERE sent_at IS NOT NULL") == 1

    await until_async(has_gone_out)
    found = (await connects("status --json")).json
    assert (found["missing_output_topics"], found["dead_letters_unsent"], found["problems"]) == ([], 0, [])

    await worker.kill()
    await world.execute("UPDATE dead_letters SET sent_at = NULL")
    unsent = await connects("status --json")
    assert (unsent.code, unsent.json["dead_letters_unsent"], unsent.json["problems"]) == (0, 1, [])
    await world.execute(
        "SET session_replication_role = replica; UPDATE decisions SET recorded_at = recorded_at - interval '2 minutes'"
    )
    overdue = await connects("status --json")
    assert (overdue.code, "1 dead letter has waited" in overdue.problems[0]) == (1, True)
    elsewhere = await connects("status --json", CONNECTS_TOPIC_PREFIX="elsewhere-")
    assert "elsewhere-membership-updated" in elsewhere.json["missing_output_topics"]
    (problem,) = [problem for problem in elsewhere.problems if "output topics" in problem]
    assert problem.startswith("the output topics elsewhere-connects-dead-letters, elsewhere-connects-relay-marker, ")
    assert "connects topics create" in problem
    assert {"hire-made", "freelancer-registered"} < set(elsewhere.json["missing_topics"])
    page = (await connects("status", CONNECTS_TOPIC_PREFIX="elsewhere-")).text
    assert f"missing topics {', '.join(elsewhere.json['missing_topics'])} missing output topics elsewhere-" in page


async def test_a_parked_wallet_is_listed_and_released_by_command(
    world: World, connects: Asking, send: Events, tmp_path: Path
) -> None:
    bug = tmp_path / "bug"
    bug.touch()
    send("freelancer-registered", freelancer_id="f-bug")
    send("connects-purchased", freelancer_id="f-bug", purchase_id="b-1", connects=5)
    await world.produce(send.messages)
    await world.worker(bug_while=str(bug))
    await world.has_decided(2)

    listed = await connects.as_process("parked list --json")
    (stopped,) = listed.json["parked"]
    assert (listed.code, stopped["scope"], stopped["key"], stopped["waiting"]) == (1, "wallet", "f-bug", 2)
    assert "connects parked release wallet f-bug" in (await connects("parked list")).out
    shown = await connects("status --json")
    assert (shown.json["parked"], "parked list" in shown.problems[0]) == (1, True)

    again = await connects.as_process("parked release wallet f-bug --why trying --actor ann")
    assert again.code == 1
    assert "stays stopped" in again.out
    bug.unlink()
    released = await connects.as_process("parked release wallet f-bug --why mended --actor ann --json")
    assert (released.code, released.json["outcome"], released.json["told"]["released"]) == (0, "applied", 2)
    (command,) = (await connects(f"explain {released.json['command']} --json")).json["decisions"]
    assert (command["kind"], command["facts"]["actor"], command["facts"]["why"]) == ("command", "ann", "mended")
    assert (await connects("parked list")).code == 0
    explained = (await connects("explain e-1 --json")).json["decisions"]
    assert [(d["kind"], d["outcome"]) for d in explained] == [("first", "parked"), ("follow-up", "applied")]
    assert explained[1]["follows"] == explained[0]["seq"]
    assert (await connects("history f-bug --json")).json["balance"] == 45


async def test_with_no_worker_a_command_carries_itself_out(world: World, connects: Asking) -> None:
    assert (await connects("positions list --json")).json == {"positions": [], "holds": []}
    answer = await connects.as_process("positions set --topic job-closed --partition 1 --offset 7 --why trying --json")
    assert answer.code == 0, answer.err
    assert (answer.json["outcome"], answer.json["reason"]) == ("applied", "position-set")
    (position,) = (await connects("positions list --json")).json["positions"]
    assert (position["topic"], position["partition"], position["next_offset"]) == ("job-closed", 1, 7)
    assert "job-closed" in (await connects("positions list")).out
    refused = await connects.as_process("parked release wallet f-1")
    assert (refused.code, refused.out.strip()) == (1, "Nothing to release: the wallet f-1 is not stopped.")
    assert await world.holder() == ""

    stopped = (await connects("status --json")).json["stopped_partitions"]
    assert [(row["topic"], row["partition"]) for row in stopped] == [("job-closed", 1)]
    assert "connects positions set" in stopped[0]["reason"]


async def test_only_a_stopped_partition_begins_again_unless_it_is_forced(
    world: World, connects: Asking, send: Events
) -> None:
    again = "positions set --recreated --topic connects-purchased --partition 0"
    bought = [send("connects-purchased", freelancer_id="f-1", purchase_id=f"b-{n}", connects=1) for n in range(3)]
    await world.produce([Sent(message.topic, message.value, message.key, (), 0) for message in bought])
    first = await world.worker()
    await world.settled()
    refused = await connects.as_process(again)
    assert (refused.code, refused.out) == (1, "")
    assert "connects-purchased, partition 0 was not recreated" in refused.err
    assert "--force" in refused.err
    assert refused.err.count("\n") == 1
    assert not await world.decisions("kind = 'command'"), "nothing was asked of the worker"
    first.terminate()
    assert await first.ended() == 0

    await world.execute("UPDATE positions SET last_hash = 'another' WHERE topic = 'connects-purchased'")
    stopped = await connects(f"{again} --json")
    assert (stopped.code, stopped.json["told"]["incarnation"]) == (0, 1), stopped.err
    twice = await connects(again)
    assert twice.code == 1, "typed twice by mistake"
    forced = await connects(f"{again} --force --json")
    assert (forced.code, forced.json["told"]["incarnation"]) == (0, 2), forced.err


async def test_a_position_is_set_only_where_there_is_a_partition(world: World, connects: Asking, send: Events) -> None:
    bought = send("connects-purchased", freelancer_id="f-1", purchase_id="b-1", connects=1)
    await world.produce([Sent(bought.topic, bought.value, bought.key, (), 0)])
    first = await world.worker()
    await world.settled()
    first.terminate()
    assert await first.ended() == 0

    for how in ("--recreated", "--recreated --force", "--offset 0"):
        nowhere = await connects(f"positions set {how} --topic connects-purchased --partition 99")
        assert nowhere.code == 1
        assert "there is no connects-purchased, partition 99" in nowhere.err
    await world.execute("DELETE FROM positions WHERE topic = 'connects-purchased' AND partition = 1")
    unread = await connects("positions set --recreated --topic connects-purchased --partition 1")
    assert unread.code == 1
    assert "nothing of connects-purchased, partition 1 was read yet" in unread.err
    await world.execute(
        "INSERT INTO positions (topic, partition, incarnation, next_offset) VALUES ('connects-purchased', 99, 0, 7)"
    )
    gone = await connects("positions set --recreated --topic connects-purchased --partition 99")
    assert gone.code == 0, "a partition that Kafka has no more"


async def test_the_relays_two_sides_are_shown(world: World, connects: Asking, send: Events) -> None:
    a_refund(send)
    await played(world, send, 4)
    shown = await connects.as_process("relay show --json")
    assert (shown.code, shown.json["consistent"]) == (0, True)
    assert shown.json["published"] == shown.json["last_seq"] > 0
    await world.execute("UPDATE batches SET batch_uid = gen_random_uuid()")
    contradicting = await connects.as_process("relay show")
    assert contradicting.code == 1
    assert "another one in the ledger" in contradicting.out


async def test_run_works_until_it_is_stopped(world: World, connects: Asking, send: Events) -> None:
    a_refund(send)
    (port,) = free_ports(1)
    worker = await connects.start("run", CONNECTS_HTTP_PORT=str(port))
    try:
        await world.produce(send.messages)
        await world.has_decided(4)
        ready = json.loads(await asyncio.to_thread(get, port, "/health/ready"))
        assert ready == {"ready": True, "role": "active", "problems": []}
        metrics = await asyncio.to_thread(get, port, "/metrics")
        assert 'connects_decisions_total{outcome="applied",reason="closed-without-hire"} 1.0' in metrics
        assert "connects_active 1.0" in metrics
        document = json.loads(await asyncio.to_thread(get, port, "/asyncapi"))
        assert document["channels"]["job-closed"]["address"] == f"{world.prefix}job-closed"
        taken = await connects("run", CONNECTS_HTTP_PORT=str(port))
        assert taken.code == 2
        assert f"CONNECTS_HTTP_PORT={port + 1}\n" in taken.err
        nowhere = await connects("run", CONNECTS_HTTP_PORT=str(port), CONNECTS_HTTP_HOST="192.0.2.1")
        assert (nowhere.code, "connects: CONNECTS_HTTP_HOST: 192.0.2.1:" in nowhere.err) == (2, True), nowhere.err
    finally:
        worker.terminate()
    out, err = await in_time(worker.communicate())
    assert (worker.returncode, out) == (0, b"")
    assert all(json.loads(line)["event"] for line in err.decode().splitlines())
    assert await world.holder() == ""


async def test_run_refuses_a_database_that_was_not_migrated(world: World, connects: Asking) -> None:
    server = urlsplit(world.database_url)._replace(path="/postgres").geturl()
    for command in ("run", "status", "history f-1"):
        answer = await connects(command, DATABASE_URL=server)
        assert answer.code == 1
        assert "connects migrate" in answer.err
        assert answer.err.count("\n") == 1
    nowhere = urlsplit(world.database_url)._replace(path="/no_such_database").geturl()
    assert "no such database" in (await connects("status", DATABASE_URL=nowhere)).err


async def test_migrate_grants_the_workers_role_its_work_and_no_more(world: World, connects: Asking) -> None:
    role = "worker_of_a_test"
    await world.execute(f"DROP ROLE IF EXISTS {role}")
    missing = urlsplit(world.database_url)
    as_worker = missing._replace(netloc=f"{role}@{missing.hostname}:{missing.port}").geturl()
    owner = {"CONNECTS_MIGRATE_URL": world.database_url, "DATABASE_URL": as_worker}
    refused = await connects.as_process("migrate", **owner)
    assert refused.code == 2
    assert role in refused.err
    await world.execute(f"CREATE ROLE {role} LOGIN")
    try:
        for _ in range(2):
            assert (await connects("migrate", **owner)).code == 0
        assert (await connects("status --json", DATABASE_URL=as_worker)).json["role"] == "none"
        moved = await connects("positions set --topic job-closed --partition 0 --offset 0", DATABASE_URL=as_worker)
        assert moved.code == 0, moved.err
        connection = await asyncpg.connect(as_worker)
        for statement in ("DELETE FROM decisions", "UPDATE changes SET delta = 1", "TRUNCATE changes"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        await connection.close()
    finally:
        await world.execute(f"DROP OWNED BY {role}")
        await world.execute(f"DROP ROLE {role}")


async def test_migrations_at_the_same_time_take_turns(database_url: str) -> None:
    await asyncio.gather(*(migrate(database_url) for _ in range(4)))
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1
    await connection.close()


async def test_every_question_about_someone_is_answered_by_index(database_url: str) -> None:
    of_the_whole_ledger = {"leader", "waiting_work", "sampled", "unpublished", "positions", "parked", "ask"}
    of_the_whole_ledger |= {"progress", "connections_of_workers", "dead_letters_by_cause", "parked_by_cause", "holds"}
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
    for name, statement in load("asking.sql").items():
        if name in of_the_whole_ledger:
            continue
        arguments = ", ".join(["NULL"] * max(map(int, re.findall(r"\$(\d)", statement)), default=0))
        await connection.execute(f"PREPARE {name}_asked AS {statement}")
        plan = await connection.fetch(f"EXPLAIN EXECUTE {name}_asked" + (f"({arguments})" if arguments else ""))
        assert not any("Seq Scan" in row[0] for row in plan), [name, *(row[0] for row in plan)]
    await connection.close()


def get(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return str(answer.read().decode())
    except HTTPError as error:
        return str(error.read().decode())
