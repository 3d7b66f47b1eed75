"""Made-up but plausible histories of a marketplace, the same for the same seed; and small nasty ones for hypothesis.

`History(seed=7)` is a list-like of records `(topic, key, value, occurred_at)` in the order in which they arrive. Its
repr is the call that makes it again: print it when a test fails.

By default each topic is in strict order of time, and no two events share an instant, so that the order between topics
is defined too. The exceptions are what a marketplace does: redeliveries (the same record once more, later) and the
same closing sent twice under two event ids (one instant, one after the other).
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.kit.billing import Billing, Member, Schedule, a_month_later, midnight

Record = tuple[str, bytes, bytes | None, datetime]

START = datetime(2026, 1, 5, tzinfo=UTC)
MIX = {
    "propose": 46.0,
    "withdraw": 4.0,
    "outbid": 5.0,
    "outbid_early": 0.3,
    "hire": 3.0,
    "close": 9.0,
    "close_again": 0.4,
    "interview": 8.0,
    "certify": 3.0,
    "badge": 3.0,
    "purchase": 8.0,
    "adjust": 2.0,
    "propose_again": 0.5,
    "mismatch": 0.3,
    "same_key_again": 1.5,
    "choose_plus": 2.2,
    "choose_basic": 0.7,
    "enter_code": 0.5,
    "earn": 1.0,
    "suspend": 0.5,
    "reinstate": 0.4,
    "answer_amiss": 0.2,
    "at_the_turn": 0.4,
}
"""How often each thing happens, relative to the others. There is also one registration for each freelancer, and what
the billing system answers to the charges that are asked."""

MEMBERSHIP_MIX = {
    **{name: weight / 20 for name, weight in MIX.items()},
    "propose": 14.0,
    "purchase": 3.0,
    "choose_plus": 22.0,
    "choose_basic": 6.0,
    "enter_code": 6.0,
    "earn": 10.0,
    "suspend": 4.0,
    "reinstate": 4.0,
    "answer_amiss": 2.0,
    "at_the_turn": 12.0,
}

CODES = ("WELCOME", "WELCOME", "FIVEOFF", "FREE", "HUGE", "ENDED", "NOSUCH")
"""See tests/kit/policies.py; the real policy has none of them."""

NEARLY_ANYTHING = {"note", "actor", "source", "charge_id", "client_hires", "client_spent_cents", "available_cents"}
"""Fields that may hold what an id may not."""

BADGES = ("rising-talent", "rising-talent", "rising-talent", "top-rated", "expert-vetted")
CLOSURES = ("closed-by-client", "closed-by-client", "closed-by-client", "expired", "removed-by-marketplace")
NOT_EVENTS: tuple[bytes | None, ...] = (
    None,
    b"",
    b"{",
    b"null",
    b"[]",
    b"\xff\xfe\x00",
    b'{"event_id": NaN}',
    b"[" * 20_000,
)

NOT_OURS: tuple[bytes, ...] = (
    *(b"%d" % number for number in range(20)),
    b"null",
    rb'"\ud800"',
    rb'{"\udfff": "\u0000"}',
    b"1e999",
    b"9" * 5_000,
    b"[" * 250 + b"]" * 250,
)
"""Values of a field that the event does not have, as JSON."""


@dataclass
class Job:
    job_id: str
    client_id: str


class History(Sequence[Record]):
    """A marketplace from `start` on, for `span`: about `events` records, of which some come twice, late or spoiled.

    With a tenth as many `jobs` as events most jobs are closed once; with fewer they are reopened and closed again.
    `duplicates`, `late` and `poison` are shares of the records: delivered once more, delivered up to `late_by` after
    their time, and accompanied by something that is no event.
    """

    def __init__(
        self,
        seed: int,
        freelancers: int = 50,
        jobs: int = 80,
        events: int = 1_000,
        start: datetime = START,
        span: timedelta = timedelta(days=30),
        *,
        mix: dict[str, float] | None = None,
        duplicates: float = 0.02,
        late: float = 0.0,
        late_by: timedelta = timedelta(days=1),
        poison: float = 0.0,
    ) -> None:
        self.seed = seed
        self.arguments = {
            "freelancers": freelancers,
            "jobs": jobs,
            "events": events,
            "start": start,
            "span": span,
            "mix": mix,
            "duplicates": duplicates,
            "late": late,
            "late_by": late_by,
            "poison": poison,
        }
        chance = random.Random(seed)
        marketplace = Marketplace(chance, freelancers, jobs, {**MIX, **(mix or {})})
        instants = sorted(chance.sample(range(span // timedelta(microseconds=1)), events))
        shown = marketplace.live_through([start + timedelta(microseconds=instant) for instant in instants])
        self.records = _delivered(shown, chance, duplicates=duplicates, late=late, late_by=late_by, poison=poison)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        return self.records[index]

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{type(self).__name__}(seed={self.seed}, {shown})"


class MembershipYears(History):
    """Years of memberships and little else: some `events_per_year` of each freelancer, and what billing answers.

    Most freelancers register in the first third. Of those events many happen around a cycle start. The tens of
    thousands of cycle starts and expiries of a thousand freelancers are added.
    """

    def __init__(
        self,
        seed: int,
        freelancers: int = 1_000,
        years: float = 10,
        *,
        events_per_year: float = 6.0,
        start: datetime = START,
        duplicates: float = 0.02,
        late: float = 0.0,
        late_by: timedelta = timedelta(days=1),
        poison: float = 0.0,
    ) -> None:
        super().__init__(
            seed,
            freelancers,
            max(10, freelancers // 10),
            int(freelancers * years * events_per_year),
            start,
            timedelta(days=365.25 * years),
            mix=MEMBERSHIP_MIX,
            duplicates=duplicates,
            late=late,
            late_by=late_by,
            poison=poison,
        )
        self.arguments = {
            "freelancers": freelancers,
            "years": years,
            "events_per_year": events_per_year,
            "start": start,
            "duplicates": duplicates,
            "late": late,
            "late_by": late_by,
            "poison": poison,
        }


class Marketplace:
    """Who is registered, which jobs are open, who applied, who is on which plan: just enough that most makes sense."""

    def __init__(self, chance: random.Random, freelancers: int, jobs: int, mix: dict[str, float]) -> None:
        self.chance = chance
        self.newcomers = [f"f-{number}" for number in range(1, freelancers + 1)]
        self.members: list[str] = []
        self.strangers = [f"f-stranger-{number}" for number in range(1, 4)]
        self.jobs = [Job(f"j-{number}", f"c-{number % 17}") for number in range(1, jobs + 1)]
        self.open_jobs = self.jobs[: max(3, jobs // 6)]
        self.jobs_to_come = self.jobs[max(3, jobs // 6) :]
        self.closed_jobs: list[Job] = []
        self.proposals: list[tuple[Job, str, str, int]] = []
        self.awaited: list[tuple[Job, str, str]] = []
        self.boosted: list[tuple[Job, str, str]] = []
        self.last_closing: tuple[str, dict[str, Any], datetime] | None = None
        self.repeatable: list[tuple[str, dict[str, Any]]] = []
        self.counts: dict[str, int] = {}
        self.events: list[tuple[str, dict[str, Any], datetime]] = []
        self.schedule = Schedule()
        self.billing = Billing(chance, self.schedule, self.answer)
        self.actions: list[Callable[[datetime], None]] = [getattr(self, name) for name in mix]
        self.weights: list[float] = []
        for weight in mix.values():
            self.weights.append(weight + (self.weights[-1] if self.weights else 0.0))

    def live_through(self, instants: list[datetime]) -> list[tuple[str, dict[str, Any], datetime]]:
        """Send one event at each instant, and the replies of billing. Most people register in the first third."""
        self.schedule.taken.update(instants)
        chance, newcomers = self.chance, len(self.newcomers)
        moments = {int(len(instants) * chance.random() ** 2.5) for _ in range(newcomers)}
        moments |= set(range(min(newcomers, 3)))
        act, weights, actions = chance.choices, self.weights, self.actions
        for moment, at in enumerate(instants):
            self.schedule.until(at)
            if moment in moments and self.newcomers:
                self.register(at)
            else:
                act(actions, cum_weights=weights)[0](at)
        return self.events

    # What happens.

    def register(self, at: datetime) -> None:
        freelancer_id = self.newcomers.pop()
        self.members.append(freelancer_id)
        self._send("freelancer-registered", at, again=True, freelancer_id=freelancer_id)
        self.billing.begins(freelancer_id, at)

    def propose(self, at: datetime) -> None:
        invited = self.chance.random() < 0.08
        boost = self.chance.choice((0, 0, 0, 0, 5, 10, 25))
        if self.awaited:
            job, freelancer_id, proposal_id = self.awaited.pop()
            boost = boost or self.chance.choice((0, 3))
        else:
            job, freelancer_id, proposal_id = self._job(), self._freelancer(), self._new("p")
        fields: dict[str, Any] = {
            "freelancer_id": freelancer_id,
            "job_id": job.job_id,
            "proposal_id": proposal_id,
            "connects": self.chance.choice((0, 2, 4, 4, 6, 6, 8, 12, 16)),
            "origin": "invite" if invited else "proposal",
        }
        if boost or self.chance.random() < 0.5:
            fields["boost_connects"] = boost
        self._send("proposal-submitted", at, **fields)
        self.proposals.append((job, freelancer_id, proposal_id, boost))
        if boost and not invited:
            self.boosted.append((job, freelancer_id, proposal_id))

    def propose_again(self, at: datetime) -> None:
        """A second event about the same proposal."""
        if self.proposals:
            job, freelancer_id, proposal_id, boost = self.chance.choice(self.proposals)
            fields = {"job_id": job.job_id, "freelancer_id": freelancer_id, "proposal_id": proposal_id}
            self._send("proposal-submitted", at, **fields, connects=6, boost_connects=boost, origin="proposal")
        else:
            self.propose(at)

    def withdraw(self, at: datetime) -> None:
        if self.proposals:
            self._about_proposal("proposal-withdrawn", at, self._recent(self.proposals))
        else:
            self.propose(at)

    def outbid(self, at: datetime) -> None:
        if self.boosted and self.chance.random() < 0.9:
            self._about_proposal("boost-outbid", at, self._recent(self.boosted))
        elif self.proposals:
            self._about_proposal("boost-outbid", at, self._recent(self.proposals))
        else:
            self.propose(at)

    def outbid_early(self, at: datetime) -> None:
        """A boost-outbid before its proposal, which is usually the next one to be submitted."""
        proposal = (self._job(), self._freelancer(), self._new("p"))
        self._about_proposal("boost-outbid", at, proposal)
        if self.chance.random() < 0.8:
            self.awaited.append(proposal)

    def mismatch(self, at: datetime) -> None:
        """A withdrawal or outbid that names the wrong freelancer or job."""
        if self.proposals:
            job, freelancer_id, proposal_id, _ = self._recent(self.proposals)
            wrong = (self._job(), freelancer_id) if self.chance.random() < 0.5 else (job, self._freelancer())
            topic = self.chance.choice(("proposal-withdrawn", "boost-outbid"))
            self._about_proposal(topic, at, (*wrong, proposal_id))
        else:
            self.propose(at)

    def hire(self, at: datetime) -> None:
        if self.proposals:
            job, freelancer_id, proposal_id, _ = self._recent(self.proposals)
            fields = {"job_id": job.job_id, "freelancer_id": freelancer_id, "contract_id": self._new("k")}
            if self.chance.random() < 0.7:
                fields["proposal_id"] = proposal_id
            self._send("hire-made", at, **fields)
        else:
            self.propose(at)

    def close(self, at: datetime) -> None:
        if self.open_jobs and self.chance.random() < 0.9:
            job = self.open_jobs.pop(self.chance.randrange(len(self.open_jobs)))
            self.closed_jobs.append(job)
        else:
            job = self.chance.choice(self.jobs)
        self._open_another_job()
        fields = {"job_id": job.job_id, "client_id": job.client_id, "closure": self.chance.choice(CLOSURES)}
        self._send("job-closed", at, **fields)
        self.last_closing = ("job-closed", fields, at)

    def close_again(self, at: datetime) -> None:
        """The same closing sent twice: another event id, the same instant, right behind the last job-closed."""
        if self.last_closing:
            topic, fields, closed_at = self.last_closing
            self._send(topic, closed_at, **fields)
        else:
            self.close(at)

    def interview(self, at: datetime) -> None:
        hires = self.chance.choice((0, 1, 3, 12))
        job = self.chance.choice(self.jobs)
        sought_after = self.members[:3]
        fields = {
            "freelancer_id": self.chance.choice(sought_after)
            if sought_after and self.chance.random() < 0.3
            else self._freelancer(),
            "job_id": job.job_id,
            "client_id": job.client_id,
            "origin": "invite" if self.chance.random() < 0.15 else "proposal",
            "client_hires": hires,
            "client_spent_cents": hires and self.chance.choice((0, 1, 250_000, 999_999, 1_000_000, 7_500_000)),
        }
        self._send("interview-won", at, again=True, **fields)

    def certify(self, at: datetime) -> None:
        kind = self.chance.choice(("skill-certification", "skill-certification", "learning-path"))
        certification_id = f"{kind}-{self.chance.randrange(6)}"
        fields = {"freelancer_id": self._freelancer(), "certification_id": certification_id, "kind": kind}
        self._send("certification-completed", at, again=True, **fields)

    def badge(self, at: datetime) -> None:
        fields = {"freelancer_id": self._freelancer(), "badge": self.chance.choice(BADGES)}
        self._send("badge-earned", at, again=True, **fields)

    def purchase(self, at: datetime) -> None:
        connects = self.chance.choice((10, 20, 20, 40, 60, 80, 150, 0))
        fields = {"freelancer_id": self._freelancer(), "purchase_id": self._new("b"), "connects": connects}
        self._send("connects-purchased", at, again=True, **fields)

    def adjust(self, at: datetime) -> None:
        connects = self.chance.choice((5, 15, 40, -3, -10, -40, -100_000, 0))
        fields = {"freelancer_id": self._freelancer(), "adjustment_id": self._new("a"), "connects": connects}
        self._send("connects-adjusted", at, again=True, **fields, actor="support-2", note="as agreed, ticket 4711 é")

    def same_key_again(self, at: datetime) -> None:
        """The same fact under another event id."""
        if self.repeatable:
            topic, fields = self.chance.choice(self.repeatable)
            self._send(topic, at, **fields)
        else:
            self.propose(at)

    # Memberships.

    def choose_plus(self, at: datetime, freelancer_id: str | None = None) -> None:
        freelancer_id = freelancer_id or self._somebody(lambda member: member.plan == "basic" and not member.upgrade)
        fields = {"freelancer_id": freelancer_id, "plan": "plus"}
        if self.chance.random() < 0.12:
            fields["promo_code"] = self.chance.choice(CODES)
        self._send("membership-plan-chosen", at, **fields)
        self.billing.chooses_plus(freelancer_id, at, self.events[-1][1]["event_id"])

    def choose_basic(self, at: datetime, freelancer_id: str | None = None) -> None:
        freelancer_id = freelancer_id or self._somebody(lambda member: member.plan == "plus" or bool(member.upgrade))
        self._send("membership-plan-chosen", at, freelancer_id=freelancer_id, plan="basic")
        self.billing.chooses_basic(freelancer_id, at)

    def enter_code(self, at: datetime, freelancer_id: str | None = None) -> None:
        code = self.chance.choice(CODES)
        self._send("promo-code-entered", at, freelancer_id=freelancer_id or self._freelancer(), promo_code=code)

    def earn(self, at: datetime, freelancer_id: str | None = None) -> None:
        freelancer_id, cents = freelancer_id or self._freelancer(), self.chance.choice((0, 999, 1_999, 2_000, 7_500))
        self._send("earnings-balance-updated", at, freelancer_id=freelancer_id, available_cents=cents)
        if freelancer_id in self.billing.members:
            self.billing.members[freelancer_id].earned = cents

    def suspend(self, at: datetime, freelancer_id: str | None = None) -> None:
        freelancer_id = freelancer_id or self._freelancer()
        scope = self.chance.choice(("account", "account", "billing-method"))
        self._send("account-suspended", at, freelancer_id=freelancer_id, scope=scope)
        if freelancer_id in self.billing.members:
            self.billing.members[freelancer_id].suspended.add(scope)

    def reinstate(self, at: datetime, freelancer_id: str | None = None) -> None:
        freelancer_id = freelancer_id or self._somebody(lambda member: bool(member.suspended))
        member = self.billing.members.get(freelancer_id)
        scopes = sorted(member.suspended) if member and member.suspended else ["account", "billing-method"]
        scope = self.chance.choice(scopes)
        self._send("account-reinstated", at, freelancer_id=freelancer_id, scope=scope)
        if member:
            member.suspended.discard(scope)

    def answer(self, at: datetime, freelancer_id: str, charge_id: str, outcome: str, source: str) -> None:
        fields = {"freelancer_id": freelancer_id, "charge_id": charge_id, "outcome": outcome, "source": source}
        self._send("membership-charge-settled", at, **fields)

    def answer_amiss(self, at: datetime) -> None:
        """About a charge that nobody asked for, or not yet, or of somebody else, or once more."""
        chance, freelancer_id = self.chance, self._somebody(lambda member: member.plan == "plus")
        charge_id = f"{freelancer_id}:e-0:1"
        if self.billing.asked and chance.random() < 0.5:
            ask = self._recent(self.billing.asked)
            charge_id = chance.choice((ask.charge_id, ask.charge_id.removesuffix("1") + "2"))
            freelancer_id = ask.freelancer_id if chance.random() < 0.7 else freelancer_id
        elif freelancer_id in self.billing.members and chance.random() < 0.8:
            charge_id = f"{freelancer_id}:{self.billing.members[freelancer_id].next_renewal}:1"
        self.answer(at, freelancer_id, charge_id, chance.choice(("paid", "failed")), "a card")

    def at_the_turn(self, at: datetime) -> None:
        """Somebody will do something just before or just after a cycle starts."""
        freelancer_id = self._somebody(lambda member: member.plan == "plus" or bool(member.upgrade))
        member = self.billing.members.get(freelancer_id)
        if member and midnight(member.next_renewal) > at + timedelta(minutes=2):
            what = self.chance.choice(
                (self.choose_plus, self.choose_basic, self.suspend, self.reinstate, self.earn, self.enter_code)
            )
            seconds = self.chance.choice((-60, -1, 0, 0, 1, 25, 40)) + self.chance.choice((0.0, self.chance.random()))
            when = midnight(member.next_renewal) + timedelta(seconds=seconds)
            self.schedule.at(when, lambda then: what(then, freelancer_id))
        self.propose(at)

    # How it is sent.

    def _send(self, topic: str, at: datetime, *, again: bool = False, **fields: Any) -> None:  # noqa: ANN401
        self.events.append((topic, {"event_id": self._new("e"), "occurred_at": rfc3339(at), **fields}, at))
        if again:
            self.repeatable.append((topic, fields))

    def _about_proposal(self, topic: str, at: datetime, proposal: tuple[Any, ...]) -> None:
        job, freelancer_id, proposal_id = proposal[:3]
        self._send(topic, at, freelancer_id=freelancer_id, job_id=job.job_id, proposal_id=proposal_id)

    def _open_another_job(self) -> None:
        """Mostly a new one; now and then one is reopened."""
        if self.jobs_to_come and self.chance.random() < 0.9:
            self.open_jobs.append(self.jobs_to_come.pop())
        elif self.closed_jobs:
            self.open_jobs.append(self.closed_jobs.pop(self.chance.randrange(len(self.closed_jobs))))

    def _new(self, kind: str) -> str:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return f"{kind}-{self.counts[kind]}"

    def _freelancer(self) -> str:
        luck = self.chance.random()
        if luck < 0.96 and self.members:
            return self.members[int(len(self.members) * self.chance.random() ** 1.5)]
        if luck < 0.99 and self.newcomers:
            return self.chance.choice(self.newcomers)
        return self.chance.choice(self.strangers)

    def _somebody(self, fits: Callable[[Member], bool]) -> str:
        """Mostly somebody whose membership is like that."""
        freelancer_id = self._freelancer()
        for _ in range(8):
            member = self.billing.members.get(freelancer_id)
            if member and fits(member):
                break
            freelancer_id = self._freelancer()
        return freelancer_id

    def _job(self) -> Job:
        if self.open_jobs and self.chance.random() < 0.96:
            return self.open_jobs[int(len(self.open_jobs) * self.chance.random() ** 1.5)]
        return self.chance.choice(self.jobs)

    def _recent(self, things: list[Any]) -> Any:  # noqa: ANN401
        return things[max(0, len(things) - 1 - int(self.chance.expovariate(1 / 30)))]


def _delivered(
    shown: list[tuple[str, dict[str, Any], datetime]],
    chance: random.Random,
    *,
    duplicates: float,
    late: float,
    late_by: timedelta,
    poison: float,
) -> list[Record]:
    """The records in the order in which they arrive: in order of time, except what comes late, twice, or spoiled."""
    arriving: list[tuple[datetime, int, Record]] = []
    for topic, fields, at in shown:
        record = record_of(topic, fields, at)
        arrival = at + late_by * chance.random() if late and chance.random() < late else at
        arriving.append((arrival, len(arriving), record))
        if duplicates and chance.random() < duplicates:
            again = arrival + timedelta(seconds=chance.choice((0, 1, 20, 60, 600, 86_400)) * chance.random())
            arriving.append((again, len(arriving), record))
        if poison and chance.random() < poison:
            spoiled = arrival + timedelta(seconds=chance.choice((0, 5, 300)))
            arriving.append((spoiled, len(arriving), _spoiled(chance, topic, fields, at)))
    arriving.sort(key=lambda item: item[:2])
    return [record for _, _, record in arriving]


def record_of(topic: str, fields: dict[str, Any], at: datetime) -> Record:
    key = fields["job_id"] if topic in {"job-closed", "hire-made"} else fields["freelancer_id"]
    return (topic, key.encode(), json.dumps(fields).encode(), at)


def _spoiled(chance: random.Random, topic: str, fields: dict[str, Any], at: datetime) -> Record:
    """Something that is no event, or must not be taken for the event whose id it carries."""
    _, key, value, _ = record_of(topic, fields, at)
    name = chance.choice(sorted(fields.keys() - {"boost_connects", "promo_code"}))
    kind = chance.randrange(6)
    if kind == 0:
        value = chance.choice(NOT_EVENTS)
    elif kind == 1:
        value = json.dumps({**fields, "a_field_more": "@"}).encode().replace(b'"@"', chance.choice(NOT_OURS))
    elif kind == 2:
        wrong = rfc3339(at.replace(year=chance.choice((1, 1970, 1999, at.year + 900)), day=1))
        value = json.dumps({**fields, "event_id": f"wrong-{fields['event_id']}", "occurred_at": wrong}).encode()
    elif kind == 3:
        value = json.dumps({other: item for other, item in fields.items() if other != name}).encode()
    elif kind == 4:
        value = json.dumps({**fields, name: chance.choice(([], {}, True, "", "no id!", 2**70, "x" * 65))}).encode()
        value = value if name not in NEARLY_ANYTHING else b"[1, 2]"
    else:
        value = value[: chance.randrange(1, len(value))] if value else value
    return (topic, key, value, at)


def rfc3339(at: datetime) -> str:
    return f"{at.replace(tzinfo=None).isoformat()}Z"


# Small and nasty: few names, few instants, everything collides.

CLOSE_TOGETHER = (0, 0.000001, 1, 2, 10, 29, 30, 30.000001, 31, 59, 60, 61, 90, 119, 120, 3_600)
FAR_APART = tuple(86_400 * days + more for days in (1, 7, 335, 336, 364, 365, 366, 400) for more in (0, 1, 30, 31))

AT_THE_TURN = tuple(
    86_400 * days + more
    for days in (0, 1, 10, 20, 24, 26, 27, 31, 41, 51, 55, 59, 69, 86, 90, 120)
    for more in (-1, 0, 0.000001, 1, 29, 30, 31, 43_200)
)
"""Around the cycle starts of freelancers who began on the 5th, 6th, 15th, 25th, 29th or 31st of January."""

_freelancers = st.sampled_from(("f-1", "f-2", "f-3"))
_jobs = st.sampled_from(("j-1", "j-2"))
_proposals = st.sampled_from(("p-1", "p-2", "p-3", "p-4", "p-5"))
_origins = st.sampled_from(("proposal", "proposal", "proposal", "invite"))
_about_a_proposal = {"freelancer_id": _freelancers, "job_id": _jobs, "proposal_id": _proposals}

_EVENTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "freelancer-registered": {"freelancer_id": _freelancers},
    "proposal-submitted": {
        **_about_a_proposal,
        "connects": st.sampled_from((0, 4, 6, 16, 45)),
        "boost_connects": st.sampled_from((0, 0, 3, 30)),
        "origin": _origins,
    },
    "boost-outbid": _about_a_proposal,
    "proposal-withdrawn": _about_a_proposal,
    "job-closed": {
        "job_id": _jobs,
        "client_id": st.just("c-1"),
        "closure": st.sampled_from(("closed-by-client", "removed-by-marketplace", "expired")),
    },
    "hire-made": {"job_id": _jobs, "freelancer_id": _freelancers, "contract_id": st.just("k-1")},
    "interview-won": {
        "freelancer_id": _freelancers,
        "job_id": st.sampled_from(("j-1", "j-2", "j-3", "j-4", "j-5", "j-6", "j-7")),
        "client_id": st.just("c-1"),
        "origin": _origins,
        "client_hires": st.sampled_from((0, 1, 1)),
        "client_spent_cents": st.sampled_from((0, 1, 999_999, 1_000_000)),
    },
    "certification-completed": {
        "freelancer_id": _freelancers,
        "certification_id": st.sampled_from(("s-1", "s-2")),
        "kind": st.sampled_from(("skill-certification", "learning-path")),
    },
    "badge-earned": {"freelancer_id": _freelancers, "badge": st.sampled_from(("rising-talent", "top-rated"))},
    "connects-purchased": {
        "freelancer_id": _freelancers,
        "purchase_id": st.sampled_from(("b-1", "b-2", "b-3")),
        "connects": st.sampled_from((0, 1, 20, 60)),
    },
    "connects-adjusted": {
        "freelancer_id": _freelancers,
        "adjustment_id": st.sampled_from(("a-1", "a-2", "a-3")),
        "connects": st.sampled_from((0, 7, -5, -30)),
        "actor": st.just("support-1"),
        "note": st.just("a note"),
    },
}
_MEMBERSHIP_EVENTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "membership-plan-chosen": {
        "freelancer_id": _freelancers,
        "plan": st.sampled_from(("plus", "plus", "plus", "basic")),
        "promo_code": st.sampled_from((None, None, None, *CODES)),
    },
    "promo-code-entered": {"freelancer_id": _freelancers, "promo_code": st.sampled_from(CODES)},
    "membership-charge-settled": {
        "freelancer_id": _freelancers,
        "which": st.integers(0, 11),
        "attempt": st.sampled_from((1, 1, 1, 2)),
        "outcome": st.sampled_from(("paid", "paid", "failed")),
        "source": st.just("a card"),
    },
    "earnings-balance-updated": {
        "freelancer_id": _freelancers,
        "available_cents": st.sampled_from((0, 1_000, 1_999, 2_000)),
    },
    "account-suspended": {"freelancer_id": _freelancers, "scope": st.sampled_from(("account", "billing-method"))},
    "account-reinstated": {"freelancer_id": _freelancers, "scope": st.sampled_from(("account", "billing-method"))},
}
_EVENTS |= _MEMBERSHIP_EVENTS
MEMBERSHIPS = (
    *_MEMBERSHIP_EVENTS,
    *("membership-plan-chosen",) * 3,
    *("membership-charge-settled",) * 5,
    "freelancer-registered",
    "connects-purchased",
    "proposal-submitted",
)
"""Topics for small histories about memberships."""
_OFTEN = ("proposal-submitted",) * 4 + ("job-closed",) * 3 + ("boost-outbid", "hire-made", "freelancer-registered")


def small_histories(
    most_events: int = 40,
    *,
    in_order: bool = False,
    years: bool = False,
    months: bool = False,
    repeated_ids: bool = True,
    topics: Sequence[str] = (*_EVENTS, *_OFTEN),
) -> st.SearchStrategy[list[Record]]:
    """1 to `most_events` records about three freelancers and two jobs, at a few instants that often coincide.

    `in_order`: they arrive in order of time (else in any order, so that many are late). `years`: some are a year apart,
    so that lots expire. `months`: they are around cycle starts instead of within hours. `repeated_ids`: event ids come
    again, with the same payload or another one.
    """
    instants = AT_THE_TURN if months else CLOSE_TOGETHER
    seconds = st.sampled_from(instants + (FAR_APART if years else ()))
    ids = st.integers(1, 30 if repeated_ids else 10**9).map("e-{}".format)
    event = st.sampled_from(topics).flatmap(
        lambda topic: st.tuples(st.just(topic), ids, seconds, st.fixed_dictionaries(_EVENTS[topic]))
    )
    events = st.lists(event, min_size=1, max_size=most_events)
    if not repeated_ids:
        events = st.lists(event, min_size=1, max_size=most_events, unique_by=lambda drawn: drawn[1])
    return events.map(lambda drawn: _dated(drawn, in_order=in_order))


def _dated(drawn: list[tuple[str, str, float, dict[str, Any]]], *, in_order: bool) -> list[Record]:
    records = []
    charges = _charges_of(drawn)
    for topic, event_id, seconds, drawn_fields in drawn:
        at, fields = START + timedelta(seconds=seconds), dict(drawn_fields)
        if topic == "membership-charge-settled":
            named = charges.get(fields["freelancer_id"], ["e-0"])
            charge = named[fields.pop("which") % len(named)]
            fields = {"charge_id": f"{fields['freelancer_id']}:{charge}:{fields.pop('attempt')}", **fields}
        if fields.get("promo_code", "") is None:
            del fields["promo_code"]
        records.append(record_of(topic, {"event_id": event_id, "occurred_at": rfc3339(at), **fields}, at))
    return sorted(records, key=lambda record: record[3]) if in_order else records


def _charges_of(drawn: list[tuple[str, str, float, dict[str, Any]]]) -> dict[str, list[str]]:
    """What might be charged of each freelancer: each choice, and the first cycles that might follow one."""
    charges: dict[str, list[str]] = {}
    for topic, event_id, seconds, fields in drawn:
        if topic == "membership-plan-chosen" and fields["plan"] == "plus":
            first = a_month_later((START + timedelta(seconds=seconds)).date())
            names = [event_id, str(first), str(a_month_later(first))]
            known = charges.setdefault(fields["freelancer_id"], [])
            known += [name for name in names if name not in known]
    return charges


def listed(records: Sequence[Record]) -> str:
    """Records as lines that can be read, and pasted into a test."""
    return "\n".join(f"{at.isoformat()} {topic} {key!r} {value!r}" for topic, key, value, at in records)
