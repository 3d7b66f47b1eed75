"""What the clock has to do next, in order; the nearest part of it in memory."""

import heapq
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from worker.ledger.store import Appointment

NEVER: Final = datetime.min.replace(tzinfo=UTC)


class Agenda:
    """The appointments due up to `horizon`: all of them, in order. Beyond it only the ledger knows.

    Holds at most about `capacity` appointments; what is further away is left to the ledger.
    """

    def __init__(self, capacity: int = 20_000) -> None:
        self._capacity = capacity
        self._heap: list[Appointment] = []
        self.horizon = NEVER

    def __len__(self) -> int:
        return len(self._heap)

    def refill(self, appointments: Iterable[Appointment], horizon: datetime) -> None:
        """Begin again with what the ledger says; nothing that it does not know yet may be outstanding."""
        self._heap = sorted(appointments)
        self.horizon = horizon

    def add(self, appointment: Appointment) -> None:
        """Note new work; beyond the horizon the ledger keeps it."""
        if appointment.due_at > self.horizon:
            return
        heapq.heappush(self._heap, appointment)
        if len(self._heap) > 2 * self._capacity:
            self._leave_the_rest_to_the_ledger()

    def knows(self, instant: datetime) -> bool:
        """Whether everything due up to then is here."""
        return instant <= self.horizon

    def next_due(self, instant: datetime) -> Appointment | None:
        """The first appointment due at or before then; it stays until `done`."""
        if self._heap and self._heap[0].due_at <= instant:
            return self._heap[0]
        return None

    def is_clear(self, instant: datetime) -> bool:
        """Whether nothing is due at or before then, here or in the ledger."""
        return instant <= self.horizon and not (self._heap and self._heap[0].due_at <= instant)

    def due_by(self, instant: datetime) -> list[Appointment]:
        """All that is due at or before then, in no order."""
        if not self._heap or self._heap[0].due_at > instant:
            return []
        return [appointment for appointment in self._heap if appointment.due_at <= instant]

    def done(self, appointment: Appointment) -> None:
        """Strike an appointment out; what it brought may be due before it and stays."""
        if self._heap[0] == appointment:
            heapq.heappop(self._heap)
        else:
            self._heap.remove(appointment)
            heapq.heapify(self._heap)

    def _leave_the_rest_to_the_ledger(self) -> None:
        """Keep the nearer half, and of one instant all or nothing: the horizon lies before an instant that is cut."""
        self._heap.sort()
        beyond = self._heap[self._capacity].due_at
        if beyond > self._heap[0].due_at:
            self._heap = [kept for kept in self._heap if kept.due_at < beyond]
            self.horizon = beyond - timedelta(microseconds=1)
        else:  # all of one instant: there is no nearer half
            self._capacity *= 2
