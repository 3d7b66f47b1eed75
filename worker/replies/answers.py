"""The reply to a question that no event is about: what happened to the person first, then the rule, then what comes."""

import re
from typing import Final, NamedTuple

from worker.replies.known import Member
from worker.replies.reply import Next, Reply, Verdict, is_short, soonest_first
from worker.replies.theirs import own_answer
from worker.replies.topics import Asking, standing_answer
from worker.replies.writing import expiries, next_grant, sentences

_FIRST: Final = re.compile(r"^(.*?\.)(?=\s|$)", re.DOTALL)


class _Answer(NamedTuple):
    """An answer in words, with what comes by the person's own verdict."""

    verdict: Verdict
    headline: str
    text: str
    ahead: tuple[Next, ...] = ()


def answer_about(topic: str, asking: Asking) -> Reply:
    """A standing answer as a reply; a person's own verdict goes first. `headline` is the first sentence."""
    answer, member = _answer(topic, asking), asking.member
    return Reply(
        answer.verdict,
        answer.headline,
        answer.text,
        {} if member is None or not _says_balance(answer, topic, asking, member) else {"balance": member.balance},
        soonest_first([*answer.ahead, *_ahead(member)]),
        [],
        [] if member is None else [f"freelancer {member.freelancer_id}"],
    )


def _answer(topic: str, asking: Asking) -> _Answer:
    text = standing_answer(topic, asking)
    own = own_answer(topic, asking)
    if own is not None:
        beside = sentences(own.beside, own.ending)
        beside = beside if is_short(own.headline, beside, text) else own.ending
        whole = "\n".join(part for part in (own.headline, beside, text) if part)
        return _Answer(own.verdict, own.headline, whole, tuple(own.ahead))
    first = _FIRST.match(text)
    return _Answer("info", text if first is None else first[1], text)


def _says_balance(answer: _Answer, topic: str, asking: Asking, member: Member) -> bool:
    """Whether the balance stands in an answer: it would read otherwise with another. No other number is counted."""
    richer = asking._replace(member=member._replace(balance=member.balance + 1))
    return _answer(topic, richer).text != answer.text


def _ahead(member: Member | None) -> list[Next]:
    """What comes next, and what expires first."""
    if member is None:
        return []
    coming = next_grant(member)
    return [*([] if coming is None else [coming]), *expiries(member)[:1]]
