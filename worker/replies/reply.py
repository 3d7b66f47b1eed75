"""The reply to a question, as `--json` shows it and a page prints it; and a draft of it, before it is put together."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final, Literal, NamedTuple

import msgspec

Verdict = Literal["yes", "no", "partly", "not-yet", "nothing-due", "info", "unknown"]
What = Literal[
    "monthly",
    "renewal",
    "downgrade",
    "expiry",
    "charge-answer",
    "charge-lapses",
    "settlement",
    "client-closes",
    "removed",
    "hired",
    "job-expires",
    "withdrawn",
    "outbid",
    "limit-frees",
    "reopened-and-closed",
]
MOST_STANDING: Final = 3
MOST_WORDS: Final = 80
"""Words of a reply, besides a list of endings or proposals."""


class Next(msgspec.Struct, frozen=True):
    """Something that comes if nothing else happens; `on` is a day in UTC, or None where no day is known.

    `connects` is signed: what the person would get, or lose, then.
    """

    on: date | None
    what: What
    connects: int


class Standing(msgspec.Struct, frozen=True):
    """A standing answer of a topic, with the person's own values."""

    topic: str
    text: str


class Reply(msgspec.Struct, frozen=True):
    """What a person may be told: `reply` is ready to paste and begins with `headline`; `agent_only` is never pasted."""

    verdict: Verdict
    headline: str
    reply: str
    numbers: dict[str, int]
    next: list[Next]
    if_they_object: list[Standing]
    agent_only: list[str]


class Draft(NamedTuple):
    """A reply in its parts: the verdict, why, and what comes next; `endings` are lines between the last two.

    `topics` are those of the standing answers that fit. `paste` is False where there is no one person to tell.
    """

    verdict: Verdict
    headline: str
    why: str = ""
    then: str = ""
    endings: Sequence[str] = ()
    numbers: Mapping[str, int] = {}
    ahead: Sequence[Next] = ()
    topics: Sequence[str] = ()
    agent_only: Sequence[str] = ()
    paste: bool = True


def is_short(*said: str) -> bool:
    """Whether sentences are short enough to be one reply."""
    return len(" ".join(said).split()) <= MOST_WORDS


def with_more(draft: Draft, *said: str) -> Draft:
    """The same with more sentences at its end, those with which it is still short."""
    for sentence in said:
        then = f"{draft.then} {sentence}".strip()
        if is_short(draft.headline, draft.why, then):
            draft = draft._replace(then=then)
    return draft


def soonest_first(ahead: Iterable[Next]) -> list[Next]:
    """What comes, each once, in the order of `next`: by day, and what has no day last."""
    return sorted(dict.fromkeys(ahead), key=lambda one: (one.on is None, one.on or date.max))


def composed(draft: Draft, standing: Mapping[str, str]) -> Reply:
    """Put a draft together. `standing` has the standing answers, by topic."""
    parts = [draft.headline, draft.why, *(f"- {ending}" for ending in draft.endings), draft.then]
    words = [part for part in parts if part]
    fitting = [Standing(topic, standing[topic]) for topic in draft.topics if topic in standing]
    return Reply(
        draft.verdict,
        draft.headline,
        "\n".join(words) if draft.paste else "",
        dict(draft.numbers),
        soonest_first(draft.ahead),
        fitting[:MOST_STANDING],
        [*([] if draft.paste else words[1:]), *draft.agent_only],
    )
