"""The questions that freelancers ask most about Connects (S3, in our words), each with the events behind it.

Nothing here knows an answer: that comes from the ledger. `expected` is the reason code that the rules prescribe, and
the demo fails if the ledger says something else.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from schemas.catalogue import INPUT_TOPICS, KEY_FIELDS
from schemas.fields import rfc3339
from worker.domain.phrases import connects as in_connects
from worker.local.marketplace import Message


@dataclass(frozen=True)
class Happening:
    """Something that happened so many days ago. `again`: the happening before, delivered once more as it was."""

    days_ago: float
    topic: str
    fields: dict[str, Any] = field(default_factory=dict)
    again: bool = False


@dataclass(frozen=True)
class Case:
    """A question, what had happened before it was asked, and how to ask `connects explain` for the answer."""

    question: str
    freelancer_id: str
    happenings: tuple[Happening, ...]
    expected: str
    about_event: int | None = None
    """Which of the happenings, from 1, the question is about; None: the proposal."""

    @property
    def name(self) -> str:
        """What all ids of the case have in them."""
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
        if self.about_event is None:
            return ("--proposal", self.proposal_id)
        return (self.event_id(self.about_event),)

    def event_id(self, number: int) -> str:
        """The id of a happening, counted from 1; what is delivered again keeps its id."""
        while self.happenings[number - 1].again:
            number -= 1
        return f"{self.name}-{number}"

    def told(self, now: datetime) -> Iterator[tuple[datetime, str]]:
        """What happened, in a few words, with its time."""
        for happening in self.happenings:
            at = now - timedelta(days=happening.days_ago)
            yield at, "the same event is delivered again" if happening.again else _in_words(happening)

    def messages(self, now: datetime) -> Iterator[Message]:
        """The events, as their producers tell them."""
        last: Message | None = None
        for number, happening in enumerate(self.happenings, start=1):
            at = now - timedelta(days=happening.days_ago)
            if happening.again and last is not None:
                last = Message(last.topic, last.key, last.value, at)
            else:
                last = self._message(self.event_id(number), happening, at)
            yield last

    def _message(self, event_id: str, happening: Happening, at: datetime) -> Message:
        ids = {
            "freelancer_id": self.freelancer_id,
            "job_id": self.job_id,
            "client_id": f"c-{self.name}",
            "proposal_id": self.proposal_id,
        }
        wanted = INPUT_TOPICS[happening.topic].model_fields
        body = {name: value for name, value in ids.items() if name in wanted} | happening.fields
        if happening.topic == "hire-made":
            del body["proposal_id"]  # somebody else's, which nobody told
        key = str(body[KEY_FIELDS[happening.topic]]).encode()
        told = {"event_id": event_id, "occurred_at": rfc3339(at), **body}
        return Message(happening.topic, key, json.dumps(told).encode(), at)


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
    return words.format(**fields)


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
}


def _registers(days_ago: float = 60) -> Happening:
    return Happening(days_ago, "freelancer-registered")


def _applies(days_ago: float, connects: int, boost: int = 0, origin: str = "proposal") -> Happening:
    fields = {"connects": connects, "boost_connects": boost, "origin": origin}
    return Happening(days_ago, "proposal-submitted", fields)


def _ends(days_ago: float, closure: str = "closed-by-client") -> Happening:
    return Happening(days_ago, "job-closed", {"closure": closure})


def _talks(days_ago: float, origin: str, hires: int, spent_cents: int) -> Happening:
    fields = {"origin": origin, "client_hires": hires, "client_spent_cents": spent_cents}
    return Happening(days_ago, "interview-won", fields)


def _badge(days_ago: float) -> Happening:
    return Happening(days_ago, "badge-earned", {"badge": "rising-talent"})


SEED_CASES: Final[tuple[Case, ...]] = (
    Case(
        "The job that I applied for expired. Why did my Connects not come back?",
        "f-omar",
        (_registers(), _applies(24, 12), _ends(3, "expired")),
        "job-expired",
    ),
    Case(
        "The client closed the job without hiring anybody. Do I get my Connects back?",
        "f-lucia",
        (_registers(), _applies(9, 10), _ends(1)),
        "closed-without-hire",
    ),
    Case(
        "I was not chosen: they hired somebody else and closed the job. And my Connects?",
        "f-tomas",
        (
            _registers(),
            _applies(12, 8),
            Happening(6, "hire-made", {"freelancer_id": "f-dana", "contract_id": "k-tomas"}),
            _ends(2),
        ),
        "somebody-was-hired",
    ),
    Case(
        "I withdrew my proposal, and nobody was hired. Why no refund?",
        "f-ines",
        (_registers(), _applies(11, 6), Happening(10, "proposal-withdrawn"), _ends(4)),
        "proposal-withdrawn",
    ),
    Case(
        "I applied a month ago and nothing happened. Where are my Connects?",
        "f-pavel",
        (_registers(), _applies(33, 16)),
        "job-not-closed",
    ),
    Case(
        "My Connects were deducted twice for one proposal!",
        "f-nina",
        (
            _registers(),
            _applies(5, 12),
            Happening(4.999, "proposal-submitted", again=True),
            _applies(4.998, 12),
        ),
        "already-spent",
        about_event=4,
    ),
    Case(
        "My boost was outbid. Is it lost?",
        "f-kofi",
        (_registers(), _applies(7, 12, boost=9), Happening(6.5, "boost-outbid")),
        "boost-outbid",
        about_event=3,
    ),
    Case(
        "I was invited to a job. What did my answer cost?",
        "f-amira",
        (_registers(), _applies(8, 14, origin="invite")),
        "free-from-invitation",
    ),
    Case(
        "I won an interview after an invitation. Where is the reward?",
        "f-jonas",
        (
            _registers(),
            _applies(8, 12, origin="invite"),
            _talks(7, "invite", 14, 900_000),
        ),
        "interview-from-invitation",
        about_event=3,
    ),
    Case(
        "I won an interview with my proposal and got nothing?",
        "f-sofia",
        (_registers(), _applies(6, 10), _talks(5, "proposal", 0, 0)),
        "client-not-established",
        about_event=3,
    ),
    Case(
        "I lost Rising Talent and earned it back. Where are my 30 Connects?",
        "f-maya",
        (_registers(), _badge(50), _badge(2)),
        "already-granted",
        about_event=3,
    ),
    Case(
        "I finished Upwork 101. How many Connects is that?",
        "f-ravi",
        (
            _registers(20),
            Happening(19, "certification-completed", {"certification_id": "upwork-101", "kind": "learning-path"}),
        ),
        "not-a-skill-certification",
        about_event=2,
    ),
)
