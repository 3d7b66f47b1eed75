"""What is wrong, as one list: what, since when, and what to do. Readiness, `status`, metrics and the log read it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec
import structlog

FLAPPING: Final = timedelta(seconds=5)
"""A worker that tries again is well for a moment each time: what comes back within this long was there all the time."""
_LOGGED_AFTER: Final = timedelta(seconds=2)
"""What lasts for less, as while a worker takes the ledger over, is worth no line."""
NEXT: Final = {
    "kafka": "Bring Kafka back, or correct the setting that is named. The worker goes on by itself",
    "postgresql": "Bring PostgreSQL back, or free connections. The worker goes on by itself",
    "recovering": "Remove the cause: make room on the disk, free connections, bring PostgreSQL back. It is tried again",
    "differs-from-published": "Remove the cause: docs/operations.md, A wallet differs after a restore",
    "not-made-again": "Wait while it catches up; if it stays: docs/operations.md, The database was restored",
    "taking-over": "Wait for what is named; the log of that worker says more",
    "reading": "Bring the brokers back. The worker goes on by itself",
    "publishing": "Bring the brokers and the output topics back. What is decided waits in the outbox",
    "clock": "Set the clock of the host that is wrong",
    "stopped-partition": "Run the command that is named",
    "unavailable-partition": "Bring its leader back, or grant READ and DESCRIBE",
    "hold": "Remove the cause, then run `connects positions resume`",
    "hidden-records": "Restart the producer, or wait for its transaction.timeout.ms",
    "topic-settings": "Run `connects topics create --fix`",
    "shared-group": "Give the other member another group",
    "dead-letters": "Bring the topic of dead letters back, or run `connects topics create --fix`",
    "parked": "Run `connects parked list`, remove the cause, and release it",
    "missing-outputs": "Run `connects topics create`",
    "unwritable": "Bring the leader of that partition back",
    "no-worker": "Start one with `connects run`",
    "lag": "See whether a worker makes progress, and what else is named here",
    "no-progress": "See the log and /health/ready of that worker",
    "owed": "See `connects owed`",
    "encoding": "Move the ledger to a database of encoding UTF8",
}
"""What to do, by kind."""
_TRIED_AGAIN: Final = ("recovering", "differs-from-published")

_log = structlog.get_logger(__name__)


class Found(NamedTuple):
    """Something that is wrong at the moment: its kind, what it is about (a partition, or nothing), and words.

    `hinders`: the worker does not do its work meanwhile.
    """

    kind: str
    about: str
    what: str
    hinders: bool = False


class Problem(msgspec.Struct, frozen=True):
    """Something that is wrong, since when, and what to do next."""

    kind: str
    about: str
    what: str
    since: datetime
    hinders: bool = False

    @property
    def next(self) -> str:
        """What to do."""
        return NEXT[self.kind]


@dataclass(slots=True)
class _Known:
    problem: Problem
    seen_at: datetime
    is_logged: bool


class ProblemList:
    """The problems of one worker. `update` it again and again; each keeps the time at which it was first found."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], _Known] = {}

    def update(self, found: Iterable[Found], now: datetime) -> list[Problem]:
        """Take over what was found now, and log what is new and what is over; returns what was found, in its order."""
        current = {(one.kind, one.about): one for one in found}
        for key, one in current.items():
            known = self._known.get(key)
            since = now if known is None else known.problem.since
            what = " ".join(one.what.split())  # PostgreSQL's hints are on lines of their own
            is_logged = now - since >= _LOGGED_AFTER
            if is_logged and not (known is not None and known.is_logged):
                # What hinders it is logged in its own words where it is met; here are the time and what to do.
                words = {} if one.hinders else {"what": what}
                _log.warning("problem.found", kind=one.kind, since=since.isoformat(), next=NEXT[one.kind], **words)
            self._known[key] = _Known(Problem(one.kind, one.about, what, since, one.hinders), now, is_logged)
        for key, known in tuple(self._known.items()):
            lasts = FLAPPING if known.problem.kind in _TRIED_AGAIN else timedelta(0)
            if key not in current and now - known.seen_at >= lasts:
                del self._known[key]
                seconds = round((now - known.problem.since).total_seconds(), 1)
                if known.is_logged:
                    about = known.problem.about
                    _log.info("problem.over", kind=known.problem.kind, about=about, lasted_seconds=seconds)
        return [self._known[key].problem for key in current]

    @property
    def lasting(self) -> list[Problem]:
        """The same, with what was found a moment ago and comes back again and again."""
        return [known.problem for known in self._known.values()]


class Report(msgspec.Struct, frozen=True):
    """What a worker writes beside the ledger every few seconds, for `status`, which is another process."""

    role: str
    lag_seconds: float
    problems: list[Problem] = []


def written(report: Report) -> str:
    """A report as the ledger keeps it."""
    return msgspec.json.encode(report).decode()


def read_report(text: str) -> Report:
    """A report that was kept. One of another release may have kinds that this one does not know; they are left out."""
    report = msgspec.json.decode(text, type=Report)
    return msgspec.structs.replace(report, problems=[one for one in report.problems if one.kind in NEXT])
