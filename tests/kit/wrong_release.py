"""Workers of a release with a fault that books wrong amounts."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from worker.domain.booking import Booking
from worker.domain.decisions import LineRef
from worker.domain.model import Lot, Spend, SpendLine
from worker.domain.policy import Policy

_LASTS: Final = timedelta(days=200)


def return_boosts_twice() -> Callable[[], None]:
    """Have all workers of this process give a boost that was outbid back again when its job is settled.

    It comes in a lot of its own, in the same change. Returns what ends that.
    """
    as_it_is = Booking.give_back

    def faulty(
        self: Booking,
        spend: Spend,
        lines: Iterable[SpendLine],
        instant: datetime,
        policy: Policy,
        source: str,
        *more: Any,  # noqa: ANN401
    ) -> list[Lot]:
        boost, listed = spend.boost, list(lines)
        is_second = boost.returned and boost not in listed
        ended = as_it_is(self, spend, listed, instant, policy, source, *more)
        if is_second and boost.connects:
            line = LineRef(spend.proposal_id, "boost")
            self.credit(boost.connects, source, instant, instant + _LASTS, None, line)
        return ended

    Booking.give_back = faulty  # type: ignore[method-assign]

    def end() -> None:
        Booking.give_back = as_it_is  # type: ignore[method-assign]

    return end


@contextmanager
def boosts_come_back_twice() -> Iterator[None]:
    """The same for as long as the context lasts."""
    end = return_boosts_twice()
    try:
        yield
    finally:
        end()
