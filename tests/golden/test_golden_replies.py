"""Every reply that is recorded is the one that is composed now, and has what every reply must have."""

import asyncio
import re
from collections import Counter

import pytest

from tests.golden.replies import (
    REASONS,
    STORIES,
    TICKETS_TOLD,
    Recorded,
    as_text,
    of_cases,
    of_reasons,
    of_stories,
    of_tickets,
    to_questions,
    to_tickets,
)
from tests.golden.reply_stories import decide_stories
from tests.golden.ticket_stories import decide_tickets
from tests.kit.reply_rules import FORBIDDEN, NUMBER, broken_rules
from worker.domain.cards import sources
from worker.domain.rule_catalogue import REASONS as OF_CARDS
from worker.queries.asking import snapshot
from worker.replies.answers import answer_about
from worker.replies.compose import TABLE
from worker.replies.months import kind_of
from worker.replies.operators import OPERATORS
from worker.replies.several import outcomes, sums
from worker.replies.topics import Asking
from worker.replies.writing import how_they_came
from worker.words.operators import OPERATOR_WORDS
from worker.words.phrases import day

HOW_TO = "Was that meant? Then `python -m tests.golden.replies`, and read what git says."
DATE = re.compile(
    r"\b\d{1,2} (?:January|February|March|April|May|June|July|August|September|October|November|December) \d{4}"
)
VERDICTS = {
    "yes": r"(Yes|All |You got)",
    "no": r"(No|None|You missed)",
    "partly": r"Partly",
    "not-yet": r"(Not yet|Not decided yet|You paid once)",
    "nothing-due": r"(Nothing|It counts once|You paid once)",
    "info": r"(You |Your |Somebody |Support |This |In \w+ \d{4} your |Nothing changed in |\d+ more come )",
    "unknown": r"(We have nothing|\S+ is a )",
}


@pytest.fixture(scope="module")
def stories() -> list[Recorded]:
    return asyncio.run(of_stories())


@pytest.fixture(scope="module")
def reasons() -> list[Recorded]:
    return asyncio.run(of_reasons())


@pytest.fixture(scope="module")
def tickets() -> list[Recorded]:
    return asyncio.run(of_tickets())


@pytest.fixture(scope="module")
def everything(stories: list[Recorded], reasons: list[Recorded], tickets: list[Recorded]) -> list[Recorded]:
    return [*stories, *reasons, *tickets]


def test_every_reply_to_a_question_is_the_recorded_one(stories: list[Recorded]) -> None:
    assert as_text(stories) == STORIES.read_text(encoding="utf-8"), HOW_TO


async def test_every_reply_is_the_recorded_one_on_postgresql_too(database_url: str) -> None:
    await decide_stories(database_url)
    async with snapshot(database_url) as connection:
        assert as_text(await to_questions(connection)) == STORIES.read_text(encoding="utf-8")


def test_every_reply_to_a_ticket_is_the_recorded_one(tickets: list[Recorded]) -> None:
    assert as_text(tickets) == TICKETS_TOLD.read_text(encoding="utf-8"), HOW_TO


async def test_every_reply_to_a_ticket_is_the_recorded_one_on_postgresql_too(database_url: str) -> None:
    await decide_tickets(database_url)
    async with snapshot(database_url) as connection:
        assert as_text(await to_tickets(connection)) == TICKETS_TOLD.read_text(encoding="utf-8")


def test_every_reply_to_a_reason_is_the_recorded_one(reasons: list[Recorded]) -> None:
    assert as_text(reasons) == REASONS.read_text(encoding="utf-8"), HOW_TO


def test_every_reason_on_a_card_has_a_reply_and_a_recorded_one(reasons: list[Recorded]) -> None:
    of_cards = {(rule, reason) for rule, reasons in OF_CARDS.items() for reason in reasons}
    assert set(TABLE) == of_cards
    assert set(OPERATORS) == set(OPERATOR_WORDS)
    titles = [one.title for one in reasons]
    seen = {(title.split()[0], title.rpartition("/")[2].split()[0]) for title in titles}
    assert of_cards <= seen, sorted(of_cards - seen)
    assert set(OPERATORS) <= {reason for _, reason in seen}


def test_every_rule_that_brings_connects_says_so_to_the_person() -> None:
    for rule, source in sources.items():
        assert kind_of(rule, came_in=True) != rule, f"name what {rule} brings in a month: worker/replies/months.py"
        assert how_they_came(source) != f"as {source}", f"say how {source!r} brought them: worker/replies/writing.py"


def pasted(one: Recorded) -> str:
    """What would be pasted; of a job that several people applied to, its first sentence and what the agent reads."""
    return one.reply.reply or one.reply.headline


def failures(everything: list[Recorded], holds: object) -> list[str]:
    assert callable(holds)
    return [f"{one.title}\n{pasted(one)}" for one in everything if not holds(one)]


def test_the_first_sentence_is_the_verdict(everything: list[Recorded]) -> None:
    assert not failures(everything, lambda one: re.match(VERDICTS[one.reply.verdict], one.reply.headline))
    assert not failures(everything, lambda one: one.reply.headline.endswith((".", one.known.key)))


def test_every_reply_has_a_date(everything: list[Recorded]) -> None:
    whole = [one for one in everything if one.reply.reply and "--month" not in one.title]
    assert not failures(whole, lambda one: DATE.search(pasted(one)))


def test_every_reply_speaks_to_the_person(everything: list[Recorded]) -> None:
    whole = [one for one in everything if one.reply.reply and one.reply.verdict != "unknown"]
    assert not failures(whole, lambda one: re.search(r"\b(you|your|yours)\b", pasted(one), re.IGNORECASE))


