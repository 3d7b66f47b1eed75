"""Whether the membership that a registration began can be forgotten with it, or can begin again."""

from collections.abc import Sequence
from datetime import date
from typing import Final, Protocol

from worker.domain.model import FreelancerId, Membership
from worker.domain.rules.monthly import MONTHLY, UPGRADE
from worker.domain.state import Held
from worker.ledger.store import Moved
from worker.ledger.tables import DecisionRow

_CHOICE: Final = "membership-plan-chosen"
_OF_A_MEMBERSHIP: Final = (MONTHLY, UPGRADE)
"""Rules by which a membership brings Connects."""


class MembershipRecord(Protocol):
    """What is asked of a ledger about a membership; see `Store`."""

    async def mentioned(self, keys: Sequence[str], after: int) -> list[DecisionRow]:
        """The decisions after `after` that are mentioned under these keys, in ledger order."""
        ...

    async def moved_since(self, freelancer_id: FreelancerId, version: int) -> list[Moved]:
        """What moved in a wallet from this version on, in order."""
        ...

    async def memberships(self, ids: Sequence[FreelancerId]) -> dict[FreelancerId, Membership]:
        """Every membership asked for; one never heard of has not begun."""
        ...

    async def held(self, ids: Sequence[FreelancerId]) -> list[Held]:
        """These freelancers' membership events that cannot count yet, in ledger order."""
        ...


async def first_cycle(record: MembershipRecord, row: DecisionRow, version: int) -> tuple[date, date] | None:
    """The cycle that a registration began, while it runs and nobody has acted on the membership; else None.

    Acted on it has whoever chose a plan, whatever became of that: a choice would have begun a membership itself. While
    no plan was chosen, no charge was asked for. `version` is the wallet's at the registration.

    Raises:
        Transient: the ledger is away.
    """
    whose = row.freelancer_id
    if whose is None or row.occurred_at is None or row.membership_updated is None:
        return None  # what began before stays
    membership = (await record.memberships([whose]))[whose]
    day, until = membership.cycle_start, membership.next_renewal
    if day is None or until is None or day != row.occurred_at.date() or membership.plan != "basic":
        return None
    later = await record.mentioned([f"f:{whose}"], row.seq)
    chosen = any(one.topic == _CHOICE and one.outcome not in {"duplicate", "rejected"} for one in later)
    moved = await record.moved_since(whose, version + 1)
    if chosen or await record.held([whose]) or any(one.rule in _OF_A_MEMBERSHIP for one in moved):
        return None
    return day, until


async def has_begun(record: MembershipRecord, freelancer_id: FreelancerId) -> bool:
    """Whether a freelancer's membership has begun.

    Raises:
        Transient: the ledger is away.
    """
    return (await record.memberships([freelancer_id]))[freelancer_id].cycle_start is not None
