"""Which decision is the verdict, and the reply that is composed of it: pure functions of recorded facts.

The same ledger gives the same reply, in whatever order its events came in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from worker.domain.rules.decides import AMENDED, DECIDE
from worker.domain.rules.replaces import REPLACE, REPLACED
from worker.domain.rules.undos import UNDO
from worker.domain.rules.voids import VOID, VOIDED
from worker.replies import charges, decides, grants, memberships, monthly, refunds, replaces, spends, undos, voids
from worker.replies.known import Known
from worker.replies.operators import OPERATORS
from worker.replies.people import about_person, expired_lately, is_of_late
from worker.replies.proposals import about_proposal
from worker.replies.recorded import DecisionRecord
from worker.replies.reply import Draft, Reply, Verdict, composed, is_short, with_more
from worker.replies.several import about_job
from worker.replies.topics import Asking, standing_answers
from worker.replies.wallets import about_wallet
from worker.replies.writing import About, Missing, Replies, day, first_up, grounds, in_a_row, sentences

TABLE: Final[Replies] = {
    **grants.REPLIES,
    **monthly.REPLIES,
    **charges.REPLIES,
    **memberships.REPLIES,
    **refunds.REPLIES,
    **spends.REPLIES,
    **voids.REPLIES,
    **undos.REPLIES,
    **replaces.REPLIES,
    **decides.REPLIES,
}
"""The reply to each reason of each rule."""
_STEPS: Final = frozenset(
    {
        "hire-noted",
        "settlement-pending",
        "already-closed",
        "withdrawal-is-not-refunded",
        "awaits-cycle-start",
        "unknown-charge",
        "unknown-proposal",
        "earnings-noted",
    }
)
"""Reasons of steps: no verdict, if something was decided beside them."""
_CORRECTIONS: Final = frozenset({(VOID, VOIDED), (REPLACE, REPLACED), (DECIDE, AMENDED)})
"""Corrections that say what stands for the event that they correct. What became of a replaced proposal is told as ever.
"""
CORRECTING: Final = frozenset({VOID, REPLACE, DECIDE, UNDO})
"""Rules of corrections: what they say of a decision counts instead of it."""
_ENTRIES: Final[Mapping[str, str]] = {"job-closed": "job", "hire-made": "job"}
_VERDICTS: Final[Mapping[str, Verdict]] = {
    "applied": "yes",
    "declined": "no",
    "withheld": "no",
    "rejected": "no",
    "parked": "not-yet",
    "duplicate": "nothing-due",
}
_BRING: Final = ("grant.interview", "grant.badge", "grant.certification", "membership.promo", "membership.upgrade")
"""Rules whose refusals people ask about without an id."""
_PAID: Final = frozenset({"charge-requested", "upgraded", "renewed", "paid-after-lapse"})
_MOST_REFUSED: Final = 3
_CHARGE: Final = frozenset(
    {"charge-requested", "charge-retried", "charge-failed", "upgraded", "renewed", "cycle-started", "paid-after-lapse"}
)


def reply_to(known: Known) -> Reply:
    """The reply to a question."""
    draft = _drafted(known)
    return with_standing(draft._replace(agent_only=[*draft.agent_only, *known.unread]), known)


def with_standing(draft: Draft, known: Known) -> Reply:
    """Put a draft together, with the standing answers that fit it."""
    applied = known.applied[0] if len(known.applied) == 1 else None
    decisions = known.of_the_person
    return composed(draft, standing_answers(Asking(known.policy, known.member, applied, decisions)))


def _drafted(known: Known) -> Draft:
    decisions = _first_of_repeats(known.decisions)
    if not decisions and not known.applied and not (known.asked == "freelancer" and known.member):
        return _nothing_found(known)
    stopped = [one for one in decisions if _is_stopped(one, decisions)]
    if stopped:
        return OPERATORS["failure-in-rule"](About(stopped[0], known))  # what follows waits behind it
    try:
        return _by_question(known, decisions)
    except Missing:
        if known.asked == "freelancer" and known.member is not None:
            return about_wallet(known.member, 0, 0)
        return as_recorded(decisions[-1])


def _by_question(known: Known, decisions: Sequence[DecisionRecord]) -> Draft:
    match known.asked:
        case "proposal":
            return _of_a_proposal(known, decisions)
        case "job":
            return about_job(known)
        case "freelancer":
            return _of_a_person(known)
        case _:
            draft = _of_an_event(known, decisions)
            return draft._replace(agent_only=[*draft.agent_only, *_of_several_topics(known, decisions)])


def _of_a_person(known: Known) -> Draft:
    """Where somebody's Connects are; what was lost or refused lately too, for that is what people ask about."""
    draft = about_person(known)
    refused = [one for one in known.decisions if _brought_nothing(one, known)]
    lately = [expired_lately(known), *(_in_short(one, known) for one in refused[-1:] if is_of_late(one, known))]
    draft = with_more(draft, *lately)
    links = [
        f"{_in_short(one, known)} A reply: connects explain {one.event_id}"
        for one in refused[: -_MOST_REFUSED - 1 : -1]
    ]
    return draft._replace(agent_only=[*draft.agent_only, *links])


