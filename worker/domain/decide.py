"""decide: one trigger in, its decisions out. No clock, no I/O, no setting."""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import cast

from schemas.base import InputEvent
from schemas.credits import ConnectsAdjusted
from schemas.proposals import ProposalSubmitted
from worker.domain.cards import Card
from worker.domain.decisions import Decision, Fact, Kind, Subject, Verdict
from worker.domain.model import Cause, FreelancerId, ProposalId, midnight
from worker.domain.policy import Policy, PolicyBook
from worker.domain.rule_catalogue import CLOCK_RULES, REASONS, RULES
from worker.domain.rules import corrections, cycles, decides, memberships, refunds, replaces, undos, voids
from worker.domain.rules.decides import Standing, ToAmend
from worker.domain.rules.expiry import EXPIRE
from worker.domain.rules.grants import ADJUST
from worker.domain.rules.undone import ToUndo
from worker.domain.rules.voids import ToVoid
from worker.domain.state import State
from worker.domain.triggers import CycleDue, ExpiryDue, Received, SettleAgain, SettlementDue


def subject_of(event: InputEvent) -> Subject:
    """The freelancer, job and proposal that an event names."""
    get = event.__dict__.get
    return Subject(get("freelancer_id"), get("job_id"), get("proposal_id"))


def decide_event(
    state: State, trigger: Received, policies: PolicyBook, payload: bytes | None, follows: int | None = None
) -> list[Decision]:
    """Decide an event; the list has its decision, then those of the events that waited for it.

    With `follows` the event was parked before and is decided now: a follow-up, whose payload is in the decision that
    it follows.
    """
    decision, following = decide_event_first(state, trigger, policies, payload, follows)
    return [decision, *following]


def decide_event_first(
    state: State, trigger: Received, policies: PolicyBook, payload: bytes | None, follows: int | None = None
) -> tuple[Decision, Iterable[Decision]]:
    """Decide an event as `decide_event` does; the events that waited for it are decided as the iterable is consumed."""
    event = trigger.event
    policy = policies.in_force(event.occurred_at)
    subject = subject_of(event)
    if subject.freelancer_id is not None:
        state.wallet(subject.freelancer_id)
    card, moved = RULES[trigger.topic], False
    if card.then == "membership-moves":
        verdict, moved = _membership_verdict(card, state, trigger, policies, may_wait=True)
    else:
        verdict = _verdict(card, state, trigger, policy)
        _name_policies_of_expiries(verdict, policies)
        if card.then == "membership-begins":
            _begin_membership(state, event, verdict, policy)
    kind: Kind = "first" if trigger.cause.added is None else "added"
    decision = _decision(trigger.seq, kind if follows is None else "follow-up", trigger.cause, subject, verdict, policy)
    decision.occurred_at = event.occurred_at
    decision.business_time = trigger.business_time
    decision.payload = payload
    decision.follows = follows
    if follows is None:
        decision.late_by_seconds = late_by_seconds(state, trigger)
    arrives = card.then == "proposal-arrives"
    if arrives and subject.proposal_id in state.awaiting and subject.proposal_id in state.spends:
        return decision, decide_awaited(state, subject.proposal_id, trigger.business_time, trigger.seq + 1, policies)
    if moved:
        freelancer_id = memberships.freelancer_of(event)
        return decision, _decide_held(state, freelancer_id, trigger.business_time, trigger.seq + 1, policies)
    return decision, ()


def decide_settlement(state: State, due: SettlementDue, policies: PolicyBook) -> Decision:
    """Decide one spend on a closed job, under the policy in force at the closing time."""
    closure, spend = due.closure, due.spend
    policy = policies.in_force(closure.closed_at)
    subject = Subject.of_spend(spend)
    verdict = cast("Verdict", CLOCK_RULES["settlement"].decide(state, due, policy))
    _name_policies_of_expiries(verdict, policies)
    decision = _decision(due.seq, "settlement", closure.cause, subject, verdict, policy)
    decision.occurred_at = closure.closed_at
    decision.business_time = due.due_at
    return decision


