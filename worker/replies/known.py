"""What a reply is composed of: the recorded facts that a question is about, collected by worker/queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal, NamedTuple

from worker.domain.model import Charge, Membership
from worker.domain.policy import Policy
from worker.replies.recorded import DecisionRecord, LotHeld
from worker.words.upcoming import Upcoming

Asked = Literal["event", "job", "proposal", "freelancer"]
"""What a question is about, by the kind of its id; `event`: also a purchase, a charge, an adjustment, clock work."""


class Closing(NamedTuple):
    """A closing of a job: when and how it ended, and whether every proposal of then is decided."""

    closed_at: datetime
    closure: str
    settled: bool
    decision_seq: int


class Hire(NamedTuple):
    """A hire that was reported."""

    freelancer_id: str | None
    hired_at: datetime


class Applied(NamedTuple):
    """A proposal: what it cost and what of it came back, and all that is known of its job.

    `closings` are those at or after `spent_at`, the oldest first; `hires` all of the job, the first first.
    """

    proposal_id: str
    freelancer_id: str
    job_id: str
    spent_at: datetime
    origin: str
    base: int
    boost: int
    base_returned: bool
    boost_returned: bool
    withdrawn_at: datetime | None
    decision_seq: int
    closings: Sequence[Closing]
    hires: Sequence[Hire]

    @property
    def spent(self) -> int:
        """What it cost, boost included."""
        return self.base + self.boost

    @property
    def back(self) -> int:
        """What came back of it and was not taken again."""
        return (self.base if self.base_returned else 0) + (self.boost if self.boost_returned else 0)

    @property
    def is_settled(self) -> bool:
        """Whether a closing was settled that came after it: one that came before may have been settled without it."""
        return any(closing.settled and closing.decision_seq > self.decision_seq for closing in self.closings)


class Member(NamedTuple):
    """A freelancer's wallet and membership, as they are now. `ahead` is what the membership has ahead.

    `lots` are those that expire first, with every lot of their days; there may be later ones.

    `charge` is the one that is not answered yet, `last_charge` the last that was asked; `read_until` business time.
    """

    freelancer_id: str
    balance: int
    lots: Sequence[LotHeld]
    membership: Membership | None
    charge: Charge | None
    ahead: Sequence[Upcoming]
    last_charge: Charge | None = None
    read_until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Known:
    """All that a reply may say. `decisions` are in ledger order, with what followed them.

    `grace_seconds` is the time between a closing and its settlement. `elsewhere`: as what an id is known that was asked
    about in another role. `read_until`: business time; `unread`: sentences about what is late, for the agent.
    `of_the_person`: all decisions about the freelancer, where the reply depends on what came before or after.
    """

    asked: Asked
    key: str
    policy: Policy
    decisions: Sequence[DecisionRecord] = ()
    applied: Sequence[Applied] = ()
    member: Member | None = None
    grace_seconds: float = 0
    read_until: datetime | None = None
    elsewhere: Sequence[Asked] = ()
    unread: Sequence[str] = ()
    of_the_person: Sequence[DecisionRecord] = ()

    def settlements(self, proposal_id: str) -> list[DecisionRecord]:
        """The decisions of closings about a proposal, the oldest first."""
        return [one for one in self.about(proposal_id) if one.kind == "settlement"]

    def about(self, proposal_id: str) -> Sequence[DecisionRecord]:
        """The decisions about a proposal, the oldest first."""
        return self._by_proposal.get(proposal_id, ())

    @cached_property
    def late_hires(self) -> list[DecisionRecord]:
        """Hires that became known only after refunds, the oldest first."""
        return [one for one in self.decisions if one.reason == "hire-after-settlement"]

    @cached_property
    def _by_proposal(self) -> dict[str, list[DecisionRecord]]:
        """There may be thousands of each."""
        found: dict[str, list[DecisionRecord]] = {}
        for one in self.decisions:
            if (proposal_id := one.subject.get("proposal_id")) is not None:
                found.setdefault(proposal_id, []).append(one)
        return found
