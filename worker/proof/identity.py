"""Looking up whatever a chunk of decisions names that is global, or that the decisions themselves do not say.

Event ids, natural keys and proposal ids belong to the decision that came first, in whatever part of the ledger. The
lots that a change opened and the charge that a decision requested are in tables of their own.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from schemas.reading import InvalidEvent, read_event
from worker.domain.cards import ALREADY_GRANTED, Need
from worker.domain.model import ChargeId, ChargeKey, FreelancerId, LotId, ProposalId
from worker.domain.rule_catalogue import RULES
from worker.ledger.event_key import seen_key
from worker.ledger.tables import ChangeRow
from worker.proof.parts import Part, Reader
from worker.proof.recorded import Recorded, movements_of
from worker.proof.replaced import said_before, spend_as_of
from worker.proof.unreadable import in_words

_GLOBAL_KEYS: Final = frozenset(
    topic
    for topic, card in RULES.items()
    if card.repeat is not None and card.once_per is not None and "freelancer_id" not in card.once_per.fields
)
"""Topics whose natural key does not name the freelancer: whoever comes first has it."""
_USE_AN_ID: Final = frozenset({"first", "added"})
"""Kinds of decisions on events themselves."""
_ABOUT_PROPOSALS: Final = frozenset(topic for topic, card in RULES.items() if Need.PROPOSAL in card.needs)


_NEVER: Final = 2**63
"""A place in ledger order that no decision has."""


class _NamesCharge(msgspec.Struct):
    charge_id: str | None = None


_charge_in: Final = msgspec.json.Decoder(_NamesCharge)


async def look_up(decisions: Sequence[Recorded], parked: Mapping[int, Recorded], reader: Reader, part: Part) -> None:
    """Fill in what the ledger says of whatever these decisions name. `parked` has those before them that wait."""
    await _event_ids(decisions, reader)
    await _lots(decisions, reader)
    await _charges(decisions, reader)
    amended = await reader.amended([one.row.seq for one in decisions]) if decisions else {}
    for one in decisions if amended else ():
        one.amended = amended.get(one.row.seq)
    if not part.is_whole:
        waiting = {one.row.seq: one for one in decisions if one.row.outcome == "parked"}
        await _natural_keys(decisions, {**parked, **waiting}, reader)
        await _proposals(decisions, reader)


async def _event_ids(decisions: Sequence[Recorded], reader: Reader) -> None:
    """Who was first to use each event id. Rejected records use none up, but for those that were refused for theirs."""
    named: list[tuple[str, Recorded]] = []
    for one in decisions:
        row = one.row
        if row.kind in _USE_AN_ID and row.topic is not None and row.event_id is not None and uses_event_id(one):
            named.append((seen_key(row.topic, row.event_id), one))
    others = await reader.seen_by_others([(key, one.row.seq) for key, one in named]) if named else {}
    wanted = sorted({seq for seq in others.values() if seq is not None})
    firsts = await reader.first_decisions(wanted) if wanted else {}
    for place, seq in others.items():
        one = named[place][1]
        one.id_is_known = seq is not None and seq <= one.row.seq
        if seq is not None and seq < one.row.seq:
            one.first = None if (first := firsts.get(seq)) is None else said_before(first, one.row.seq)


def uses_event_id(recorded: Recorded) -> bool:
    """Whether the decision depends on who was first to use its event id."""
    return recorded.row.outcome != "rejected" or recorded.row.reason == "event-id-conflict"


async def _lots(decisions: Sequence[Recorded], reader: Reader) -> None:
    """The lots that changes opened."""
    opened: dict[LotId, Recorded] = {}
    wanted: list[tuple[FreelancerId, LotId]] = []
    for one in decisions:
        for change in one.changes:
            try:
                found = lots_opened(change)
            except ValueError as error:
                one.damage = f"its changes cannot be read: {in_words(error)}"
                continue
            for lot_id in found:
                opened[lot_id] = one
                wanted.append((change.freelancer_id, lot_id))
    for lot in await reader.lots(wanted) if wanted else ():
        opened[lot.lot_id].lots[lot.lot_id] = lot


def lots_opened(change: ChangeRow) -> list[LotId]:
    """The ids of the lots that a change opened: they are named after its version."""
    name = f"{change.freelancer_id}:{change.version}"
    if change.delta < 0 and f'"{name}' not in change.movements:
        return []
    moved = dict.fromkeys(lot for lot, *_ in movements_of(change) if lot is not None)
    return [LotId(lot) for lot in moved if is_opened_by(lot, change.freelancer_id, change.version)]


def is_opened_by(lot_id: str, freelancer_id: FreelancerId, version: int) -> bool:
    """Whether that version of a wallet opened a lot: the first one has its name, others have a number after it."""
    name = f"{freelancer_id}:{version}"
    return lot_id.startswith(name) and (len(lot_id) == len(name) or lot_id[len(name)] == ".")


async def _charges(decisions: Sequence[Recorded], reader: Reader) -> None:
    """The charges that decisions about memberships name."""
    named: dict[ChargeKey, list[Recorded]] = {}
    for one in decisions:
        row = one.row
        if row.freelancer_id is None or '"charge_id"' not in row.facts:
            continue
        try:
            charge_id = _charge_in.decode(row.facts).charge_id
        except ValueError as error:
            one.damage = f"its facts cannot be read: {in_words(error)}"
            continue
        if charge_id is not None:
            named.setdefault(ChargeKey(row.freelancer_id, ChargeId(charge_id)), []).append(one)
    for charge in await reader.charges(list(named)) if named else ():
        for one in named[charge.key]:
            one.charge = charge


async def _natural_keys(decisions: Sequence[Recorded], parked: Mapping[int, Recorded], reader: Reader) -> None:
    """The grant under each natural key that is not the freelancer's own, of events that it was granted before."""
    named: dict[tuple[str, str], list[Recorded]] = {}
    for one in decisions:
        row = one.row
        if row.topic not in _GLOBAL_KEYS or row.reason != ALREADY_GRANTED:
            continue
        waited = None if row.follows is None else parked.get(row.follows)
        try:
            one.event = read_event(row.topic, row.payload if waited is None else waited.row.payload)
        except InvalidEvent as error:
            one.damage = f"its event cannot be read: {in_words(error)}"
            continue
        card = RULES[row.topic]
        named.setdefault((card.id, card.natural_key(one.event.__dict__)), []).append(one)
    for grant in await reader.grants(list(named)) if named else ():
        for one in named[grant.rule, grant.natural_key]:
            # Of several, all but the last were voided: the one that stood then is the last before it.
            if grant.decision_seq < one.row.seq and (one.grant is None or grant.decision_seq > one.grant.decision_seq):
                one.grant = grant