def decide_settling_again(state: State, due: SettleAgain, policies: PolicyBook) -> Decision:
    """Decide one spend again, by what is known of its job now, under the policy in force now: a correction.

    Whether a late hire or withdrawal takes refunds back is a matter of the policy in force when it happened.
    """
    spend, policy = due.spend, policies.in_force(due.instant)
    late = (None if due.late_hires else at for at in (due.job.first_hired_at, spend.withdrawn_at))
    keeps = corrections.Keeps(*(at is not None and policies.in_force(at).late_hire == "keep" for at in late))
    verdict, corrected_seq = corrections.settle_again(state, due, keeps, policy)
    subject = Subject.of_spend(spend)
    return _correction(due.seq, due.cause, subject, verdict, policy, due.instant, corrected_seq)


def decide_void(
    state: State, found: ToVoid, instant: datetime, seq: int, cause: Cause, policies: PolicyBook
) -> Decision:
    """Take back what a decision still does, under the policy in force now: a correction, whose cause is the command."""
    policy = policies.in_force(instant)
    verdict = voids.void(state, found, instant, seq, policy)
    return _correction(seq, cause, found.subject, verdict, policy, instant, found.seq)


def decide_undo(
    state: State, found: ToUndo, instant: datetime, seq: int, cause: Cause, policies: PolicyBook
) -> Decision:
    """Reverse a decision of a plan, under the policy in force now: a correction, whose cause is the command."""
    policy = policies.in_force(instant)
    verdict = undos.undo(state, found, instant, seq, policy)
    return _correction(seq, cause, found.subject, verdict, policy, instant, found.seq)


def decide_replace(
    state: State,
    found: ToVoid,
    right: Received,
    instant: datetime,
    policies: PolicyBook,
) -> Decision:
    """Book what a decision's event brings more or less by its right content, under the policy in force now.

    `right` has that content, with the place and the cause of the correction. What it is worth is a matter of the policy
    in force when it happened.
    """
    policy, event = policies.in_force(instant), right.event
    if isinstance(event, ProposalSubmitted):
        verdict = replaces.replace_spend(state, found, event, instant, policy)
    else:
        verdict = replaces.replace(state, found, _worth(found, right, policies), instant, policy)
    return _correction(right.seq, right.cause, found.subject, verdict, policy, instant, found.seq)


def _worth(found: ToVoid, right: Received, policies: PolicyBook) -> replaces.Worth:
    """What the event of a grant brings to a wallet that has nothing and was granted nothing yet."""
    event = right.event
    policy = policies.in_force(event.occurred_at)
    if found.rule == ADJUST:
        connects = cast("ConnectsAdjusted", event).connects
    else:
        nowhere = State(timedelta(0))
        verdict = _verdict(RULES[right.topic], nowhere, right, policy)
        connects = sum(change.delta for change in verdict.changes)
    return replaces.Worth(connects, policy.expiry_of(event.occurred_at))


def decide_amendment(
    state: State, what: ToAmend, standing: Standing, instant: datetime, seq: int, cause: Cause, policies: PolicyBook
) -> Decision:
    """Book what a decision's verdict differs from what stands, under the policy in force now: a correction."""
    policy = policies.in_force(instant)
    verdict = decides.amend(state, what, standing, instant, seq, policy)
    return _correction(seq, cause, what.subject, verdict, policy, instant, what.seq)


def decide_expiry(state: State, due: ExpiryDue, policies: PolicyBook) -> Decision:
    """Book a lot's expiry, under the policy in force when the lot was issued: its time was fixed then."""
    lot = due.lot
    policy = policies.in_force(lot.order.issued_at)
    verdict = cast("Verdict", CLOCK_RULES["expiry"].decide(state, due, policy))
    decision = _decision(due.seq, "clock", expiry_cause(lot.lot_id), Subject(lot.freelancer_id), verdict, policy)
    decision.occurred_at = lot.expires_at
    decision.business_time = due.due_at
    return decision


