"""Events of the simulated marketplace, one after the other; when and how they are sent is not decided here."""

import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from worker.demo.marketplace_members import HOW_OFTEN as MEMBERS_HOW_OFTEN
from worker.demo.marketplace_members import Event, Members

HOW_OFTEN: Final[Mapping[str, float]] = MappingProxyType(
    {
        "apply": 52.0,
        "close": 6.0,
        "hire": 4.0,
        "withdraw": 2.5,
        "outbid": 4.0,
        "win_interview": 7.0,
        "certify": 3.0,
        "earn_badge": 3.0,
        "buy": 7.0,
        "adjust": 0.5,
        "send_again": 1.0,
    }
)
"""How often each thing happens, relative to the others; each is a method of Life."""

_OPEN_JOBS = 45
_CLOSURES = ("closed-by-client",) * 11 + ("expired",) * 7 + ("removed-by-marketplace",) * 2
_BADGES = ("rising-talent", "rising-talent", "rising-talent", "top-rated", "top-rated-plus")
_SKILLS = ("python", "design", "translation", "copywriting", "bookkeeping", "video")
_PATHS = ("upwork-101", "client-relations")
_PACKS = (10, 20, 40, 60, 80)
_COSTS = (2, 4, 6, 8, 8, 10, 12, 12, 16)
_REMEMBERED = 50


@dataclass
class Client:
    """Somebody who posts jobs."""

    client_id: str
    hires: int
    spent_cents: int


@dataclass
class Proposal:
    """An application for a job that is open."""

    proposal_id: str
    freelancer_id: str
    boost: int
    invited: bool


@dataclass
class Job:
    """A job that is open."""

    job_id: str
    client: Client
    proposals: list[Proposal] = field(default_factory=list)
    hired: bool = False


