"""The needs of every page and every path of the API: the ledger, the policy, the time, and the record of who looked."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from starlette.requests import Request

from worker.console.access import Access
from worker.console.ledger import ReadOnlyLedger
from worker.console.operators import StatusWatch
from worker.domain.policy import PolicyBook
from worker.queries.questions import Grounds
from worker.wall_clock import WallClock

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Desk:
    """One console. `grace` is the time between a closing and its settlement; `status` is None where nobody asks it."""

    ledger: ReadOnlyLedger
    policies: PolicyBook
    access: Access
    clock: WallClock
    grace: timedelta
    status: StatusWatch | None = None

    def now(self) -> datetime:
        """The wall clock."""
        return self.clock.now()

    def grounds(self) -> Grounds:
        """The grounds of a reply apart from the ledger. They never ask Kafka: a page must not wait for it."""
        return Grounds(self.policies, self.grace.total_seconds(), self.now() - self.grace)


def record_lookup(request: Request, what: str, key: str, *, found: bool) -> None:
    """Record who looked up whom. Only ids that can be in a ledger come here, never words that somebody typed."""
    reader = request.scope.get("state", {}).get("reader", "")
    _log.info("console.looked_up", who=reader, what=what, id=key, found=found, path=request.url.path)
