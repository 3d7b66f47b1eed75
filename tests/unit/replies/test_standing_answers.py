"""Standing answers: found by words, filled in with the policy's values, and with the person's where there is one."""

import asyncio
import re

import pytest

from tests.golden.reply_stories import told
from tests.golden.test_golden_replies import FORBIDDEN
from tests.kit.policies import policies, policy_text
from worker.ledger.connections import Connection
from worker.queries.answers import asking_of
from worker.replies.answers import answer_about
from worker.replies.finding import WORDS, find_topic
from worker.replies.reply import Reply
from worker.replies.standing import ELSEWHERE, TEXTS, TOPICS
from worker.replies.topics import Asking

GENERIC = Asking(policies().versions[0])
TYPED = {
    "expire": "expiry",
    "expirey": "expiry",
    "When do my Connects expire?": "expiry",
    "rollover": "rollover",
    "rolover": "rollover",
    "roll over": "rollover",
    "why 73": "upgrade-amount",
    "why did i only get 73 connects": "upgrade-amount",
    "two dates": "month-end",
    "sharing": "transfer",
    "learning-paths": "certifications",
    "declined": "declined",
    "downgrad": "leaving-plus",
    "suspnded": "suspension",
    "interveiw": "interviews",
    "outbid": "boosts",
    "why was I charged twice": "charged-twice",
    "Monthly Day": "monthly-day",
    "Why did I not get my Connects back?": "refunds",
    "I did not get my monthly connects": "late",
    "my connects vanished over night": "expiry",
    "charged twice in 3 days": "month-end",
    "interview bonus missing": "interviews",
    "only half came back": "refunds",
    "can I get my money back": "money-back",
}
LIMIT_WORDS = 90
MOST_WORDS = 80
"""Of an answer to somebody; both plans' texts may be longer together."""


@pytest.fixture(scope="module")
def stories() -> Connection:
    return asyncio.run(told())


def answered(connection: Connection, topic: str, freelancer: str) -> Reply:
    asking = asyncio.run(asking_of(connection, freelancer, policies(), topic))
    assert asking is not None
    return answer_about(topic, asking)


@pytest.mark.parametrize(("typed", "topic"), TYPED.items())
def test_words_find_their_topic(typed: str, topic: str) -> None:
    assert find_topic(typed).topic == topic


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_is_found_by_its_name_and_by_each_of_its_words(topic: str) -> None:
    assert find_topic(topic).topic == topic
    assert [words for words in WORDS[topic] if find_topic(words).topic != topic] == []


@pytest.mark.parametrize("typed", ["weather", "x", "", "73", "hello world"])
def test_what_is_about_nothing_finds_nothing(typed: str) -> None:
    assert find_topic(typed).topic is None


def test_what_is_not_sure_is_guessed() -> None:
    assert find_topic("how long do they last").guesses[0] == "expiry"


@pytest.mark.parametrize("topic", TOPICS)
def test_every_answer_without_a_person_is_whole_and_short(topic: str) -> None:
    reply = answer_about(topic, GENERIC)
    assert reply.reply.startswith(reply.headline)
    assert reply.headline.endswith((".", ":"))
    assert not re.search(r"[{}\[\]|]|None", reply.reply), reply.reply
    assert not FORBIDDEN.search(reply.reply)
    assert not DATE.search(reply.reply)
    assert all(len(text.split()) <= LIMIT_WORDS for text in reply.reply.splitlines())
    assert reply.verdict == "info"


DATE = re.compile(r"\b20\d\d\b")
WITH_DATES = {
    ("expiry", "gus"): "Your next 40 expire on 8 September 2027, unless you use them first.",
    ("rollover", "gus"): "You have 60 now, and 10 more come on 8 December 2026.",
    ("order", "gus"): "Your next proposal uses those of 8 September 2027 first.",
    ("buying", "xena"): "You have 120 left of those you bought on 15 June 2026, until 15 June 2027.",
    ("free-plan", "gus"): "your next 10 come on 8 December 2026",
    ("monthly-day", "gus"): "for you that is the 8th, next on 8 December 2026",
    ("monthly-day", "wanda"): "Your renewal day is the day your Plus cycle began: the 1st, next on 1 December 2026.",
    ("late", "tariq"): "Not yet: 80 more come when the $20.00 asked on 26 November 2026 is paid",
    ("month-end", "wanda"): "Your next cycle begins on 1 December 2026.",
    ("billing-date", "vito"): "Choose Basic before 2 December 2026, then choose Plus again on that day or later",
    ("leaving-plus", "wanda"): "On that day or later, the renewal stands and Plus ends on 1 January 2027.",
    ("upgrade-amount", "ravi"): "17 of 31 days, so 5",
    ("split-payment", "tariq"): "Your last one was asked of your payment method on 26 November 2026.",
    ("new-account", "gus"): "You have 40 left of yours, until 8 September 2027.",
    ("several", "pavel"): "of the 26 Connects on your 4 proposals, 5 came back, 18 did not and 3 are still undecided.",
    ("weekly-limit", "abel"): "You had 0 in that time, so there is room for 50 now.",
    ("suspension", "wanda"): "Plus ends with the running cycle, on 1 December 2026,",
}


@pytest.mark.parametrize(("topic", "freelancer"), WITH_DATES)
def test_an_answer_has_the_persons_own_values(stories: Connection, topic: str, freelancer: str) -> None:
    assert WITH_DATES[topic, freelancer] in answered(stories, topic, freelancer).reply


@pytest.mark.parametrize("freelancer", ["gus", "wanda", "tariq", "pavel", "ulla", "xena", "yusuf", "abel"])
def test_no_answer_to_anybody_has_a_gap(stories: Connection, freelancer: str) -> None:
    for topic in TOPICS:
        text = answered(stories, topic, freelancer).reply
        assert not re.search(r"[{}\[\]|]|None|  |\.\.| [.,:;]", text), text
        assert not FORBIDDEN.search(text)
        assert len(text.split()) <= MOST_WORDS, text


def test_a_person_who_never_had_plus_is_told_nothing_of_its_end(stories: Connection) -> None:
    assert "Plus" not in answered(stories, "suspension", "yusuf").reply
    assert "Plus" not in answered(stories, "monthly-day", "gus").reply


async def test_nobody_has_no_values(stories: Connection) -> None:
    assert await asking_of(stories, "nobody", policies(), "expiry") is None


def test_a_switch_of_the_policy_changes_the_answer() -> None:
    switched = policies(
        policy_text(overdraft="decline", refund_to_ending_lot="expire", late_cycle_start="after-anniversary")
    ).versions[0]
    of_members = ("/basic", "/plus", "/chosen", "/billing-method")
    texts = [name.partition("/")[0] for name in TEXTS if "/" in name and not name.endswith(of_members)]
    assert sorted(texts) == ["month-end", "overdrawn", "refund-time"]
    for topic in texts:
        assert answer_about(topic, Asking(switched)).reply != answer_about(topic, GENERIC).reply


def test_what_the_account_does_not_decide_is_said_to_be_elsewhere() -> None:
    assert set(ELSEWHERE) <= set(TOPICS)
    assert "not decided by your Connects account" in answer_about("price", GENERIC).reply
