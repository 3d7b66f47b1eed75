"""Granting Connects: a lot of their own in one change, under a natural key that is used up by it."""

from datetime import datetime

from worker.domain.booking import Booking
from worker.domain.cards import by_trigger, sources
from worker.domain.decisions import Change, Fact, Facts, Subject, Verdict
from worker.domain.model import FreelancerId, Grant, JobId
from worker.domain.policy import Policy
from worker.domain.state import State
from worker.domain.triggers import Received


def grant(
    state: State, trigger: Received, policy: Policy, reason: str, connects: int, more: dict[str, Fact] | None = None
) -> Verdict:
    """Grant what an event earns, under the card of its rule; 0 Connects: nothing to do, and no natural key is used up.

    `more` are facts beside the Connects and what the card says that the rule is about.
    """
    card, event = by_trigger[trigger.topic], trigger.event
    named = card.facts_of(event)
    facts: dict[str, Fact] = {"connects": connects, **named}
    if more:
        facts |= more
    if not connects:
        return Verdict("declined", "nothing-to-do", card.id, facts)
    freelancer_id, job_id = FreelancerId(event.__dict__["freelancer_id"]), named.get("job_id")
    subject = Subject(freelancer_id, JobId(str(job_id)) if job_id else None)
    about = {name: str(value) for name, value in named.items()} if named else NOTHING
    key = card.natural_key(event.__dict__)
    at = event.occurred_at
    change = credit(state, subject, card.id, reason, key, connects, at, policy, trigger.seq, facts, about)
    return Verdict("applied", reason, card.id, facts, [change])


def credit(
    state: State,
    subject: Subject,
    rule: str,
    reason: str,
    natural_key: str,
    connects: int,
    at: datetime,
    policy: Policy,
    seq: int,
    facts: Facts,
    about: dict[str, str],
) -> Change:
    """Book Connects (1 or more) as a lot of their own. The caller has made sure that the natural key is not used up."""
    if subject.freelancer_id is None:
        raise AssertionError(f"{rule}: Connects for nobody")
    if rule not in sources:
        raise AssertionError(f"no card of {rule} says the source of its lots, and it grants {connects} Connects")
    booking = Booking(state, state.wallet(subject.freelancer_id))
    booking.credit(connects, sources[rule], at, policy.expiry_of(at))
    kept = state.keep_grant(Grant(rule, natural_key, subject.freelancer_id, at, connects, seq))
    return booking.close(at, rule, reason, policy, subject, facts, about, kept.recorded_key)


NOTHING: dict[str, str] = {}
"""The subject of a change that is about nothing but its wallet."""
