"""What the ledger says of withdrawals and outbids: those that count for a proposal or wait for it, and one to void."""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple, Protocol

from worker.domain.model import JobId, ProposalId, Spend, stored_cause
from worker.domain.rules import refunds
from worker.domain.rules.voids import ToVoid
from worker.domain.state import Awaited
from worker.ledger.tables import DecisionRow
from worker.repair.forgetting import voided_among

OUTBID: Final = "boost-outbid"
OF_PROPOSALS: Final = frozenset({"proposal-withdrawn", OUTBID})
"""Topics of events that name a proposal: voided, they are forgotten, and the proposal is settled again."""


class ToldRecord(Protocol):
    """What is asked of a ledger about a proposal; see `Store`."""

    async def mentioned(self, keys: Sequence[str], after: int) -> list[DecisionRow]:
        """The decisions after `after` that are mentioned under these keys, in ledger order."""
        ...

    async def spends(self, ids: Sequence[ProposalId]) -> list[Spend]:
        """The spends of these proposals that exist."""
        ...

    async def naming(self, proposal_id: ProposalId) -> list[DecisionRow]:
        """The withdrawals and outbids that name a proposal, in ledger order."""
        ...


class Told(NamedTuple):
    """The withdrawals and outbids that name a proposal, each by the decision by which it counts, or waits.

    `voided` are the decisions of those that should never have been.
    """

    rows: list[DecisionRow]
    voided: frozenset[int]

    @property
    def standing(self) -> list[DecisionRow]:
        """Those that were not voided."""
        return [row for row in self.rows if row.seq not in self.voided]


async def told_of(record: ToldRecord, proposal_id: ProposalId) -> Told:
    """The withdrawals and outbids that name a proposal, also those of other freelancers.

    Raises:
        Transient: the ledger is away.
    """
    naming = await record.naming(proposal_id)
    parked = {one.seq for one in naming if one.outcome == "parked"}
    voided = voided_among(await record.mentioned([f"p:{proposal_id}"], 0)) if naming else frozenset[int]()
    return Told([one for one in naming if _may_wait(one, parked)], voided)


async def to_forget_told(record: ToldRecord, row: DecisionRow) -> ToVoid | None:
    """What the ledger says of a decision on a withdrawal or an outbid; None: it only follows from another one.

    Raises:
        Transient: the ledger is away.
    """
    awaited = awaited_of(row)
    told = await told_of(record, awaited.proposal_id)
    if all(one.seq != row.seq for one in told.rows):
        return None
    if row.rule is None:
        raise AssertionError(f"decision {row.seq} has no rule")
    same = (row.freelancer_id, row.job_id)
    others = [one for one in told.standing if one.seq != row.seq and (one.freelancer_id, one.job_id) == same]
    withdrawals = [one.occurred_at for one in others if one.topic != OUTBID and one.occurred_at is not None]
    named = (row.seq, row.rule, str(row.seq), row.event_id or "", awaited.occurred_at)
    about = {"job_id": awaited.job_id, "proposal_id": awaited.proposal_id}
    return ToVoid(
        *named,
        awaited.freelancer_id,
        awaited.job_id,
        0,
        about,
        awaited=[awaited],
        topic=OUTBID if awaited.is_outbid else "proposal-withdrawn",
        withdrawn_at=min(withdrawals, default=None),
        is_outbid=any(one.topic == OUTBID for one in others),
        is_mismatch=await is_mismatch(record, awaited),
        is_over=row.seq in told.voided,
    )


async def is_mismatch(record: ToldRecord, awaited: Awaited) -> bool:
    """Whether a withdrawal or an outbid names a proposal that is another freelancer's now.

    Raises:
        Transient: the ledger is away.
    """
    return any(one.freelancer_id != awaited.freelancer_id for one in await record.spends([awaited.proposal_id]))


def _may_wait(row: DecisionRow, parked: Collection[int]) -> bool:
    """Whether the decision is the one by which a withdrawal or outbid came to count, or would have waited.

    `parked` are decisions that parked one: what counts then is the follow-up, once it was released.
    """
    if row.kind == "follow-up":
        # Of an outbid that waited for its proposal, the decision before says that it waits.
        return row.outcome != "parked" and (row.rule == refunds.SETTLEMENT or row.follows in parked)
    return row.outcome not in {"duplicate", "rejected", "parked"}


def awaited_of(row: DecisionRow) -> Awaited:
    """What a recorded withdrawal or outbid is while it waits for its proposal."""
    if row.freelancer_id is None or row.job_id is None or row.proposal_id is None or row.occurred_at is None:
        raise AssertionError(f"decision {row.seq} names no proposal, job or freelancer")
    cause = stored_cause(row.topic, row.incarnation, row.partition, row.offset, row.event_id, row.seq)
    names = (row.freelancer_id, JobId(row.job_id), row.occurred_at, cause)
    return Awaited(row.proposal_id, row.seq, row.topic == OUTBID, *names)