class Life:
    """The marketplace's people and open jobs. All chance comes from the generator that is given."""

    def __init__(self, chance: random.Random, freelancers: int, clients: int) -> None:
        self._chance = chance
        self._newcomers = deque(f"f-{number}" for number in range(1, freelancers + 1))
        self._members: list[str] = []
        self._purses: dict[str, int] = {}
        self._clients = [self._client(number) for number in range(1, clients + 1)]
        self._numbers = {"j": 0, "p": 0, "b": 0, "a": 0, "k": 0}
        self._jobs = [self._job() for _ in range(_OPEN_JOBS)]
        self._sent: deque[Event] = deque(maxlen=_REMEMBERED)
        self.memberships = Members(chance, self.somebody)
        self._actions: list[Callable[[], Event | None]] = [
            *(getattr(self, name) for name in HOW_OFTEN),
            *(getattr(self.memberships, name) for name in MEMBERS_HOW_OFTEN),
        ]
        self._weights = [*HOW_OFTEN.values(), *MEMBERS_HOW_OFTEN.values()]

    def happen(self) -> list[Event]:
        """Let one thing happen; somebody new may come as well."""
        events = []
        if self._newcomers and (len(self._members) < 5 or self._chance.random() < 0.15):  # noqa: PLR2004
            events.append(self.register())
        event = None
        while event is None:
            (action,) = self._chance.choices(self._actions, self._weights)
            event = action()
        events.append(event)
        self._sent.append(event)
        return events

    def register(self) -> Event:
        """Somebody new comes."""
        freelancer_id = self._newcomers.popleft()
        self._members.append(freelancer_id)
        self._purses[freelancer_id] = 40
        return "freelancer-registered", {"freelancer_id": freelancer_id}

    def apply(self) -> Event | None:
        """Somebody sends a proposal; with too few Connects they buy some first, mostly."""
        chance, who, job = self._chance, self.somebody(), self._a_job()
        if any(proposal.freelancer_id == who for proposal in job.proposals):
            return None
        invited = chance.random() < 0.08  # noqa: PLR2004
        cost = chance.choice(_COSTS)
        boost = chance.randint(2, 12) if not invited and chance.random() < 0.2 else 0  # noqa: PLR2004
        if not invited and self._purses[who] < cost + boost and chance.random() < 0.9:  # noqa: PLR2004
            return self._purchase(who)
        proposal = Proposal(self._next("p"), who, boost, invited)
        job.proposals.append(proposal)
        if not invited:
            self._purses[who] -= cost + boost
        return "proposal-submitted", {
            **self._about(job, proposal),
            "connects": cost,
            "boost_connects": boost,
            "origin": "invite" if invited else "proposal",
        }

    def close(self) -> Event:
        """A job ends, and another is posted."""
        job = self._chance.choice(self._jobs)
        self._jobs[self._jobs.index(job)] = self._job()
        closure = "closed-by-client" if job.hired else self._chance.choice(_CLOSURES)
        return "job-closed", {"job_id": job.job_id, "client_id": job.client.client_id, "closure": closure}

    def hire(self) -> Event | None:
        """A client takes one of those who applied."""
        job = self._a_job()
        if job.hired or not job.proposals:
            return None
        proposal = self._chance.choice(job.proposals)
        job.hired = True
        job.client.hires += 1
        job.client.spent_cents += self._chance.randint(50, 4000) * 100
        return "hire-made", {**self._about(job, proposal), "contract_id": self._next("k")}

    def withdraw(self) -> Event | None:
        """Somebody takes a proposal back."""
        job = self._a_job()
        if not job.proposals:
            return None
        return "proposal-withdrawn", self._about(job, self._chance.choice(job.proposals))

    def outbid(self) -> Event | None:
        """Others bid more for a boost."""
        job = self._a_job()
        boosted = [proposal for proposal in job.proposals if proposal.boost]
        return ("boost-outbid", self._about(job, self._chance.choice(boosted))) if boosted else None

    def win_interview(self) -> Event | None:
        """A client wants to talk to somebody who applied."""
        job = self._a_job()
        if not job.proposals:
            return None
        proposal = self._chance.choice(job.proposals)
        return "interview-won", {
            "freelancer_id": proposal.freelancer_id,
            "job_id": job.job_id,
            "client_id": job.client.client_id,
            "origin": "invite" if proposal.invited else "proposal",
            "client_hires": job.client.hires,
            "client_spent_cents": job.client.spent_cents,
        }

    def certify(self) -> Event:
        """Somebody learned something."""
        path = self._chance.random() < 0.35  # noqa: PLR2004
        return "certification-completed", {
            "freelancer_id": self.somebody(),
            "certification_id": self._chance.choice(_PATHS if path else _SKILLS),
            "kind": "learning-path" if path else "skill-certification",
        }

    def earn_badge(self) -> Event:
        """Somebody earns a badge."""
        return "badge-earned", {"freelancer_id": self.somebody(), "badge": self._chance.choice(_BADGES)}

    def buy(self) -> Event:
        """Somebody buys Connects."""
        return self._purchase(self.somebody())

    def adjust(self) -> Event:
        """Support corrects something."""
        return "connects-adjusted", {
            "freelancer_id": self.somebody(),
            "adjustment_id": self._next("a"),
            "connects": self._chance.choice((-5, 5, 10)),
            "actor": "support-" + str(self._chance.randint(1, 5)),
            "note": "goodwill after a call",
        }

    def send_again(self) -> Event | None:
        """A producer forgot that it sent a fact, and sends it again under another event id."""
        return self._chance.choice(self._sent) if self._sent else None

    def _purchase(self, who: str) -> Event:
        pack = self._chance.choice(_PACKS)
        self._purses[who] += pack
        return "connects-purchased", {"freelancer_id": who, "purchase_id": self._next("b"), "connects": pack}

    def somebody(self) -> str:
        """Anybody who has registered."""
        return self._chance.choice(self._members)

    def _a_job(self) -> Job:
        return self._chance.choice(self._jobs)

    def _about(self, job: Job, proposal: Proposal) -> dict[str, Any]:
        return {
            "freelancer_id": proposal.freelancer_id,
            "job_id": job.job_id,
            "proposal_id": proposal.proposal_id,
        }

    def _job(self) -> Job:
        return Job(self._next("j"), self._chance.choice(self._clients))

    def _client(self, number: int) -> Client:
        hires = self._chance.choice((0, 0, 1, 3, 8, 20))
        return Client(f"c-{number}", hires, hires * self._chance.randint(100, 1500) * 100)

    def _next(self, kind: str) -> str:
        self._numbers[kind] += 1
        return f"{kind}-{self._numbers[kind]}"
