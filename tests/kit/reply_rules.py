"""What every reply keeps, whatever the ledger holds: the rules that `reply` of `--json` is tested by."""

import re
from collections.abc import Collection, Iterator
from typing import Final

from worker.replies.reply import MOST_STANDING, MOST_WORDS, Reply

FORBIDDEN: Final = re.compile(
    r"\b(granted|withheld|recorded|noted|settlement|decision|lot|lots|version|cause|attempt|event|policy"
    r"|business time|clawed|decline)\b",
    re.IGNORECASE,
)
NUMBER: Final = re.compile(r"(?<![\w-])-?\$?\d+(?:\.\d\d)?(?![\w-])")
DOORS: Final = (
    *("if ", "when ", "unless", "would", "From ", "only an offer", "keeps", "stay", "Nothing", "come", "With "),
    *("again", "each cycle", "Only ", "brings", "judged by itself"),
)
"""What a `no` has: what would have helped, when it counts again, or that nothing about it will change."""
_OF_A_SUM: Final = frozenset({"spent", "back", "kept"})


def broken_rules(reply: Reply, *, others: Collection[str] = (), of_several: bool = False) -> list[str]:
    """Which rules a reply breaks, in words; `others` are the freelancers that it is not about.

    `of_several`: it is about a job that several people applied to, and has nothing to paste.
    """
    return [*_of_its_form(reply, of_several=of_several), *_of_its_numbers(reply), *_of_others(reply, others)]


def _of_its_form(reply: Reply, *, of_several: bool) -> Iterator[str]:
    whole = reply.reply
    if not whole.startswith(reply.headline) and not (of_several and not whole):
        yield "it does not begin with its headline"
    lines = [line for line in whole.splitlines() if not line.startswith("- ")]
    if (words := len(" ".join(lines).split())) > MOST_WORDS:
        yield f"it has {words} words"
    if (found := FORBIDDEN.search(whole)) is not None:
        yield f"it has our word {found[0]!r}"
    if reply.verdict == "no" and whole and not any(door in whole.partition("\n")[2] for door in DOORS):
        yield "its no has no door"
    if reply.verdict == "not-yet" and not reply.next:
        yield "nothing comes, though it is not decided yet"
    days = [ahead.on for ahead in reply.next if ahead.on is not None]
    if [ahead.on for ahead in reply.next] != [*sorted(days), *[None] * (len(reply.next) - len(days))]:
        yield "what comes is not in order"
    if len({(ahead.on, ahead.what) for ahead in reply.next}) < len(reply.next):
        yield "what comes is told twice"
    if len(reply.if_they_object) > MOST_STANDING or any(one.text in whole for one in reply.if_they_object):
        yield "there are too many standing answers, or the reply has one already"


def _of_its_numbers(reply: Reply) -> Iterator[str]:
    numbers = reply.numbers
    if not numbers.keys().isdisjoint(_OF_A_SUM) and (
        not numbers.keys() >= {*_OF_A_SUM, "open"}
        or numbers["spent"] != numbers["back"] + numbers["kept"] + numbers["open"]
    ):
        yield f"its sum does not close: {numbers}"
    told = {said.lstrip("-") for said in NUMBER.findall(reply.reply)}
    for name, number in numbers.items() if reply.reply else ():
        said = f"${number / 100:.2f}" if name == "amount_cents" else str(abs(number))
        if number and said not in told:
            yield f"it does not say {name} {number}"


def _of_others(reply: Reply, others: Collection[str]) -> Iterator[str]:
    for text in (reply.headline, reply.reply, *(one.text for one in reply.if_they_object)):
        for named in set(re.findall(r"[A-Za-z0-9._:-]*[A-Za-z0-9]", text)) & set(others):
            yield f"it names {named}"
