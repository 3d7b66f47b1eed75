"""The reply to a question that no event is about: the rule in a sentence or two, then the person's own values."""

import re
from collections.abc import Iterator
from typing import Final

from worker.replies.known import Member
from worker.replies.reply import Next, Reply
from worker.replies.topics import Asking, standing_answer
from worker.replies.writing import next_grant

_FIRST: Final = re.compile(r"^(.*?[.:])(?=\s|$)", re.DOTALL)


def answer_about(topic: str, asking: Asking) -> Reply:
    """A standing answer as a reply; `headline` is its first sentence."""
    text = standing_answer(topic, asking)
    first = _FIRST.match(text)
    return Reply(
        "info",
        text if first is None else first[1],
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
