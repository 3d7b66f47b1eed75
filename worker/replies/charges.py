"""Replies about charges: what was asked of which source, what it brings, and what becomes of it."""

from typing import Final

from worker.replies.reply import Draft, Next
from worker.replies.writing import SOURCES, About, Replies, day, next_one_comes, sentences
from worker.words.phrases import connects

_NEXT_AGAIN: Final = "You can choose Plus again at any time."


def _source(about: About) -> str:
    return SOURCES.get(str(about.decision.facts.get("source")), "your payment method")


def _requested(about: About) -> Draft:
    member = about.known.member
    source = _source(about)
    amount, asked_on = about.amount(), about.on
    ahead = [Next(None, "charge-answer", about.number("connects"))] if about.has("connects") else []
    headline = f"Not yet: {amount} was asked of {source} on {asked_on} and is not paid yet."
    if about.decision.facts.get("charge") == "renewal":
        n, until = about.number("connects"), _lapses_on(about)
        begins = f"If it is not paid by {until}, you go to Basic." if until else ""
        return Draft(
            "not-yet",
            headline,
            f"Your {connects(n)} for the cycle of {about.day('cycle_start')} come in when it is. There is no separate "
            "free part.",
            begins,
            numbers={"amount_cents": about.number("amount_cents")},
            ahead=ahead,
            topics=["late", "split-payment", "monthly-day"],
            agent_only=[f"charge {about.text('charge_id')}"],
        )
    if member is not None and member.ahead and member.charge is not None:
        ahead = [Next(None, "charge-answer", member.ahead[0].connects)]
    return Draft(
        "not-yet",
        headline,
        "Your Connects come in when it is, and Plus begins then.",
        "Until then you are on Basic.",
        numbers={"amount_cents": about.number("amount_cents")},
        ahead=ahead or [Next(None, "charge-answer", 0)],
        topics=["upgrade-amount", "split-payment"],
        agent_only=[f"charge {about.text('charge_id')}"],
    )


def _lapses_on(about: About) -> str:
    facts = about.decision.facts
    if about.has("next_renewal"):
        return day(facts["next_renewal"])
    member = about.known.member
    if member is None or member.membership is None or member.membership.next_renewal is None:
        return ""
    return day(member.membership.next_renewal)


def _retried(about: About) -> Draft:
    member = about.known.member
    brings = member.ahead[0].connects if member is not None and member.charge is not None and member.ahead else 0
    comes = f"If it is paid, your {connects(brings)} come in" if brings else "If it is paid, your Connects come in"
    renewal = about.decision.facts.get("charge") == "renewal"
    fails = "if it fails too, you go to Basic" if renewal else "if it fails too, you stay on Basic"
    return Draft(
        "not-yet",
        f"Not yet: {about.amount()} could not be taken from your earnings on {about.day('failed_at')}, so we asked "
        "your payment method.",
        "It is always the whole amount from one source.",
        f"{comes}; {fails}.",
        numbers={"amount_cents": about.number("amount_cents")},
        ahead=[Next(None, "charge-answer", brings)],
        topics=["split-payment", "failed-payment"],
        agent_only=[f"charge {about.text('charge_id')}"],
    )


def _failed(about: About) -> Draft:
    if about.has("lapsed"):
        return _lapsed(about)
    amount, failed_on = about.amount(), about.day("failed_at")
    agent = [f"charge {about.text('charge_id')}; why the source refused is not known here"]
    member = about.known.member
    topics = ["failed-payment", "split-payment"]
    again = _again(about)
    if about.decision.facts.get("charge") != "renewal":
        source = _source(about)
        keep = f" and keep your {connects(member.balance)}" if member is not None else ""
        stays = f"Nothing changed: you are on Basic{keep}." if _is_basic(about) else "Nothing changed then."
        return Draft(
            "no",
            f"No: your upgrade to Plus did not go through, because {amount} could not be taken from {source} on "
            f"{failed_on}.",
            stays,
            again,
            numbers={"amount_cents": about.number("amount_cents")},
            topics=topics,
            agent_only=agent,
        )
    then, ahead = next_one_comes(member)
    asked = f"{amount} was asked of {_source(about)}"
    failed = f"{asked}, which failed on {failed_on}; we do not try again."
    if about.decision.facts.get("attempt") == 2:  # noqa: PLR2004 - the last
        failed = (
            f"{amount} was asked of your earnings first and then of your payment method; both failed, and we do not "
            "try again."
        )
    brought = (
        "" if not about.has("connects") else f"You got Basic's {connects(about.number('connects'))} for this cycle."
    )
    if about.has("withheld"):
        brought = "Your account was suspended, so this cycle brought no monthly Connects."
    return Draft(
        "no",
        f"No: your Plus renewal of {about.day('cycle_start')} could not be paid, so you are on Basic since that day.",
        sentences(failed, brought),
        sentences(again, f"You keep your {connects(member.balance)}." if member is not None else "", then),
        numbers={"amount_cents": about.number("amount_cents")},
        ahead=ahead,
        topics=topics,
        agent_only=agent,
    )


def _again(about: About) -> str:
    return "You can choose Plus again when the suspension is lifted." if about.has("suspended") else _NEXT_AGAIN


def _is_basic(about: About) -> bool:
    member = about.known.member
    return member is not None and member.membership is not None and member.membership.plan == "basic"


def _lapsed(about: About) -> Draft:
    began, over = about.day("cycle_start"), about.day("lapsed_on")
    then, ahead = next_one_comes(about.known.member)
    return Draft(
        "no",
        f"No: your Plus renewal of {began} was not paid by {over}, so you are on Basic since {began}.",
        f"{about.amount()} was asked of {_source(about)}, and a charge without an answer by then counts as failed.",
        sentences("If it is paid after all, its Connects come in then, and your plan stays as it is.", then),
        numbers={"amount_cents": about.number("amount_cents")},
        ahead=ahead,
        topics=["paid-late", "failed-payment"],
        agent_only=[f"charge {about.text('charge_id')}"],
    )


def _answered_before(about: About) -> Draft:
    how = {
        "paid": "it was paid",
        "failed": "it had failed",
        "lapsed": "it counts as failed, because the next cycle had begun",
    }.get(str(about.decision.facts.get("status")), "it had been answered")
    return Draft(
        "nothing-due",
        f"Nothing more came of the charge of {about.amount()} on {about.on}: {how} before.",
        "It was reported to us a second time, and that changed nothing for you.",
        _NEXT_AGAIN if _is_basic(about) else "",
        numbers={"amount_cents": about.number("amount_cents")},
        topics=["split-payment"],
        agent_only=[f"charge {about.text('charge_id')}"],
    )


def _unknown_charge(about: About) -> Draft:
    return Draft(
        "not-yet",
        f"Not yet: a payment of yours was reported on {about.on}, before we had asked for it.",
        "It counts as soon as we ask for that charge.",
        "You do not have to do anything.",
        ahead=[Next(None, "charge-answer", 0)],
        agent_only=[f"charge {about.text('charge_id')}"],
    )


REPLIES: Final[Replies] = {
    ("membership.upgrade", "charge-requested"): _requested,
    ("membership.upgrade", "charge-retried"): _retried,
    ("membership.upgrade", "charge-failed"): _failed,
    ("membership.upgrade", "charge-already-settled"): _answered_before,
    ("membership.renewal", "charge-requested"): _requested,
    ("membership.renewal", "charge-retried"): _retried,
    ("membership.renewal", "charge-failed"): _failed,
    ("membership.renewal", "charge-already-settled"): _answered_before,
    ("membership.charge", "unknown-charge"): _unknown_charge,
}
