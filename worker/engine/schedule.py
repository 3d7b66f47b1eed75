"""What the clock has to do next, in order; the nearest part of it in memory."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Container, Iterable
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Final

from worker.domain.model import ProposalId
from worker.ledger.store import LATE_SETTLEMENT, Appointment, end_of

NEVER: Final = end_of(datetime.min.replace(tzinfo=UTC))
_DONE_KEPT: Final = 1_000
"""How many that are done stay in front, so that not each of them moves all others."""


class Schedule:
    """The appointments up to `horizon`, a place in their order: all of them. Beyond it only the ledger knows.

    Holds at most about `capacity` appointments; what is further away is left to the ledger. The horizon may lie between
    two appointments of one instant: a million cycles start at one midnight.

    To see further, `begin_reading`, ask the ledger for what comes after the horizon, and `extend`. Meanwhile, and since
    the batch before the last (`batch_is_cut`), what lies beyond the horizon is kept: the ledger may not know it yet.
    """

    def __init__(self, capacity: int = 20_000) -> None:
        self._capacity = capacity
        self._queue: list[Appointment] = []
        """In order; those before `_place` are done."""
        self._place = 0
        self._beyond: list[Appointment] = []
        self._beyond_in_flight: list[Appointment] = []
        self._noted: list[Appointment] | None = None
        """What of a reading that is under way the ledger may not tell."""
        self._late: dict[str, set[Appointment]] = {}
        """The late settlements of each proposal, here and beyond the horizon; some may be with the ledger only."""
        self._look_as_far_as(NEVER)

    def __len__(self) -> int:
        return len(self._queue) - self._place

    def refill(self, appointments: Iterable[Appointment], horizon: Appointment) -> None:
        """Begin again with what the ledger says; nothing that it does not know yet may be outstanding."""
        self._queue = sorted(appointments)
        self._place = 0
        self._beyond, self._beyond_in_flight, self._noted = [], [], None
        self._late = {}
        self._note_late(self._queue)
        self._look_as_far_as(horizon)

    def begin_reading(self) -> None:
        """The ledger is about to be asked for what comes after the horizon."""
        self._noted = self._beyond_in_flight + self._beyond

    def extend(self, appointments: Iterable[Appointment], horizon: Appointment) -> None:
        """Go on with what the ledger said, up to a horizon further away, and with what it may not have known."""
        if self._noted is None:
            return  # the horizon came nearer meanwhile: between there and what was read something would be left out
        noted = (appointment for appointment in self._noted if self.horizon < appointment <= horizon)
        new = sorted({*appointments, *noted})
        self._note_late(new)
        self._queue += new
        self._noted = None
        self._look_as_far_as(horizon)

    def batch_is_cut(self) -> None:
        """The batch before is in the ledger, and the one whose work was added last is on its way there."""
        self._beyond_in_flight, self._beyond = self._beyond, []

    def add(self, appointment: Appointment) -> None:
        """Note new work; beyond the horizon the ledger keeps it, once it knows it."""
        self._note_late([appointment])
        if appointment > self.horizon:
            self._beyond.append(appointment)
            if self._noted is not None:
                self._noted.append(appointment)
            return
        insort(self._queue, appointment, lo=self._place)
        if len(self) > 2 * self._capacity:
            self._leave_the_rest_to_the_ledger()

    def knows(self, instant: datetime) -> bool:
        """Whether everything due up to then is here."""
        return instant <= self._known_through

    def next_due(self, instant: datetime) -> Appointment | None:
        """The first appointment due at or before then; it stays until `done`."""
        if self._place < len(self._queue) and self._queue[self._place].due_at <= instant:
            return self._queue[self._place]
        return None

    def is_clear(self, instant: datetime) -> bool:
        """Whether nothing is due at or before then, here or in the ledger."""
        return instant <= self._known_through and self.next_due(instant) is None

    def peek(self, instant: datetime, most: int) -> list[Appointment]:
        """The first appointments due at or before then, in order, at most so many; they stay until `done`."""
        nearest = self._queue[self._place : self._place + most]
        return nearest[: bisect_right(nearest, instant, key=_due_at)]

    def count_due(self, instant: datetime) -> int:
        """How many of the appointments here are due at or before then."""
        return bisect_right(self._queue, instant, lo=self._place, key=_due_at) - self._place

    def done(self, appointment: Appointment) -> None:
        """Strike an appointment out; what it brought may be due before it and stays."""
        self._forget_late([appointment])
        place = self._place
        if self._queue[place] != appointment:
            place = bisect_left(self._queue, appointment, lo=place)
            if place == len(self._queue) or self._queue[place] != appointment:
                raise ValueError(f"not in the schedule: {appointment}")
            del self._queue[place]
            return
        self._place += 1
        if self._place >= _DONE_KEPT:
            del self._queue[: self._place]
            self._place = 0

    def forget_late_settlements(self, proposal_id: ProposalId | None, closures: Container[int] | None = None) -> None:
        """Strike out what is due of a proposal that was voided: another may come under its id, and be due later.

        With `closures`, by the seqs of the decisions on them: only what is due by these; of every proposal (None), if
        the closures themselves were voided.
        """
        proposals = list(self._late) if proposal_id is None else [proposal_id]
        late = (appointment for name in proposals for appointment in self._late.get(name, ()))
        gone = {appointment for appointment in late if closures is None or appointment.seq in closures}
        if not gone:
            return  # as nearly always: the schedule is not gone through for each of very many voids
        self._queue = [appointment for appointment in self._queue[self._place :] if appointment not in gone]
        self._place = 0
        self._beyond = [appointment for appointment in self._beyond if appointment not in gone]
        self._beyond_in_flight = [appointment for appointment in self._beyond_in_flight if appointment not in gone]
        if self._noted is not None:
            self._noted = [appointment for appointment in self._noted if appointment not in gone]
        self._forget_late(gone)

    def _note_late(self, appointments: Iterable[Appointment]) -> None:
        for appointment in appointments:
            if appointment.rank == LATE_SETTLEMENT:
                self._late.setdefault(appointment.key, set()).add(appointment)

    def _forget_late(self, appointments: Iterable[Appointment]) -> None:
        for appointment in appointments:
            if (of_proposal := self._late.get(appointment.key)) is not None and appointment.rank == LATE_SETTLEMENT:
                of_proposal.discard(appointment)
                if not of_proposal:
                    del self._late[appointment.key]

    def _look_as_far_as(self, horizon: Appointment) -> None:
        self.horizon = horizon
        whole = horizon == end_of(horizon.due_at)
        self._known_through = horizon.due_at if whole else horizon.due_at - timedelta(microseconds=1)

    def _leave_the_rest_to_the_ledger(self) -> None:
        """Keep the nearer half, and of the other what the ledger may not know yet."""
        self._beyond += self._queue[self._place + self._capacity :]
        self._noted = None
        del self._queue[self._place + self._capacity :]
        self._look_as_far_as(self._queue[-1])


_due_at = attrgetter("due_at")