def test_no_reply_has_a_word_of_ours_or_the_id_of_a_rule(everything: list[Recorded]) -> None:
    names = [name for name in {*OF_CARDS, *(reason for _, reason in TABLE)} if "-" in name or "." in name]
    ids = re.compile(rf"\b({'|'.join(map(re.escape, names))})\b")
    assert not failures(everything, lambda one: not ids.search(pasted(one)))
    for one in everything:
        for standing in one.reply.if_they_object:
            assert not FORBIDDEN.search(standing.text), standing


def test_every_reply_keeps_the_rules(everything: list[Recorded]) -> None:
    for one in everything:
        of_several = len({applied.freelancer_id for applied in one.known.applied}) > 1
        assert not broken_rules(one.reply, of_several=of_several), (one.title, pasted(one))
        assert len(one.reply.headline.split()) <= 30, one.title


def test_no_sentence_stands_twice(everything: list[Recorded]) -> None:
    for one in everything:
        whole = "\n".join(line for line in pasted(one).splitlines() if not line.startswith("- "))
        twice = [text for text, times in Counter(re.split(r"(?<=[.:]) |\n", whole)).items() if times > 1]
        assert not twice, (one.title, twice)


def test_no_number_and_no_date_is_of_the_replys_own(everything: list[Recorded]) -> None:
    for one in everything:
        known = all_values(one)
        for found in DATE.findall(pasted(one)):
            assert found in known, (one.title, found, pasted(one))
        rest = re.sub(r"\d\d:\d\d UTC|(?<= November )2026| in \d+ change.*", "", DATE.sub("", pasted(one)))
        for number in re.findall(NUMBER, rest):
            assert number.lstrip("-") in known, (one.title, number, pasted(one))


def all_values(one: Recorded) -> set[str]:
    """Everything in what was known, the sums of it, and the policy, as the words would have it."""
    known = one.known
    topic = re.search(r"answer (\S+)", one.title)
    general = answer_about(topic[1], Asking(known.policy)).reply if topic else ""
    values = {
        *re.findall(NUMBER, general),
        "0",
        "1",
        "24",
        "100",
        *(str(abs(value)) for value in one.reply.numbers.values()),
    }
    values |= {str(abs(ahead.connects)) for ahead in one.reply.next}
    dates: set[object] = {known.read_until}
    for decision in (*known.decisions, *known.of_the_person):
        dates |= {decision.occurred_at, decision.recorded_at}
        values |= {str(abs(value)) for value in decision.facts.values() if type(value) is int}
        values |= {f"${value / 100:.2f}" for value in decision.facts.values() if type(value) is int}
        dates |= set(decision.facts.values())
        for change in decision.changes:
            dates.add(change.occurred_at)
            values |= {str(abs(change.delta)), *(str(abs(moved.delta)) for moved in change.lots)}
            dates |= {moved.expires_at for moved in change.lots}
    for applied in known.applied:
        dates |= {applied.spent_at, applied.withdrawn_at, *(hire.hired_at for hire in applied.hires)}
        dates |= {closing.closed_at for closing in applied.closings}
        values |= {str(applied.spent), str(applied.base), str(applied.boost)}
    values |= {str(number) for number in sums(outcomes(known)).values()}
    return values | of_the_wallet(one) | {in_words(at) for at in dates}


def of_the_wallet(one: Recorded) -> set[str]:
    member, policy = one.known.member, one.known.policy
    plus = policy.monthly_plus_paid + policy.monthly_plus_free
    values = {str(value) for value in (policy.monthly_basic, plus, policy.certification, *policy.badges.values())}
    values |= {f"${policy.plus_price_cents / 100:.2f}", str(one.known.grace_seconds)}
    if member is None:
        return values
    values |= {
        str(abs(member.balance)),
        *map(str, one.reply.numbers.values()),
        *(str(lot.remaining) for lot in member.lots),
    }
    values |= {in_words(lot.expires_at) for lot in member.lots} | {str(ahead.connects) for ahead in member.ahead}
    by_day = Counter[object]()
    for lot in member.lots:
        by_day[lot.expires_at.date()] += lot.remaining
    values |= {str(count) for count in by_day.values()} | {in_words(ahead.on) for ahead in member.ahead}
    if member.membership is not None:
        values |= {in_words(fact.at) for fact in member.membership.suspensions}
        values |= {in_words(member.membership.next_renewal), in_words(member.membership.cycle_start)}
    for charge in (member.charge, member.last_charge):
        if charge is not None:
            values |= {in_words(charge.requested_at), in_words(charge.cycle_start), f"${charge.amount_cents / 100:.2f}"}
    values |= {in_words(one.known.read_until)}
    return values | {in_words(ahead.on) for ahead in one.reply.next}


def in_words(at: object) -> str:
    return day(at if isinstance(at, str) else getattr(at, "isoformat", str)())


def test_no_other_freelancer_is_named(everything: list[Recorded]) -> None:
    names = {"ana", "bo", "chidi", "dara", "eli", "femi", "gro"}
    for one in everything:
        if one.title.startswith("3."):
            said = " ".join([pasted(one), *(standing.text for standing in one.reply.if_they_object)])
            assert not names & set(re.findall(r"\b[a-z]+\b", said.replace("p-206-bo", ""))), one.title


def test_there_are_enough_of_them(stories: list[Recorded], reasons: list[Recorded], tickets: list[Recorded]) -> None:
    assert len(tickets) > 50
    assert len(stories) > 30
    assert len(reasons) > len(of_cases()) + 60
