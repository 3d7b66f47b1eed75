"""Which decisions can be voided, and what the ledger says became of them."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from schemas.proposals import ProposalSubmitted
from schemas.reading import read_event
from worker.domain.model import FreelancerId, Job, JobId, LotId, ProposalId, Spend, natural_key_of
from worker.domain.rule_catalogue import RULES
from worker.domain.rules import grants
from worker.domain.rules.decides import DECIDE, Standing
from worker.domain.rules.expiry import EXPIRE
from worker.domain.rules.replaces import REPLACE
from worker.domain.rules.spends import SPEND, lines_of
from worker.domain.rules.voids import VOID, ToVoid
from worker.ledger.rows import facts_in, movements_in
from worker.ledger.store import FirstDecision, Moved
from worker.ledger.tables import ChangeRow, DecisionRow
from worker.proof.identity import lots_opened
from worker.repair.forgetting import to_forget
from worker.repair.registering import MembershipRecord, first_cycle
from worker.repair.told import OF_PROPOSALS, awaited_of, to_forget_told, told_of

VOIDABLE: Final = frozenset(
    {grants.REGISTRATION, grants.BADGE, grants.CERTIFICATION, grants.INTERVIEW, grants.PURCHASE, grants.ADJUST, SPEND}
)
"""The rules whose decisions can be voided."""


class Refused(NamedTuple):
    """Why a decision is not voided, and what a person can do instead."""

    what: str
    why: str
    next: str


_ADJUST_BY_HAND: Final = "See each with `connects explain EVENT_ID`, and send a connects-adjusted event for what it did"
ADJUST_DIFFERENCE: Final = "Send a connects-adjusted event for the difference"
_CHANGE_NOTHING: Final = frozenset({"duplicate", "rejected"})
"""Outcomes of events that were not decided: repeats and conflicts, and what is no event."""
OF_JOBS: Final = frozenset({"job-closed", "hire-made"})
"""Topics of events that are facts of a job: voided, they are forgotten, and the job is settled again."""
REGISTRATIONS: Final = Refused(
    "registrations",
    "membership-is-not-voided: its first cycle is over, a plan was chosen, it began otherwise, or with 0 Connects",
    "See each with `connects explain EVENT_ID`, and send a connects-adjusted event for its Connects",
)
_OF_MEMBERSHIPS: Final = Refused(
    "membership events",
    "membership-is-not-voided: people acted on it, and charges may have been requested",
    "See each with `connects explain EVENT_ID`; send the membership event that sets it right, and a connects-adjusted "
    "event for its Connects",
)
_SETTLEMENTS: Final = Refused(
    "settlements of closures", "they follow from the closure", "Void the job-closed event, which settles them again"
)
_BY_THE_CLOCK: Final = Refused(
    "work of the clock, commands and corrections", "no event brought them about", "Void the event that they follow from"
)
_FOLLOWS: Final = Refused(
    "outbids that had waited for their proposal", "they follow from the event", "Void the boost-outbid event itself"
)
_PARKED: Final = Refused(
    "decisions that parked an event",
    "what the event did is in the decision that followed when it was released",
    "Select that decision, with `connects log find --kind follow-up`",
)
NOTHING_DONE: Final = Refused(
    "events that changed nothing", "they were refused, repeated or only noted", "Nothing has to be done"
)
_REPLACED: Final = Refused(
    "grants, purchases and adjustments whose event was replaced",
    "not-voided-yet: what was given or taken since is not taken back with them",
    _ADJUST_BY_HAND,
)
AMENDED: Final = Refused(
    "decisions that were amended",
    "a correction changed what they gave, and a void would take back what they gave first",
    "Undo that correction first, with `connects replay undo`, or send a connects-adjusted event for what they did",
)
UNKNOWN: Final = Refused("events that were never decided", "the ledger has no decision on them", "Look at their ids")


class Record(MembershipRecord, Protocol):
    """What is asked of a ledger about a decision that is to be voided; see `Store`."""

    async def mentioned(self, keys: Sequence[str], after: int) -> list[DecisionRow]:
        """The decisions after `after` that are mentioned under these keys, in ledger order."""
        ...

    async def in_full(self, seq: int) -> tuple[DecisionRow, list[ChangeRow]] | None:
        """A decision and its changes."""
        ...

    async def first_decisions(self, seqs: Sequence[int]) -> dict[int, FirstDecision]:
        """The decisions of these seqs, with the content that counts now."""
        ...

    async def moved_since(self, freelancer_id: FreelancerId, version: int) -> list[Moved]:
        """What moved in a wallet from this version on, in order."""
        ...

    async def linked_lots(self, freelancer_id: FreelancerId) -> list[tuple[LotId, LotId]]:
        """The lots of a freelancer that are linked to another one, and which."""
        ...

    async def standing(self, seq: int, proposal_id: ProposalId | None) -> Standing:
        """What stands for a decision, which names this proposal if it is on one, since corrections."""
        ...

    async def jobs(self, ids: Sequence[JobId]) -> dict[JobId, Job]:
        """Every job asked for."""
        ...

    async def spends(self, ids: Sequence[ProposalId]) -> list[Spend]:
        """The spends of these proposals that exist."""
        ...

    async def naming(self, proposal_id: ProposalId) -> list[DecisionRow]:
        """The withdrawals and outbids that name a proposal, in ledger order."""
        ...


def refusal(row: DecisionRow) -> Refused | None:
    """Why this decision cannot be voided; None: it can."""
    if row.topic is None or row.kind == "settlement":
        return _SETTLEMENTS if row.kind == "settlement" else _BY_THE_CLOCK
    if row.outcome == "parked":
        return _PARKED
    if row.topic in OF_JOBS or row.topic in OF_PROPOSALS:
        return _refusal_of_fact(row)
    if row.rule not in VOIDABLE:
        is_nothing = row.outcome in _CHANGE_NOTHING or row.outcome == "declined"
        return NOTHING_DONE if is_nothing else _OF_MEMBERSHIPS
    if row.outcome == "applied" or (row.rule == SPEND and row.outcome == "recorded"):
        return None
    return NOTHING_DONE if row.membership_updated is None else REGISTRATIONS  # it granted 0, and began a membership


def _refusal_of_fact(row: DecisionRow) -> Refused | None:
    if row.topic == "job-closed" and row.freelancer_id is not None:
        return _SETTLEMENTS  # one that waited behind a parked wallet
    return NOTHING_DONE if row.outcome in _CHANGE_NOTHING else None


async def read_to_void(record: Record, seq: int) -> ToVoid | Refused:
    """What the ledger says of a decision that is to be voided.

    Raises:
        Transient: the ledger is away.
    """
    found = await record.in_full(seq)
    if found is None:
        return UNKNOWN
    row, changes = found
    if (refused := refusal(row)) is not None:
        return refused
    return await to_void(record, row, changes, (await record.first_decisions([seq]))[seq])


async def to_void(
    record: Record, row: DecisionRow, changes: Sequence[ChangeRow], first: FirstDecision
) -> ToVoid | Refused:
    """The same of a decision that was read, and that no rule forbids to be voided.

    Raises:
        Transient: the ledger is away.
    """
    if row.topic in OF_JOBS:
        return await to_forget(record, row)
    if row.topic in OF_PROPOSALS:
        return await to_forget_told(record, row) or _FOLLOWS
    amended = (await record.standing(row.seq, None)).connects
    if amended is not None and amended != sum(one.delta for one in changes if one.freelancer_id == row.freelancer_id):
        return AMENDED
    if row.rule == SPEND:
        return await _spend(record, row, first)
    if row.rule == grants.REGISTRATION:
        return await _registration(record, row, changes[0])
    return _REPLACED if first.is_replaced else await _grant(record, row, changes[0])


async def _registration(record: Record, row: DecisionRow, change: ChangeRow) -> ToVoid | Refused:
    what = await _grant(record, row, change)
    cycle = await first_cycle(record, row, change.version)
    return REGISTRATIONS if cycle is None else msgspec.structs.replace(what, cycle=cycle)


async def expired_of(record: Record, seq: int, freelancer_id: FreelancerId) -> int:
    """How many of the Connects that a decision brought its freelancer expired.

    Of a lot that it opened, and of those that are linked to it, that is all that expired; of a lot that was there
    before at most what it brought into it.

    Raises:
        Transient: the ledger is away.
    """
    found = await record.in_full(seq)
    mine = [change for change in found[1] if change.freelancer_id == freelancer_id] if found is not None else []
    if not mine:
        return 0
    opened = [lot_id for change in mine for lot_id in lots_opened(change)]
    all_of = _with_linked(opened, await record.linked_lots(freelancer_id))
    brought: Counter[str] = Counter()
    for change in mine:
        for lot_id, _, _, delta in movements_in(change.movements):
            if lot_id is not None and delta > 0 and lot_id not in all_of:
                brought[lot_id] += delta
    expired: Counter[str] = Counter()
    for _, rule, movements in await record.moved_since(freelancer_id, mine[-1].version + 1):
        for lot_id, _, _, delta in movements_in(movements) if rule == EXPIRE else ():
            if lot_id is not None:
                expired[lot_id] -= delta
    before = sum(min(expired[lot_id], connects) for lot_id, connects in brought.items())
    return sum(expired[lot_id] for lot_id in all_of) + before


async def _grant(record: Record, row: DecisionRow, change: ChangeRow) -> ToVoid:
    opened = lots_opened(change) if change.delta > 0 else []
    what = _to_void(row, natural_key_of(change.natural_key or "")[0], change.delta)
    corrected = {one.seq: one for one in await record.mentioned([f"s:{row.seq}"], row.seq)}
    voids = {seq: one for seq, one in corrected.items() if one.rule == VOID}
    if not opened:
        return msgspec.structs.replace(what, connects=what.connects + await _missed(record, corrected, row.seq))
    amends = [seq for seq, one in corrected.items() if one.rule in {DECIDE, REPLACE}]
    apart = await _opened_by_corrections(record, amends, row.seq)
    links = await record.linked_lots(change.freelancer_id)
    lots = _with_linked(opened, [link for link in links if link[0] not in apart])
    drawn_by: dict[ProposalId, None] = {}
    debited = 0
    for seq, rule, movements in await record.moved_since(change.freelancer_id, change.version):
        if (voided := voids.get(seq)) is not None:
            # It was undone: all that it took was given back, what debits drew too, but for what it could not take.
            debited = number_in(voided, "shortfall")
            continue
        for lot_id, proposal_id, _, delta in movements_in(movements):
            if lot_id not in lots or delta > 0:
                continue
            if proposal_id is not None:
                drawn_by[ProposalId(proposal_id)] = None
            elif rule != EXPIRE:
                debited -= delta
    return msgspec.structs.replace(what, lots=list(lots), drawn_by=list(drawn_by), debited=debited)


async def _missed(record: Record, corrected: Collection[int], after: int) -> int:
    """Of a debit that was corrected before: the Connects that were not there when that was undone, so it never took."""
    if not corrected:
        return 0
    undos = await record.mentioned([f"s:{seq}" for seq in corrected], after)
    return sum(number_in(one, "shortfall") for one in undos if one.follows in corrected)


async def _opened_by_corrections(record: Record, corrected: Collection[int], after: int) -> set[LotId]:
    """The lots that corrections of an amount or a content opened, and those that their undos did.

    Such a correction and its undo make up for each other in the wallet, so what is in these lots is not the grant's.
    """
    if not corrected:
        return set()
    undos = await record.mentioned([f"s:{seq}" for seq in corrected], after)
    found = [await record.in_full(seq) for seq in (*corrected, *(one.seq for one in undos if one.follows in corrected))]
    return {lot_id for one in found if one is not None for change in one[1] for lot_id in lots_opened(change)}


def number_in(row: DecisionRow, name: str) -> int:
    """A number among the facts of a decision; 0 if it is not there."""
    return int(str(facts_in(row.facts).get(name, 0)))


async def _spend(record: Record, row: DecisionRow, first: FirstDecision) -> ToVoid:
    proposal_id = ProposalId(row.proposal_id or "")
    facts = facts_in(row.facts)
    cost = int(str(facts.get("base", 0))) + int(str(facts.get("boost", 0)))
    if first.replaced and isinstance(event := read_event(first.topic, first.stands), ProposalSubmitted):
        cost = sum(line.connects for line in lines_of(event))
    what = _to_void(row, proposal_id, -cost)
    told = await told_of(record, proposal_id)
    return msgspec.structs.replace(what, awaited=[awaited_of(one) for one in told.standing])


def _to_void(row: DecisionRow, natural_key: str, connects: int) -> ToVoid:
    facts = facts_in(row.facts)
    if row.rule == SPEND:
        about = {"job_id": row.job_id or "", "proposal_id": row.proposal_id or ""}
    else:
        about = {name: str(facts[name]) for name in RULES[row.topic or ""].about}
    if row.occurred_at is None or row.freelancer_id is None or row.rule is None:
        raise AssertionError(f"decision {row.seq} has no instant, freelancer or rule")
    of = (row.event_id or "", row.occurred_at, row.freelancer_id, row.job_id)
    return ToVoid(row.seq, row.rule, natural_key, *of, connects, about)


def names_the_key(voided: DecisionRow, facts: str, proposal_id: str | None) -> bool:
    """Whether a decision with these facts, of the same rule and freelancer, is about the same natural key."""
    if voided.rule == SPEND:
        return proposal_id == voided.proposal_id
    mine, others = facts_in(voided.facts), facts_in(facts)
    return all(mine.get(name) == others.get(name) for name in RULES[voided.topic or ""].about)


def _with_linked(opened: list[LotId], links: list[tuple[LotId, LotId]]) -> dict[LotId, None]:
    """These lots and those that are linked to them, directly or not."""
    linked: dict[LotId, list[LotId]] = {}
    for lot_id, to in links:
        linked.setdefault(to, []).append(lot_id)
    lots, left = dict.fromkeys(opened), list(opened)
    while left:
        for lot_id in linked.get(left.pop(), ()):
            if lot_id not in lots:
                lots[lot_id] = None
                left.append(lot_id)
    return lots