async def _proposals(decisions: Sequence[Recorded], reader: Reader) -> None:
    """The spend of each proposal that is named by a decision which did not make it."""
    named: dict[ProposalId, list[Recorded]] = {}
    for one in decisions:
        row = one.row
        made_it = row.topic == "proposal-submitted" and row.outcome in {"applied", "recorded"}
        if row.topic in _ABOUT_PROPOSALS and row.proposal_id is not None and not made_it:
            named.setdefault(row.proposal_id, []).append(one)
    if not named:
        return
    by_whom = {(name, one.row.freelancer_id or ""): None for name, those in named.items() for one in those}
    present = [(spend, _NEVER) for spend in await reader.others_spends(list(by_whom))]
    spends = [*present, *await reader.voided_spends(list(named))]
    firsts = await reader.first_decisions(sorted({spend.decision_seq for spend, _ in spends})) if spends else {}
    for spend, voided_by in spends:
        for one in named[spend.proposal_id]:
            if spend.freelancer_id != one.row.freelancer_id and spend.decision_seq < one.row.seq < voided_by:
                try:
                    one.spend = spend_as_of(spend, firsts.get(spend.decision_seq), one.row.seq)
                except InvalidEvent as error:
                    one.damage = f"the event of its proposal cannot be read: {in_words(error)}"