def _brought_nothing(one: DecisionRecord, known: Known) -> bool:
    """Whether a decision is a refusal that no change shows, or a charge that failed and was not made good since."""
    if one.reason == "charge-failed":
        return not any(other.seq > one.seq and other.reason in _PAID for other in known.decisions)
    return one.outcome == "declined" and (one.rule or "").startswith(_BRING)


def _in_short(refused: DecisionRecord, known: Known) -> str:
    """A refusal as a sentence among others; an id at its beginning is not written larger."""
    said = of_decision(refused, known).headline.removeprefix("No: ")
    return first_up(said) if said.partition(" ")[0].isalpha() else said


def _of_a_proposal(known: Known, decisions: Sequence[DecisionRecord]) -> Draft:
    if known.applied:
        return about_proposal(known.applied[0], known)
    return of_decision(_verdict_of(decisions), known)


def _of_an_event(known: Known, decisions: Sequence[DecisionRecord]) -> Draft:
    mine = [one for one in decisions if one.event_id == known.key] or decisions
    first = mine[0]
    corrected = correction_of(first, decisions)
    if corrected is not None and (corrected.rule != REPLACE or not known.applied):
        return of_decision(corrected, known)
    if first.topic == "proposal-submitted" and known.applied and first.reason != "already-spent":
        return about_proposal(known.applied[0], known)
    if first.topic in _ENTRIES and known.applied:
        return about_job(replace(known, key=first.subject.get("job_id", known.key)))
    return of_decision(_later_of(_verdict_of(mine), known), known)


def _of_several_topics(known: Known, decisions: Sequence[DecisionRecord]) -> list[str]:
    """Say that messages of several topics have the id: a reply is about one of them."""
    topics = sorted({one.topic for one in decisions if one.event_id == known.key and one.topic is not None})
    if len(topics) < 2:  # noqa: PLR2004 - several
        return []
    about = f"{in_a_row(topics)} each have a message {known.key}, and this is about one of them"
    return [f"{about}: connects explain {known.key} --topic TOPIC tells of another"]


def last_word_on(first: DecisionRecord, known: Known) -> Draft:
    """The reply that a decision gives, or the correction of it that counts; `known` has what followed."""
    return of_decision(correction_of(first, known.decisions) or first, known)


def correction_of(first: DecisionRecord, decisions: Sequence[DecisionRecord]) -> DecisionRecord | None:
    """The correction of a decision, or the undo of one, that counts; None: it stands as it was taken."""
    if reversals := _reversals_of(first, decisions):
        return reversals[-1]
    corrections = [one for one in decisions if (one.rule, one.reason) in _CORRECTIONS and one.follows == first.seq]
    return corrections[-1] if corrections else None


def _reversals_of(first: DecisionRecord, decisions: Sequence[DecisionRecord]) -> list[DecisionRecord]:
    """The voids of a decision, and the undos of its corrections or of itself, in ledger order.

    Those before a correction that counts are left out: that one is the last word.
    """
    applied = [one for one in decisions if one.outcome == "applied"]
    undone = {one.follows for one in applied if one.rule == UNDO}
    mine = [one for one in applied if one.follows == first.seq and (one.rule, one.reason) in _CORRECTIONS]
    seqs = {first.seq, *(one.seq for one in mine)}
    found = [one for one in applied if one.rule == UNDO and one.follows in seqs]
    found += [one for one in mine if one.rule == VOID]
    last = max((one.seq for one in mine if one.rule != VOID and one.seq not in undone), default=0)
    return sorted((one for one in found if one.seq > last), key=lambda one: one.seq)


