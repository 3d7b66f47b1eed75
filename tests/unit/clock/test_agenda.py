"""The agenda knows all work up to its horizon, wherever that lies, and nothing beyond it."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from worker.clock.agenda import Agenda
from worker.ledger.store import CYCLE, EXPIRY, LATEST, SETTLEMENT, Appointment, end_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def cycle(seconds: float, freelancer: str) -> Appointment:
    return Appointment(at(seconds), CYCLE, freelancer, (), 0, freelancer)


def expiry(seconds: float, lot: str) -> Appointment:
    return Appointment(at(seconds), EXPIRY, lot, (), 0, "f-1")


def settlement(seconds: float, seq: int) -> Appointment:
    return Appointment(at(seconds), SETTLEMENT, "", (), seq, "j-1")


def worked_off(agenda: Agenda, instant: datetime) -> list[Appointment]:
    found = []
    while (appointment := agenda.next_due(instant)) is not None:
        found.append(appointment)
        agenda.done(appointment)
    return found


def test_a_new_agenda_knows_nothing() -> None:
    agenda = Agenda()
    agenda.add(cycle(0, "f-1"))
    assert len(agenda) == 0
    assert not agenda.knows(at(0))
    assert not agenda.is_clear(at(0))


def test_of_one_instant_settlements_come_first_then_expiries_then_cycles_by_freelancer() -> None:
    agenda = Agenda()
    work = [settlement(0, 9), expiry(0, "f-1:3"), cycle(0, "f-1"), cycle(0, "f-10"), cycle(0, "f-9"), settlement(1, 2)]
    agenda.refill(random.Random(1).sample(work, len(work)), LATEST)
    assert worked_off(agenda, at(1)) == work


def test_it_is_extended_with_what_the_ledger_says_and_with_what_the_ledger_may_not_know_yet() -> None:
    agenda = Agenda()
    agenda.refill([cycle(0, "f-1")], cycle(0, "f-1"))
    agenda.add(cycle(0, "f-2"))
    agenda.batch_is_cut()
    agenda.batch_is_cut()  # f-2 is in the ledger
    agenda.add(cycle(0, "f-3"))
    agenda.batch_is_cut()  # f-3 is on its way
    agenda.add(cycle(0, "f-4"))
    agenda.begin_reading()
    agenda.batch_is_cut()
    agenda.add(cycle(0, "f-5"))
    agenda.add(cycle(0, "f-9"))
    agenda.extend([cycle(0, "f-2"), cycle(0, "f-3"), cycle(0, "f-7")], cycle(0, "f-7"))
    assert worked_off(agenda, at(0)) == [cycle(0, f"f-{number}") for number in (1, 2, 3, 4, 5, 7)]
    agenda.begin_reading()
    agenda.extend([], LATEST)
    assert worked_off(agenda, at(0)) == [cycle(0, "f-9")]
    assert agenda.is_clear(at(1_000))


def test_what_was_read_behind_a_horizon_that_came_nearer_is_read_again() -> None:
    agenda = Agenda(2)
    agenda.refill([], end_of(at(10)))
    agenda.begin_reading()
    for number in range(5):
        agenda.add(expiry(number, f"f-{number}"))
    agenda.extend([expiry(11, "f-11")], end_of(at(20)))
    assert not agenda.knows(at(5))
    agenda.batch_is_cut()
    agenda.begin_reading()
    agenda.extend([expiry(11, "f-11")], end_of(at(20)))
    assert worked_off(agenda, at(20)) == [expiry(number, f"f-{number}") for number in (0, 1, 2, 3, 4, 11)]


def test_a_horizon_at_the_end_of_an_instant_knows_that_instant() -> None:
    agenda = Agenda()
    agenda.refill([cycle(0, "f-1")], end_of(at(0)))
    assert agenda.knows(at(0))
    assert not agenda.knows(at(0.000001))
    agenda.add(cycle(0, "f-2"))
    agenda.add(cycle(0.000001, "f-3"))
    assert worked_off(agenda, at(5)) == [cycle(0, "f-1"), cycle(0, "f-2")]
    assert agenda.is_clear(at(0))
    assert not agenda.is_clear(at(1))


def test_a_horizon_within_an_instant_does_not_know_that_instant_but_all_before_it() -> None:
    agenda = Agenda()
    agenda.refill([cycle(0, "f-1"), cycle(0, "f-5")], cycle(0, "f-5"))
    assert agenda.knows(at(-0.000001))
    assert not agenda.knows(at(0))
    agenda.add(cycle(0, "f-3"))
    agenda.add(cycle(0, "f-7"))
    agenda.add(expiry(0, "f-9:1"))
    assert worked_off(agenda, at(0)) == [expiry(0, "f-9:1"), cycle(0, "f-1"), cycle(0, "f-3"), cycle(0, "f-5")]
    assert not agenda.is_clear(at(0)), "f-7 is the ledger's to tell"
    assert agenda.is_clear(at(-1))


@pytest.mark.parametrize("seed", range(5))
def test_a_look_ahead_gives_what_will_be_next_and_takes_nothing(seed: int) -> None:
    chance = random.Random(seed)
    agenda = Agenda()
    agenda.refill([], LATEST)
    work = [cycle(chance.randrange(20), f"f-{number}") for number in range(200)]
    for appointment in work:
        agenda.add(appointment)
    due = sorted(appointment for appointment in work if appointment.due_at <= at(9))
    for most in (0, 1, 7, 50, 1_000):
        assert agenda.peek(at(9), most) == due[:most]
    assert agenda.count_due(at(9)) == len(due)
    assert worked_off(agenda, at(9)) == due
    assert agenda.peek(at(9), 10) == []


def test_too_much_of_one_instant_is_left_to_the_ledger_all_the_same() -> None:
    agenda = Agenda(capacity=10)
    agenda.refill([], LATEST)
    work = [cycle(0, f"f-{number:02}") for number in range(30)]
    for appointment in random.Random(1).sample(work, len(work)):
        agenda.add(appointment)
    assert len(agenda) <= 20
    assert not agenda.knows(at(0))
    horizon = agenda.horizon
    assert worked_off(agenda, at(0)) == [appointment for appointment in work if appointment <= horizon]


def test_what_an_appointment_brings_may_come_before_it() -> None:
    agenda = Agenda()
    agenda.refill([cycle(1, "f-1"), cycle(2, "f-2")], LATEST)
    agenda.add(settlement(0, 1))
    agenda.done(cycle(1, "f-1"))
    assert worked_off(agenda, at(2)) == [settlement(0, 1), cycle(2, "f-2")]
