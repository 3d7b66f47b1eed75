"""What the clock has to do next, in order; the nearest part of it in memory."""

import heapq
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from worker.ledger.store import Appointment, end_of

NEVER: Final = end_of(datetime.min.replace(tzinfo=UTC))


class Agenda:
    """The appointments up to `horizon`, a place in their order: all of them. Beyond it only the ledger knows.

    Holds at most about `capacity` appointments; what is further away is left to the ledger. The horizon may lie between
    two appointments of one instant: a million cycles start at one midnight.
    """

    def __init__(self, capacity: int = 20_000) -> None:
        self._capacity = capacity
        self._heap: list[Appointment] = []
        self._look_as_far_as(NEVER)

    def __len__(self) -> int:
        return len(self._heap)

    def refill(self, appointments: Iterable[Appointment], horizon: Appointment) -> None:
        """Begin again with what the ledger says; nothing that it does not know yet may be outstanding."""
        self._heap = sorted(appointments)
        self._look_as_far_as(horizon)

    def add(self, appointment: Appointment) -> None:
        """Note new work; beyond the horizon the ledger keeps it."""
        if appointment > self.horizon:
            return
        heapq.heappush(self._heap, appointment)
        if len(self._heap) > 2 * self._capacity:
            self._leave_the_rest_to_the_ledger()

    def knows(self, instant: datetime) -> bool:
        """Whether everything due up to then is here."""
        return instant <= self._known_through

    def next_due(self, instant: datetime) -> Appointment | None:
        """The first appointment due at or before then; it stays until `done`."""
        if self._heap and self._heap[0].due_at <= instant:
            return self._heap[0]
        return None

    def is_clear(self, instant: datetime) -> bool:
        """Whether nothing is due at or before then, here or in the ledger."""
        return instant <= self._known_through and not (self._heap and self._heap[0].due_at <= instant)

    def peek(self, instant: datetime, most: int) -> list[Appointment]:
        """The first appointments due at or before then, in order, at most so many; they stay until `done`."""
        heap, found = self._heap, list[Appointment]()
        nearest = [(heap[0], 0)] if heap else []  # of a heap, only what lies below something taken can be next
        while nearest and len(found) < most and nearest[0][0].due_at <= instant:
            appointment, place = heapq.heappop(nearest)
            found.append(appointment)
            for below in (2 * place + 1, 2 * place + 2):
                if below < len(heap):
                    heapq.heappush(nearest, (heap[below], below))
        return found

    def count_due(self, instant: datetime) -> int:
        """How many of the appointments here are due at or before then."""
        if not self._heap or self._heap[0].due_at > instant:
            return 0
        return sum(appointment.due_at <= instant for appointment in self._heap)

    def done(self, appointment: Appointment) -> None:
        """Strike an appointment out; what it brought may be due before it and stays."""
        if self._heap[0] == appointment:
            heapq.heappop(self._heap)
        else:
            self._heap.remove(appointment)
            heapq.heapify(self._heap)

    def _look_as_far_as(self, horizon: Appointment) -> None:
        self.horizon = horizon
        whole = horizon == end_of(horizon.due_at)
        self._known_through = horizon.due_at if whole else horizon.due_at - timedelta(microseconds=1)

    def _leave_the_rest_to_the_ledger(self) -> None:
        """Keep the nearer half."""
        self._heap.sort()
        del self._heap[self._capacity :]
        self._look_as_far_as(self._heap[-1])