def of_decision(decision: DecisionRecord, known: Known) -> Draft:
    """The reply that a decision gives, or its recorded words where it has none (a rule that was added)."""
    reply = TABLE.get((decision.rule or "", decision.reason)) or OPERATORS.get(decision.reason)
    if reply is None:
        return as_recorded(decision)
    try:
        draft = reply(About(decision, known))
    except Missing:
        return as_recorded(decision)
    why = sentences(draft.why, paid_debts(decision))
    then = draft.then if is_short(draft.headline, why, draft.then) else ""
    return draft._replace(why=why, then=then, agent_only=[*draft.agent_only, grounds(decision)])


def paid_debts(decision: DecisionRecord) -> str:
    """How many of the Connects that came in paid for earlier proposals: the balance rose by them, and none is left."""
    came_in = (decision.rule or "").startswith(("grant.", "adjust", "membership."))
    paid = -sum(change.debt_delta for change in decision.changes if change.delta > 0 > change.debt_delta)
    if not came_in or not paid:
        return ""
    return f"{paid} of them paid for earlier proposals, which had cost more than you had then."


def as_recorded(decision: DecisionRecord) -> Draft:
    """The recorded words of a decision, with its day: of an old one that lacks facts, or a rule without a reply."""
    at = decision.occurred_at or decision.recorded_at
    verdict = _VERDICTS.get(decision.outcome, "info")
    return Draft(verdict, decision.explanation, f"That was on {day(at)}.", agent_only=[grounds(decision)])


def _first_of_repeats(decisions: Sequence[DecisionRecord]) -> list[DecisionRecord]:
    """Without repeats of the same message, if the first is there."""
    firsts = [one for one in decisions if one.outcome != "duplicate"]
    return firsts or list(decisions)


def _is_stopped(one: DecisionRecord, decisions: Sequence[DecisionRecord]) -> bool:
    """Whether a decision waits for a person: it is parked, and nothing followed it."""
    return one.outcome == "parked" and not any(other.follows == one.seq for other in decisions)


def _verdict_of(decisions: Sequence[DecisionRecord]) -> DecisionRecord:
    """The last that is not only a step; a parked one was followed by what it came to."""
    settled = [one for one in decisions if one.reason not in _STEPS and one.outcome != "parked"]
    return (settled or list(decisions))[-1]


def _later_of(one: DecisionRecord, known: Known) -> DecisionRecord:
    """What became of a charge: the last decision about it. Another decision stays as it is."""
    if one.reason not in {"charge-requested", "charge-retried"}:
        return one
    asked = _charge_of(one)
    later = [other for other in known.of_the_person if other.reason in _CHARGE and _charge_of(other) == asked]
    return max([one, *later], key=_seq)


def _charge_of(one: DecisionRecord) -> str:
    """A charge's id without its attempt."""
    return str(one.facts.get("charge_id")).rpartition(":")[0]


_seq: Callable[[DecisionRecord], int] = lambda one: one.seq  # noqa: E731


def _nothing_found(known: Known) -> Draft:
    """What was looked for, up to when it is read, and what to ask next."""
    kind = {"event": "id"}.get(known.asked, known.asked)
    read = (
        f"Everything up to {day(known.read_until)} is read." if known.read_until is not None else "Nothing is read yet."
    )
    looked = f"We looked for the {kind} {known.key}."
    if known.asked == "event":
        looked = f"We looked for {known.key} as the id of a message, a purchase, an adjustment and a charge."
    if known.elsewhere:
        there = known.elsewhere[0]
        return Draft(
            "unknown",
            f"{known.key} is a {there}: ask with connects explain --{there} {known.key}.",
            f"{read} {looked}",
        )
    return Draft(
        "unknown",
        f"We have nothing on record about the {kind} {known.key}.",
        f"{looked} {read}",
        "Ask about the freelancer, to see all of theirs: connects explain --freelancer ID.",
    )
