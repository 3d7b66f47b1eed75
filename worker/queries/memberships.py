"""How a freelancer's membership stands: plan, cycle, what is to come, and the charge it waits for."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Final

import asyncpg
import msgspec

from schemas.fields import SuspensionScope
from worker.domain.model import Charge, Membership, midnight
from worker.domain.policy import PolicyBook
from worker.domain.rules.cycles import running_cycle, seen, suspended_by_latest, suspended_since
from worker.ledger.connections import Connection
from worker.ledger.membership_rows import read_charge, read_membership
from worker.ledger.sql import load
from worker.ledger.tables import ChargeRow, MembershipRow
from worker.words.phrases import day, money
from worker.words.upcoming import Upcoming, upcoming

_SQL: Final = load("asking.sql")
_SCOPES: Final[dict[SuspensionScope, str]] = {"account": "The account", "billing-method": "The billing method"}


class UnansweredCharge(msgspec.Struct, frozen=True):
    """A charge that the billing system owes an answer to; `amount_cents` after any promotion.

    From `lapses_on` on a renewal counts as failed; None: an upgrade waits for as long as it takes.
    """

    charge_id: str
    freelancer_id: str
    kind: str
    cycle_start: date
    attempt: int
    amount_cents: int
    currency: str
    source: str
    promo_code: str | None
    requested_at: datetime
    lapses_on: date | None


class MembershipRecord(msgspec.Struct, frozen=True):
    """A membership that has begun, as membership-updated tells it, and the charge that is not answered yet."""

    plan: str
    cycle_start: date
    next_renewal_on: date
    scheduled_plan: str | None
    suspended: bool
    version: int
    charge_unanswered: UnansweredCharge | None
    explanation: str


class MembershipStatus(msgspec.Struct, frozen=True):
    """A membership as the ledger keeps it, and what it has ahead, oldest first."""

    membership: Membership
    charge: Charge | None
    ahead: list[Upcoming]

    @property
    def told(self) -> MembershipRecord | None:
        """As it is shown; None, if it has not begun."""
        now = seen(self.membership)
        if now is None:
            return None
        version, words = self.membership.version, " ".join(self._words())
        return MembershipRecord(*now, version=version, charge_unanswered=self.charge_unanswered, explanation=words)

    @property
    def charge_unanswered(self) -> UnansweredCharge | None:
        """The charge that it waits for."""
        if self.charge is None:
            return None
        _, until = running_cycle(self.membership)
        return unanswered(self.charge, until if self.charge.kind == "renewal" else None)

    @property
    def about_the_charge(self) -> str:
        """Since when the charge waits, what comes in when it is paid, and what becomes of it otherwise."""
        if self.charge is None:
            return ""
        amount = money(self.charge.amount_cents, self.charge.currency)
        source, on = self.charge.source.replace("-", " "), day(self.charge.requested_at)
        then = self.ahead[0].explanation
        return f"A charge of {amount} was requested from the {source} on {on} and is not answered yet. {then}"

    def _words(self) -> Iterator[str]:
        membership = self.membership
        start, until = running_cycle(membership)
        ends = seen(membership)
        following = "the next renewal is on" if membership.plan == "plus" else "the next begins on"
        if ends is not None and ends.scheduled_plan is not None:
            following = "Plus ends with it on"
        yield (
            f"The plan is {membership.plan.capitalize()}. "
            f"Its cycle began on {day(midnight(start))}; {following} {day(midnight(until))}."
        )
        if membership.downgrade_chosen_at is not None:
            yield f"Basic was chosen on {day(membership.downgrade_chosen_at)}."
        latest = membership.suspensions[-1].at if membership.suspensions else midnight(start)
        for scope in sorted(suspended_by_latest(membership)):
            since = suspended_since(membership, scope, latest)
            yield f"{_SCOPES[scope]} is suspended{f' since {day(since)}' if since else ''}."
        if self.charge is not None:
            yield self.about_the_charge


async def standing(connection: Connection, freelancer_id: str, policies: PolicyBook) -> MembershipStatus | None:
    """How a freelancer's membership stands; None, if no event was ever about it."""
    row = await connection.fetchrow(_SQL["membership"], freelancer_id)
    if row is None:
        return None
    membership = read_membership(MembershipRow._make(row))
    asked = membership.upgrade or membership.renewal
    found = None if asked is None else await connection.fetchrow(_SQL["charge"], freelancer_id, asked)
    charge = None if found is None else read_charge(ChargeRow._make(found))
    return MembershipStatus(membership, charge, upcoming(membership, policies, charge))


def unanswered(charge: Charge, lapses_on: date | None) -> UnansweredCharge:
    """A charge as it is shown."""
    return UnansweredCharge(
        charge.charge_id,
        charge.freelancer_id,
        charge.kind,
        charge.cycle_start,
        charge.attempt,
        charge.amount_cents,
        charge.currency,
        charge.source,
        charge.promo_code,
        charge.requested_at,
        lapses_on,
    )


async def unanswered_charges(connection: Connection, most: int) -> list[UnansweredCharge]:
    """Those that have waited longest."""
    return [_listed(row) for row in await connection.fetch(_SQL["charges_unanswered"], most)]


def _listed(row: asyncpg.Record) -> UnansweredCharge:
    *charge, lapses_on = row
    return unanswered(Charge(*charge), lapses_on)