def decide_cycle(state: State, due: CycleDue, policies: PolicyBook) -> list[Decision]:
    """Decide a cycle start, each part under the policy in force at its own cycle start; then what waited for it.

    The decisions have consecutive seqs, from `due.seq` on.
    """
    decisions, following = decide_cycle_first(state, due, policies)
    return [*decisions, *following]


def decide_cycle_first(state: State, due: CycleDue, policies: PolicyBook) -> tuple[list[Decision], Iterable[Decision]]:
    """Decide a cycle start as `decide_cycle` does; events that waited are decided as the iterable is consumed."""
    membership = due.membership
    freelancer_id = membership.freelancer_id
    subject = Subject(freelancer_id)
    decisions: list[Decision] = []
    for what, day, verdict, policy in memberships.start_cycle(state, due, policies):
        cause = cycle_cause(freelancer_id, day) if what == "cycle" else renewal_cause(freelancer_id, day)
        decision = _decision(due.seq + len(decisions), "clock", cause, subject, verdict, policy)
        decision.occurred_at = midnight(day)
        decision.business_time = due.due_at
        decisions.append(decision)
    if state.held.get(freelancer_id):
        return decisions, _decide_held(state, freelancer_id, due.due_at, due.seq + len(decisions), policies)
    return decisions, ()


def decide_awaited(
    state: State, proposal_id: ProposalId, business_time: datetime | None, seq: int, policies: PolicyBook
) -> Iterator[Decision]:
    """Let withdrawals and outbids that came before their proposal count now; an outbid gets a follow-up.

    The follow-ups have consecutive seqs, from `seq` on.
    """
    spend = state.spends[proposal_id]
    for awaited in state.awaited_by(proposal_id):
        if not awaited.is_outbid:
            if (spend.freelancer_id, spend.job_id) == (awaited.freelancer_id, awaited.job_id):
                refunds.keep_withdrawal(state, spend, awaited.occurred_at)
            continue
        policy = policies.in_force(awaited.occurred_at)
        verdict = refunds.settle_outbid(state, awaited, business_time, policy)
        _name_policies_of_expiries(verdict, policies)
        subject = Subject(awaited.freelancer_id, awaited.job_id, awaited.proposal_id)
        decision = _decision(seq, "follow-up", awaited.cause, subject, verdict, policy)
        decision.occurred_at = awaited.occurred_at
        decision.business_time = business_time
        decision.follows = awaited.decision_seq
        yield decision
        seq += 1


def cycle_cause(freelancer_id: FreelancerId, day: date) -> Cause:
    """The instant of the clock at which a cycle starts; also the cause of a cycle start that is parked."""
    return Cause(None, f"cycle:{freelancer_id}:{day.isoformat()}")


def renewal_cause(freelancer_id: FreelancerId, day: date) -> Cause:
    """The instant of the clock at which Plus is renewed, or ends."""
    return Cause(None, f"renewal:{freelancer_id}:{day.isoformat()}")


def expiry_cause(lot_id: str) -> Cause:
    """The instant of the clock at which a lot's time is over."""
    return Cause(None, f"expiry:{lot_id}")


def late_by_seconds(state: State, trigger: Received) -> float | None:
    """How far business time was past the event when it was read; None within the grace."""
    if trigger.business_time is None or trigger.business_time <= trigger.event.occurred_at + state.grace:
        return None
    return (trigger.business_time - trigger.event.occurred_at).total_seconds()


def _verdict(card: Card, state: State, trigger: Received, policy: Policy) -> Verdict:
    """Call the rule, unless the card says that the event is refused, or its natural key is used up."""
    event = trigger.event
    if card.unless is not None and (refusal := card.unless(event, policy)) is not None:
        return refusal
    if card.repeat is not None:
        earlier = state.grant(card.id, card.natural_key(event.__dict__))
        if earlier is not None:
            before: dict[str, Fact] = {"granted_at": earlier.occurred_at, "connects": earlier.connects}
            return Verdict("declined", card.repeat, card.id, before | card.facts_of(event))
    return cast("Verdict", card.decide(state, event, trigger, policy))


