"""Short words for a story that the reference driver decides: who did what, how many seconds after the beginning.

Within a topic events arrive in the order written; between topics they are merged by time, like any catch-up.
"""

import copy
import json
import tomllib
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from tests.kit.histories import START
from tests.model.answers import Row
from tests.model.driver import Driver, Record

DAY = 86_400
GRACE = 30
POLICY: dict[str, Any] = tomllib.loads(
    (Path(__file__).parents[2] / "policies" / "connects.toml").read_text(encoding="utf-8")
)

_numbers = count(1)


def instant(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def policy_with(**switches: Any) -> dict[str, Any]:  # noqa: ANN401
    """The policy with other values, each known by its name alone."""
    changed = copy.deepcopy(POLICY)
    for name, value in switches.items():
        places = [part for part in changed["version"][0].values() if isinstance(part, dict) and name in part]
        assert len(places) == 1, f"{name} is in {len(places)} places"
        places[0][name] = value
    return changed


class Decided:
    """The decisions of a story."""

    def __init__(self, *events: Record, policy: dict[str, Any] = POLICY, until: float | None = None) -> None:
        self.driver = Driver(policy, GRACE, instant(20 * 365 * DAY))
        end = instant(until) if until is not None else None
        self.rows = self.driver.run(events, lambda _topic, _key: 0, end)

    def of(self, kind: str, topic: str | None = None) -> list[Row]:
        return [row for row in self.rows if row["kind"] == kind and topic in {None, row["topic"]}]

    def answers(self, topic: str, kind: str = "first") -> list[str]:
        """Outcomes and reasons of a topic's events, in ledger order."""
        return [f"{row['outcome']}/{row['reason']}" for row in self.of(kind, topic)]

    @property
    def settlements(self) -> list[str]:
        return self.answers("job-closed", "settlement")

    def named(self, event_id: str) -> Row:
        """The last decision about that event, or instant of the clock."""
        return next(row for row in reversed(self.rows) if row["event_id"] == event_id)

    def answer(self, event_id: str) -> str:
        row = self.named(event_id)
        return f"{row['outcome']}/{row['reason']}"

    def plan(self, who: str = "f-1") -> tuple[str, str, str]:
        """Plan, and the first days of this cycle and the next."""
        membership = self.driver.model.memberships[who]
        return (membership.plan, str(membership.cycle_start), str(membership.next_renewal))

    @property
    def charges(self) -> list[tuple[str, int, str]]:
        """The requested charges, in order: id, cents, and source."""
        asked = [row["charge"] for row in self.rows if row["charge"]]
        return [(charge["charge_id"], charge["amount_cents"], charge["source"]) for charge in asked]

    @property
    def changes(self) -> list[dict[str, Any]]:
        return [change for row in self.rows for change in row["changes"]]

    @property
    def deltas(self) -> list[int]:
        return [change["delta"] for change in self.changes]

    def balance(self, who: str = "f-1") -> int:
        return self.driver.model.state.wallets[who].balance

    def left(self, who: str = "f-1") -> dict[str, int]:
        """The Connects left in each lot that has some."""
        lots = self.driver.model.state.lots.values()
        return {lot.lot_id: lot.remaining for lot in lots if lot.freelancer_id == who and lot.remaining}


def event(topic: str, at: float, *, event_id: str | None = None, **fields: Any) -> Record:  # noqa: ANN401
    when = instant(at)
    payload = {"event_id": event_id or f"e-{next(_numbers)}", "occurred_at": when.isoformat(), **fields}
    return (topic, b"a key", json.dumps(payload).encode(), when)


def registered(at: float, who: str = "f-1", **more: Any) -> Record:  # noqa: ANN401
    return event("freelancer-registered", at, freelancer_id=who, **more)


def earned(at: float, badge: str = "rising-talent", who: str = "f-1") -> Record:
    return event("badge-earned", at, freelancer_id=who, badge=badge)


def certified(at: float, certification: str, kind: str = "skill-certification", who: str = "f-1") -> Record:
    return event("certification-completed", at, freelancer_id=who, certification_id=certification, kind=kind)


def interviewed(
    at: float, job: str = "j-1", *, cents: int = 500_000, hires: int = 3, origin: str = "proposal"
) -> Record:
    spent = {"client_hires": hires, "client_spent_cents": cents}
    return event("interview-won", at, freelancer_id="f-1", job_id=job, client_id="c-1", origin=origin, **spent)


def bought(at: float, purchase: str, connects: int, who: str = "f-1", **more: Any) -> Record:  # noqa: ANN401
    return event("connects-purchased", at, freelancer_id=who, purchase_id=purchase, connects=connects, **more)


def adjusted(at: float, adjustment: str, connects: int, who: str = "f-1") -> Record:
    why = {"actor": "support-1", "note": "as agreed"}
    return event("connects-adjusted", at, freelancer_id=who, adjustment_id=adjustment, connects=connects, **why)


def proposed(
    at: float,
    proposal: str,
    connects: int,
    boost: int = 0,
    *,
    job: str = "j-1",
    who: str = "f-1",
    **more: Any,  # noqa: ANN401
) -> Record:
    fields = {"origin": "proposal", **more, "connects": connects, "boost_connects": boost}
    return event("proposal-submitted", at, freelancer_id=who, job_id=job, proposal_id=proposal, **fields)


def withdrawn(at: float, proposal: str, *, job: str = "j-1", who: str = "f-1") -> Record:
    return event("proposal-withdrawn", at, freelancer_id=who, job_id=job, proposal_id=proposal)


def outbid(at: float, proposal: str, *, job: str = "j-1", who: str = "f-1") -> Record:
    return event("boost-outbid", at, freelancer_id=who, job_id=job, proposal_id=proposal)


def hired(at: float, job: str = "j-1", who: str = "f-9") -> Record:
    return event("hire-made", at, job_id=job, freelancer_id=who, contract_id="k-1")


def closed(at: float, closure: str = "closed-by-client", *, job: str = "j-1") -> Record:
    return event("job-closed", at, job_id=job, client_id="c-1", closure=closure)


def chose(at: float, plan: str, who: str = "f-1", **more: Any) -> Record:  # noqa: ANN401
    return event("membership-plan-chosen", at, freelancer_id=who, plan=plan, **more)


def entered(at: float, code: str, who: str = "f-1") -> Record:
    return event("promo-code-entered", at, freelancer_id=who, promo_code=code)


def answered(at: float, charge_id: str, outcome: str = "paid", who: str = "f-1", **more: Any) -> Record:  # noqa: ANN401
    """The end of a charge."""
    fields = {"charge_id": charge_id, "outcome": outcome, "source": "a card", **more}
    return event("membership-charge-settled", at, freelancer_id=who, **fields)


def earning(at: float, cents: int, who: str = "f-1") -> Record:
    return event("earnings-balance-updated", at, freelancer_id=who, available_cents=cents)


def suspended(at: float, scope: str = "account", who: str = "f-1") -> Record:
    return event("account-suspended", at, freelancer_id=who, scope=scope)


def reinstated(at: float, scope: str = "account", who: str = "f-1") -> Record:
    return event("account-reinstated", at, freelancer_id=who, scope=scope)


def seconds_to(year: int, month: int, day: int, hour: int = 0) -> float:
    """How many seconds after the beginning that day, or hour, starts."""
    return (datetime(year, month, day, hour, tzinfo=UTC) - START).total_seconds()
