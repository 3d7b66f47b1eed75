"""The reply to a question that no event is about: what happened to the person first, then the rule, then what comes."""

import re
from collections.abc import Iterator
from typing import Final

from worker.replies.known import Member
from worker.replies.reply import Next, Reply, Verdict
from worker.replies.theirs import own_answer
from worker.replies.topics import Asking, standing_answer
from worker.replies.writing import next_grant

_FIRST: Final = re.compile(r"^(.*?\.)(?=\s|$)", re.DOTALL)


def answer_about(topic: str, asking: Asking) -> Reply:
    """A standing answer as a reply; a person's own verdict goes first. `headline` is the first sentence."""
    text = standing_answer(topic, asking)
    own = own_answer(topic, asking)
    first = _FIRST.match(text)
    verdict: Verdict = "info"
    headline = text if first is None else first[1]
    if own is not None:
        verdict, headline = own.verdict, own.headline
        text = "\n".join(part for part in (own.headline, own.beside, text) if part)
    return Reply(
        verdict,
        headline,
        text,
        {} if asking.member is None else {"balance": asking.member.balance},
        list(_ahead(asking.member)),
        [],
        [] if asking.member is None else [f"freelancer {asking.member.freelancer_id}"],
    )


def _ahead(member: Member | None) -> Iterator[Next]:
    """What comes next, and what expires first."""
    if member is None:
        return
    coming = next_grant(member)
    if coming is not None:
        yield coming
    for lot in member.lots[:1]:
        yield Next(lot.expires_at.date(), "expiry", -lot.remaining)
