"""Words for grants, and for events that bring no Connects."""

from collections.abc import Mapping
from typing import Final

from worker.domain.decisions import Facts, Subject
from worker.words.operators import Words
from worker.words.phrases import connects, counted, money, named, sentence, the_job
from worker.words.shared import insufficient_balance, nothing_to_do, repeats, size


def _registered(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"{connects(facts.get('connects'))} granted for registering."


def _badge_earned(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"{connects(facts.get('connects'))} granted for the badge {facts.get('badge', 'that was earned')}."


def _no_award_for_badge(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"Nothing granted: the badge{named(facts, 'badge')} brings no Connects."


def _certified(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"{connects(facts.get('connects'))} granted for the certification{named(facts, 'certification_id')}."


def _not_a_skill_certification(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return (
        f"Nothing granted:{named(facts, 'certification_id') or ' this'} is a learning path. "
        "Only skill certifications bring Connects."
    )


def _interview_won(_outcome: str, subject: Subject, facts: Facts) -> str:
    words = f"{connects(facts.get('connects'))} granted: the interview for {the_job(subject)} was won with a proposal."
    if "cut_to_cap" not in facts:
        return words
    return (
        f"{words} It would have been {facts.get('award', 'more')}, but interviews bring at most {facts.get('cap')} "
        f"Connects in {_window(facts)}, and {facts.get('granted')} had been granted already."
    )


def _interview_from_invitation(_outcome: str, subject: Subject, _facts: Facts) -> str:
    return (
        f"Nothing granted: the interview for {the_job(subject)} came from an invitation. "
        "Only interviews won with a proposal bring Connects."
    )


def _client_not_established(_outcome: str, subject: Subject, facts: Facts) -> str:
    client = f"Nothing granted: the client of {the_job(subject)} had"
    spent = facts.get("client_spent_cents")
    if facts.get("client_hires") != 0 and isinstance(spent, int) and spent > 0:
        return f"{client} spent {money(spent, None)} before, which is not enough for an interview to bring Connects."
    lacking = "hired anybody" if facts.get("client_hires") == 0 else "spent anything"
    return f"{client} not {lacking} before. Interviews bring Connects when the client has hired and paid somebody."


def _weekly_cap(_outcome: str, subject: Subject, facts: Facts) -> str:
    return (
        f"Nothing granted for the interview for {the_job(subject)}: interviews bring at most "
        f"{connects(facts.get('cap'))} in {_window(facts)}, "
        f"and {facts.get('granted', 'that many')} were granted already."
    )


def _window(facts: Facts) -> str:
    return counted(facts["days"], "day") if "days" in facts else "a number of days"


def _purchased(_outcome: str, _subject: Subject, facts: Facts) -> str:
    return f"{connects(facts.get('connects'))} bought with purchase{named(facts, 'purchase_id')}."


def _adjusted(_outcome: str, _subject: Subject, facts: Facts) -> str:
    amount = facts.get("connects")
    taken = isinstance(amount, int) and amount < 0
    note = sentence(facts.get("note"))
    words = f"{size(facts)} {'taken off' if taken else 'added'} by {facts.get('actor', 'support')}"
    return f"{words}: {note}" if note else f"{words}."


WORDS: Final[Mapping[str, Mapping[str, Words]]] = {
    "grant.registration": {
        "registered": _registered,
        "nothing-to-do": nothing_to_do,
        "already-granted": repeats("registering"),
    },
    "grant.badge": {
        "badge-earned": _badge_earned,
        "no-award-for-badge": _no_award_for_badge,
        "already-granted": repeats("the badge", "badge"),
    },
    "grant.certification": {
        "certified": _certified,
        "nothing-to-do": nothing_to_do,
        "not-a-skill-certification": _not_a_skill_certification,
        "already-granted": repeats("the certification", "certification_id"),
    },
    "grant.interview": {
        "interview-won": _interview_won,
        "interview-from-invitation": _interview_from_invitation,
        "client-not-established": _client_not_established,
        "weekly-cap": _weekly_cap,
        "already-granted": repeats("the interview for job", "job_id"),
    },
    "grant.purchase": {
        "purchased": _purchased,
        "nothing-to-do": nothing_to_do,
        "already-granted": repeats("purchase", "purchase_id"),
    },
    "adjust": {
        "adjusted": _adjusted,
        "nothing-to-do": nothing_to_do,
        "insufficient-balance": insufficient_balance,
        "already-granted": repeats("adjustment", "adjustment_id"),
    },
}
