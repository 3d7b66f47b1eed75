"""Events that were given other content, as they were at a place in ledger order."""

import msgspec

from schemas.proposals import ProposalSubmitted
from schemas.reading import read_event
from worker.domain.model import Spend
from worker.domain.rules.spends import lines_of
from worker.ledger.store import FirstDecision


def said_before(first: FirstDecision, seq: int) -> FirstDecision:
    """The same without the content that the event was given later."""
    return first._replace(replaced=tuple(one for one in first.replaced if one[0] < seq))


def spend_as_of(spend: Spend, first: FirstDecision | None, seq: int) -> Spend:
    """A spend as the decision at that place found it: what it cost, and when it was made."""
    if first is None or not first.replaced:
        return spend
    event = read_event(first.topic, said_before(first, seq).stands)
    if not isinstance(event, ProposalSubmitted):
        return spend
    base, boost = lines_of(event)
    at, origin = event.occurred_at, event.origin
    return msgspec.structs.replace(spend, base=base, boost=boost, occurred_at=at, origin=origin)
