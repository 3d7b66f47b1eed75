"""The agenda knows all work up to its horizon, wherever that lies, and nothing beyond it."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from worker.domain.model import ProposalId
from worker.engine.schedule import Schedule
from worker.ledger.store import CYCLE, EXPIRY, LATE_SETTLEMENT, LATEST, SETTLEMENT, Appointment, end_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def cycle(seconds: float, freelancer: str) -> Appointment:
    return Appointment(at(seconds), CYCLE, freelancer, (), 0, freelancer)


def expiry(seconds: float, lot: str) -> Appointment:
    return Appointment(at(seconds), EXPIRY, lot, (), 0, "f-1")


def settlement(seconds: float, seq: int) -> Appointment:
    return Appointment(at(seconds), SETTLEMENT, "", (), seq, "j-1")


def worked_off(schedule: Schedule, instant: datetime) -> list[Appointment]:
    found = []
    while (appointment := schedule.next_due(instant)) is not None:
        found.append(appointment)
        schedule.done(appointment)
    return found


def test_a_new_schedule_knows_nothing() -> None:
    schedule = Schedule()
    schedule.add(cycle(0, "f-1"))
    assert len(schedule) == 0
    assert not schedule.knows(at(0))
    assert not schedule.is_clear(at(0))


def test_of_one_instant_settlements_come_first_then_expiries_then_cycles_by_freelancer() -> None:
    schedule = Schedule()
    work = [settlement(0, 9), expiry(0, "f-1:3"), cycle(0, "f-1"), cycle(0, "f-10"), cycle(0, "f-9"), settlement(1, 2)]
    schedule.refill(random.Random(1).sample(work, len(work)), LATEST)
    assert worked_off(schedule, at(1)) == work


def test_it_is_extended_with_what_the_ledger_says_and_with_what_the_ledger_may_not_know_yet() -> None:
    schedule = Schedule()
    schedule.refill([cycle(0, "f-1")], cycle(0, "f-1"))
    schedule.add(cycle(0, "f-2"))
    schedule.batch_is_cut()
    schedule.batch_is_cut()  # f-2 is in the ledger
    schedule.add(cycle(0, "f-3"))
    schedule.batch_is_cut()  # f-3 is on its way
    schedule.add(cycle(0, "f-4"))
    schedule.begin_reading()
    schedule.batch_is_cut()
    schedule.add(cycle(0, "f-5"))
    schedule.add(cycle(0, "f-9"))
    schedule.extend([cycle(0, "f-2"), cycle(0, "f-3"), cycle(0, "f-7")], cycle(0, "f-7"))
    assert worked_off(schedule, at(0)) == [cycle(0, f"f-{number}") for number in (1, 2, 3, 4, 5, 7)]
    schedule.begin_reading()
    schedule.extend([], LATEST)
    assert worked_off(schedule, at(0)) == [cycle(0, "f-9")]
    assert schedule.is_clear(at(1_000))


def test_what_was_read_behind_a_horizon_that_came_nearer_is_read_again() -> None:
    schedule = Schedule(2)
    schedule.refill([], end_of(at(10)))
    schedule.begin_reading()
    for number in range(5):
        schedule.add(expiry(number, f"f-{number}"))
    schedule.extend([expiry(11, "f-11")], end_of(at(20)))
    assert not schedule.knows(at(5))
    schedule.batch_is_cut()
    schedule.begin_reading()
    schedule.extend([expiry(11, "f-11")], end_of(at(20)))
    assert worked_off(schedule, at(20)) == [expiry(number, f"f-{number}") for number in (0, 1, 2, 3, 4, 11)]


def test_a_horizon_at_the_end_of_an_instant_knows_that_instant() -> None:
    schedule = Schedule()
    schedule.refill([cycle(0, "f-1")], end_of(at(0)))
    assert schedule.knows(at(0))
    assert not schedule.knows(at(0.000001))
    schedule.add(cycle(0, "f-2"))
    schedule.add(cycle(0.000001, "f-3"))
    assert worked_off(schedule, at(5)) == [cycle(0, "f-1"), cycle(0, "f-2")]
    assert schedule.is_clear(at(0))
    assert not schedule.is_clear(at(1))


def test_a_horizon_within_an_instant_does_not_know_that_instant_but_all_before_it() -> None:
    schedule = Schedule()
    schedule.refill([cycle(0, "f-1"), cycle(0, "f-5")], cycle(0, "f-5"))
    assert schedule.knows(at(-0.000001))
    assert not schedule.knows(at(0))
    schedule.add(cycle(0, "f-3"))
    schedule.add(cycle(0, "f-7"))
    schedule.add(expiry(0, "f-9:1"))
    assert worked_off(schedule, at(0)) == [expiry(0, "f-9:1"), cycle(0, "f-1"), cycle(0, "f-3"), cycle(0, "f-5")]
    assert not schedule.is_clear(at(0)), "only the ledger knows f-7"
    assert schedule.is_clear(at(-1))


@pytest.mark.parametrize("seed", range(5))
def test_a_look_ahead_returns_what_will_be_next_and_takes_nothing(seed: int) -> None:
    chance = random.Random(seed)
    schedule = Schedule()
    schedule.refill([], LATEST)
    work = [cycle(chance.randrange(20), f"f-{number}") for number in range(200)]
    for appointment in work:
        schedule.add(appointment)
    due = sorted(appointment for appointment in work if appointment.due_at <= at(9))
    for most in (0, 1, 7, 50, 1_000):
        assert schedule.peek(at(9), most) == due[:most]
    assert schedule.count_due(at(9)) == len(due)
    assert worked_off(schedule, at(9)) == due
    assert schedule.peek(at(9), 10) == []


def test_too_much_of_one_instant_is_left_to_the_ledger_all_the_same() -> None:
    schedule = Schedule(capacity=10)
    schedule.refill([], LATEST)
    work = [cycle(0, f"f-{number:02}") for number in range(30)]
    for appointment in random.Random(1).sample(work, len(work)):
        schedule.add(appointment)
    assert len(schedule) <= 20
    assert not schedule.knows(at(0))
    horizon = schedule.horizon
    assert worked_off(schedule, at(0)) == [appointment for appointment in work if appointment <= horizon]


def test_what_an_appointment_brings_may_come_before_it() -> None:
    schedule = Schedule()
    schedule.refill([cycle(1, "f-1"), cycle(2, "f-2")], LATEST)
    schedule.add(settlement(0, 1))
    schedule.done(cycle(1, "f-1"))
    assert worked_off(schedule, at(2)) == [settlement(0, 1), cycle(2, "f-2")]


@pytest.mark.parametrize("seed", range(20))
def test_late_settlements_of_what_was_voided_are_struck_out_and_nothing_else(seed: int) -> None:
    chance = random.Random(seed)
    schedule, model = Schedule(), list[Appointment]()
    schedule.refill([some(chance) for _ in range(3)], LATEST)
    model += worked_off(schedule, at(99))
    schedule.refill(model, LATEST)
    for _ in range(60):
        match chance.choice(("add", "add", "add", "done", "proposal", "closure", "both")):
            case "add" if (new := some(chance)) not in model:
                schedule.add(new)
                model.append(new)
            case "done" if (first := schedule.next_due(at(99))) is not None:
                schedule.done(first)
                model.remove(first)
            case "proposal":
                schedule.forget_late_settlements(ProposalId("p-1"))
                model = [one for one in model if one.rank != LATE_SETTLEMENT or one.key != "p-1"]
            case "closure":
                schedule.forget_late_settlements(None, {1})
                model = [one for one in model if one.rank != LATE_SETTLEMENT or one.seq != 1]
            case "both":
                schedule.forget_late_settlements(ProposalId("p-2"), {2})
                model = [one for one in model if one.rank != LATE_SETTLEMENT or (one.key, one.seq) != ("p-2", 2)]
    assert worked_off(schedule, at(99)) == sorted(model)


def test_a_late_settlement_beyond_the_horizon_is_struck_out_too() -> None:
    schedule, late = Schedule(), Appointment(at(50), LATE_SETTLEMENT, "p-1", (at(0), "expired"), 1, "j-1")
    schedule.refill([], end_of(at(10)))
    schedule.add(late)
    schedule.add(expiry(60, "lot"))
    schedule.batch_is_cut()
    schedule.forget_late_settlements(ProposalId("p-1"))
    schedule.begin_reading()
    schedule.extend([], LATEST)
    assert worked_off(schedule, at(99)) == [expiry(60, "lot")]
    schedule.begin_reading()
    schedule.refill([], end_of(at(10)))
    schedule.begin_reading()
    schedule.extend([late], LATEST)
    schedule.forget_late_settlements(ProposalId("p-1"))
    assert schedule.is_clear(at(99)), "what the ledger told is struck out as well"


def some(chance: random.Random) -> Appointment:
    """Any appointment, often a late settlement."""
    seconds = chance.randrange(5)
    if chance.random() < 0.3:
        return expiry(seconds, f"lot-{chance.randrange(3)}")
    named = (f"p-{chance.randrange(3)}", (at(0), "expired"), chance.randrange(3), "j-1")
    return Appointment(at(seconds), LATE_SETTLEMENT, *named)
