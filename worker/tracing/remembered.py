"""The spans of the latest events that something may follow from later, such as the closings of jobs."""

from collections import OrderedDict

from opentelemetry.trace import SpanContext

from worker.domain.model import Cause

_Place = tuple[str | None, int | None, int | None]


class Remembered:
    """In memory only: the ledger keeps no headers. A worker that takes over knows none of them.

    The oldest goes when there are more than `most`.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._contexts: OrderedDict[_Place, SpanContext] = OrderedDict()

    def add(self, cause: Cause, context: SpanContext) -> None:
        """Remember the span in which an input record was decided."""
        self._contexts[_place(cause)] = context
        if len(self._contexts) > self._most:
            self._contexts.popitem(last=False)

    def find(self, cause: Cause) -> SpanContext | None:
        """That span; None: it is not remembered, or the cause is no input record."""
        return None if cause.offset is None else self._contexts.get(_place(cause))


def _place(cause: Cause) -> _Place:
    return cause.topic, cause.partition, cause.offset
