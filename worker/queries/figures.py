"""The figures of a status in words, one line each: `connects status` prints them, and the console shows them."""

from typing import Final

from worker.kafka.holds import named, place_of
from worker.queries.status import Status
from worker.words.phrases import connects, counted
from worker.words.times import lasting, when

_UNKNOWN: Final = "unknown: Kafka cannot be asked"


def figures_of(status: Status) -> dict[str, object]:
    """A line for each figure; one without a value is to be left out."""
    holder = f"{status.holder}, epoch {status.epoch}" if status.role == "active" else "no worker runs"
    lag = _UNKNOWN if status.lag_records is None else f"{counted(status.lag_records, 'record')}, {status.lag_seconds} s"
    held = status.held_back_by
    return {
        "worker": holder,
        "lag": lag,
        "hidden": _hidden(status),
        "on hold": _on_hold(status),
        "business time": when(status.business_time) or "not known yet",
        "held back by": "" if held is None else f"{held.topic}, partition {held.partition}",
        "settlements pending": status.settlements_pending,
        "clock work due": status.clock_due,
        "batches to publish": f"{status.outbox_pending}, the oldest for {status.outbox_age_seconds} s",
        "parked": f"{status.parked}, with {counted(status.parked_waiting, 'message')} waiting",
        "dead letters": f"{status.dead_letters}, {status.dead_letters_unsent} of them not sent yet",
        "refunds owed": _owed(status),
        "overdrawn wallets": status.overdrawn_wallets,
        "charges unanswered": _unanswered(status),
        "missing topics": _UNKNOWN if status.missing_topics is None else ", ".join(status.missing_topics),
        "missing output topics": ", ".join(status.missing_output_topics or ()),
    }


def _hidden(status: Status) -> str:
    """What the lag does not count."""
    hidden = sum(partition.records for partition in status.hidden or ())
    unread = len(status.unavailable_partitions or ())
    parts = [f"at most {counted(hidden, 'record')} behind open transactions"] if hidden else []
    return "; ".join(parts + [f"{counted(unread, 'partition')} that cannot be asked"] * bool(unread))


def _on_hold(status: Status) -> str:
    """What is on hold, how much waits there, and whether business time does; each hold is a problem, in words, also."""
    return "; ".join(
        f"{named(place_of(hold.topic, hold.partition))}, "
        + ("" if hold.records is None else f"{counted(hold.records, 'record')} waiting, ")
        + f"business time {'waits' if hold.business_time_waits else 'goes on'}"
        for hold in status.holds
    )


def _owed(status: Status) -> str:
    owed = status.owed
    if owed is None:
        return ""
    if not owed.refunds:
        return f"none by the closures read last ({counted(owed.jobs, 'job')})"
    return f"{owed.refunds} of {connects(owed.connects)}, the oldest for {lasting(owed.oldest_seconds or 0)}"


def _unanswered(status: Status) -> str:
    if not status.charges_waiting:
        return "none"
    return f"{status.charges_unanswered}, the oldest asked at {when(status.charges_waiting[0].requested_at)}"