def _name_policies_of_expiries(verdict: Verdict, policies: PolicyBook) -> None:
    """Let an expiry that follows a refund at once name the policy of its lot, as one by the clock does.

    A lot's time was fixed when it was issued; the refund's policy may be a later one.
    """
    for change in verdict.changes[1:]:
        if change.rule == EXPIRE:
            change.policy_version = policies.in_force(cast("datetime", change.facts["lot_issued_at"])).version


def _begin_membership(state: State, event: InputEvent, verdict: Verdict, policy: Policy) -> None:
    """A membership begins with the first freelancer-registered, whatever becomes of its grant (ours)."""
    membership = state.membership(memberships.freelancer_of(event))
    if membership.cycle_start is None:
        cycles.begin(state, membership, event.occurred_at.date(), policy)
        verdict.membership = cycles.update_of(membership, None, verdict.reason)


def _membership_verdict(
    card: Card, state: State, trigger: Received, policies: PolicyBook, *, may_wait: bool
) -> tuple[Verdict, bool]:
    """Apply the rule of a membership event, and publish what it changed.

    Return also whether it moved the next cycle start or made a charge: then held events may count.
    """
    if may_wait:
        waits = memberships.await_cycle_start(state, trigger)
        if waits is not None:
            return waits, False
    membership = state.membership(memberships.freelancer_of(trigger.event))
    before, next_renewal = cycles.seen(membership), membership.next_renewal
    verdict = cast("Verdict", card.decide(state, trigger.event, trigger, policies))
    verdict.membership = cycles.update_of(membership, before, verdict.reason)
    charge_is_known = verdict.charge is not None or verdict.reason == "upgraded"  # an upgrade for nothing asks nobody
    return verdict, charge_is_known or membership.next_renewal != next_renewal


def _decide_held(
    state: State, freelancer_id: FreelancerId, business_time: datetime | None, seq: int, policies: PolicyBook
) -> Iterator[Decision]:
    """Let the membership events that waited count now, each in a follow-up, by (occurred_at, ledger order).

    Whenever one of them moves the cycle or requests a charge, all that still waits is checked again.
    """
    while ready := memberships.ready(state, freelancer_id):
        for held in ready:
            state.let_go(held)
            trigger = Received(held.event, held.topic, held.cause, business_time, seq)
            verdict, moved = _membership_verdict(RULES[held.topic], state, trigger, policies, may_wait=False)
            policy = policies.in_force(held.event.occurred_at)
            decision = _decision(seq, "follow-up", held.cause, subject_of(held.event), verdict, policy)
            decision.occurred_at = held.event.occurred_at
            decision.business_time = business_time
            decision.follows = held.decision_seq
            yield decision
            seq += 1
            if moved:
                break


def _decision(seq: int, kind: Kind, cause: Cause, subject: Subject, verdict: Verdict, policy: Policy) -> Decision:
    """Make a decision of a verdict. Its reason and those of its changes are on the cards: no other has words.

    Raises:
        AssertionError: a reason is not on a card of its rule.
    """
    _check_reason(verdict.rule, verdict.reason)
    for change in verdict.changes:
        _check_reason(change.rule, change.reason)
    return Decision(
        seq,
        kind,
        cause,
        None,
        subject,
        verdict.outcome,
        verdict.reason,
        verdict.rule,
        policy.version,
        verdict.facts,
        None,
        changes=verdict.changes,
        membership=verdict.membership,
        charge=verdict.charge,
    )


def _correction(
    seq: int, cause: Cause, subject: Subject, verdict: Verdict, policy: Policy, at: datetime, corrected_seq: int
) -> Decision:
    """Make the decision of a correction: it counts from `at` on, and follows the decision that it corrects."""
    decision = _decision(seq, "correction", cause, subject, verdict, policy)
    decision.occurred_at = decision.business_time = at
    decision.follows = corrected_seq
    return decision


def _check_reason(rule: str, reason: str) -> None:
    known = REASONS.get(rule)
    if known is None or reason not in known:
        raise AssertionError(f"no card of {rule} has the reason {reason!r}")
