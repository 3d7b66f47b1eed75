"""A question that a freelancer asks, the events behind it, and how `connects explain` is asked for the answer."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from schemas.catalogue import INPUT_TOPICS, KEY_FIELDS
from schemas.fields import rfc3339
from worker.demo.marketplace import Message
from worker.words.phrases import connects as in_connects

_LAST_MONTHLY_DAY: Final = 28


def asked_at(now: datetime) -> datetime:
    """When the questions are asked: now, or up to three days before, so that a cycle can have begun the day before.

    None begins on the 29th, 30th or 31st, unless somebody joined or upgraded on that day (S0).
    """
    yesterday = now - timedelta(days=1)
    return now - timedelta(days=max(0, yesterday.day - _LAST_MONTHLY_DAY))


@dataclass(frozen=True)
class CycleDay:
    """An instant that many days after the cycle start `back` cycles before yesterday's."""

    back: int
    days: float = 0.0

    def start(self, asked: datetime) -> date:
        """The first day of that cycle."""
        day = (asked - timedelta(days=1)).astimezone(UTC).date()
        for _ in range(self.back):
            day = (day.replace(day=1) - timedelta(days=1)).replace(day=day.day)
        return day

    def at(self, asked: datetime) -> datetime:
        """The instant."""
        start = self.start(asked)
        return datetime(start.year, start.month, start.day, tzinfo=UTC) + timedelta(days=self.days)


@dataclass(frozen=True)
class Answers:
    """Which charge the payment service answers: of the choice (a happening, from 1), or of the renewal at a cycle."""

    of: int | CycleDay
    attempt: int = 1


@dataclass(frozen=True)
class Happening:
    """Something that happened that many days ago, or in a cycle. `again`: the one before is delivered again."""

    when: float | CycleDay
    topic: str
    fields: dict[str, Any] = field(default_factory=dict)
    again: bool = False
    answers: Answers | None = None

    def at(self, asked: datetime) -> datetime:
        """When, if the question is asked then."""
        return self.when.at(asked) if isinstance(self.when, CycleDay) else asked - timedelta(days=self.when)


@dataclass(frozen=True)
class Case:
    """A question, the events before it, and how to ask `connects explain` for the answer."""

    question: str
    freelancer_id: str
    happenings: tuple[Happening, ...]
    expected: str
    about: int | str = "proposal"
    """Which happening, from 1, the question is about; or `proposal`, or `freelancer`: then the last decision."""

    @property
    def name(self) -> str:
        """The part that all ids of the case share."""
        return self.freelancer_id.removeprefix("f-")

    @property
    def proposal_id(self) -> str:
        """The one proposal of the case."""
        return f"p-{self.name}"

    @property
    def job_id(self) -> str:
        """The one job of the case."""
        return f"j-{self.name}"

    @property
    def asked_of_explain(self) -> tuple[str, ...]:
        """The arguments of `connects explain`."""
        if isinstance(self.about, int):
            return (self.event_id(self.about),)
        return (f"--{self.about}", self.proposal_id if self.about == "proposal" else self.freelancer_id)

    def event_id(self, number: int) -> str:
        """The id of a happening, counted from 1; one that is delivered again keeps its id."""
        while self.happenings[number - 1].again:
            number -= 1
        return f"{self.name}-{number}"

    def in_words(self, asked: datetime) -> Iterator[tuple[datetime, str]]:
        """Each event in a few words, with its time."""
        for happening in self.happenings:
            words = "the same event is delivered again" if happening.again else _in_words(happening)
            yield happening.at(asked), words

    def messages(self, asked: datetime) -> Iterator[Message]:
        """The events, as their producers send them."""
        last: Message | None = None
        for number, happening in enumerate(self.happenings, start=1):
            at = happening.at(asked)
            if happening.again and last is not None:
                last = Message(last.topic, last.key, last.value, at)
            else:
                last = self._message(self.event_id(number), happening, asked)
            yield last

    def _message(self, event_id: str, happening: Happening, asked: datetime) -> Message:
        ids = {
            "freelancer_id": self.freelancer_id,
            "job_id": self.job_id,
            "client_id": f"c-{self.name}",
            "proposal_id": self.proposal_id,
        }
        wanted = INPUT_TOPICS[happening.topic].model_fields
        body = {name: value for name, value in ids.items() if name in wanted} | happening.fields
        if happening.topic == "hire-made":
            del body["proposal_id"]  # another proposal's, which was not sent
        if happening.answers is not None:
            body["charge_id"] = self._charge_id(happening.answers, asked)
        key = str(body[KEY_FIELDS[happening.topic]]).encode()
        at = happening.at(asked)
        event = {"event_id": event_id, "occurred_at": rfc3339(at), **body}
        return Message(happening.topic, key, json.dumps(event).encode(), at)

    def _charge_id(self, answers: Answers, asked: datetime) -> str:
        """The id under which the worker will request that charge: the past is sent before it is read."""
        named = self.event_id(answers.of) if isinstance(answers.of, int) else answers.of.start(asked).isoformat()
        return f"{self.freelancer_id}:{named}:{answers.attempt}"


def _in_words(happening: Happening) -> str:
    fields = happening.fields
    words = _WORDS[happening.topic]
    if happening.topic == "proposal-submitted":
        spent = in_connects(fields["connects"])
        words = f"applies: {spent}"
        if fields.get("boost_connects"):
            words = f"{words} and {fields['boost_connects']} for a boost"
        if fields["origin"] == "invite":
            words = f"answers an invitation (the job takes {spent})"
    elif happening.topic == "interview-won" and fields["origin"] == "invite":
        words = "wins an interview, from an invitation"
    elif happening.topic == "job-closed":
        words = {"expired": "the job expires", "closed-by-client": "the client closes the job"}[fields["closure"]]
    elif happening.topic == "earnings-balance-updated":
        words = f"has ${fields['available_cents'] / 100:.2f} of earnings"
    elif happening.topic == "membership-charge-settled":
        words = f"{fields['source']} {'pays' if fields['outcome'] == 'paid' else 'does not pay'}"
    return words.format(
        **{name: str(value).capitalize() if name == "plan" else value for name, value in fields.items()}
    )


_WORDS: Final = {
    "freelancer-registered": "registers",
    "proposal-submitted": "",
    "proposal-withdrawn": "withdraws the proposal",
    "boost-outbid": "others bid more: the boost is lost",
    "job-closed": "",
    "hire-made": "the client hires somebody else",
    "interview-won": "wins an interview, of a client with {client_hires} hires",
    "badge-earned": "earns the badge {badge}",
    "certification-completed": "completes {certification_id}",
    "membership-plan-chosen": "chooses {plan}",
    "membership-charge-settled": "",
    "earnings-balance-updated": "",
    "account-suspended": "the account is suspended",
}
