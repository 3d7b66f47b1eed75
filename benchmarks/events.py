"""The events of the benchmark: a marketplace of 20,000 freelancers, in the mix that the issue names.

55% proposal-submitted, 10% each job-closed, hire-made and interview-won, 15% the rest; 2% are produced twice. Every
job that closes has on average 5.5 proposals, and every closure is settled within the run.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

Produced = tuple[str, bytes, bytes]

FREELANCERS: Final = 20_000
_OPEN_JOBS: Final = 2_000
_REST: Final = (
    ("connects-purchased", 55),
    ("proposal-withdrawn", 15),
    ("boost-outbid", 15),
    ("certification-completed", 10),
    ("badge-earned", 5),
)


def events(
    count: int, seed: int, *, start: datetime, span: timedelta, registrations: int | None = None, first: int = 0
) -> Iterator[Produced]:
    """`count` events as (topic, key, value), in order of time, spread evenly over `span` from `start`.

    The first are `registrations`, if nothing else is said one in twenty of all, until every freelancer is registered.
    Ids of events, jobs and proposals are numbered from `first`.
    """
    rng = random.Random(seed)
    step = span / count
    market = _Market(rng, first)
    if registrations is None:
        registrations = min(FREELANCERS, count // 20)
    for number in range(count):
        at = (start + step * number).astimezone(UTC).isoformat()
        if number < registrations:
            topic, key, fields = "freelancer-registered", f"f-{number}", f'"freelancer_id":"f-{number}"'
        else:
            topic, key, fields = market.next_event(first + number)
        value = f'{{"event_id":"{topic[:4]}-{first + number}","occurred_at":"{at}",{fields}}}'.encode()
        produced = (topic, key.encode(), value)
        yield produced
        if rng.random() < 0.02:  # noqa: PLR2004 - the share of duplicates
            yield produced


class _Market:
    """Which jobs are open and who proposed what, so that closures, hires and withdrawals are about something."""

    def __init__(self, rng: random.Random, first: int) -> None:
        self._rng = rng
        self._jobs = [f"j-{first + number}" for number in range(_OPEN_JOBS)]
        self._next_job = first + _OPEN_JOBS
        self._recent: list[tuple[str, str, str]] = []
        self._rest = [name for name, _ in _REST]
        self._weights = [weight for _, weight in _REST]

    def next_event(self, number: int) -> tuple[str, str, str]:
        rng = self._rng
        draw = rng.random()
        # Registrations come first, 2 to 5% of a catch-up; the shares of the others are scaled so that the sum is right.
        if draw < 0.565:  # noqa: PLR2004
            return self._proposal(number)
        job = rng.randrange(len(self._jobs))
        if draw < 0.668:  # noqa: PLR2004
            job_id, self._jobs[job] = self._jobs[job], f"j-{self._next_job}"
            self._next_job += 1
            kind = rng.choices(("closed-by-client", "expired", "removed-by-marketplace"), (60, 35, 5))[0]
            return "job-closed", job_id, f'"job_id":"{job_id}","client_id":"c-{number % 5000}","closure":"{kind}"'
        freelancer = f"f-{rng.randrange(FREELANCERS)}"
        if draw < 0.771:  # noqa: PLR2004
            job_id = self._jobs[job]
            fields = f'"job_id":"{job_id}","freelancer_id":"{freelancer}","contract_id":"k-{number}"'
            return "hire-made", job_id, fields
        if draw < 0.874:  # noqa: PLR2004
            spent = rng.choice((0, 5_000, 250_000, 2_000_000))
            fields = (
                f'"freelancer_id":"{freelancer}","job_id":"{self._jobs[job]}","client_id":"c-{number % 5000}",'
                f'"origin":"{rng.choices(("proposal", "invite"), (85, 15))[0]}","client_hires":{min(spent, 3)},'
                f'"client_spent_cents":{spent}'
            )
            return "interview-won", freelancer, fields
        return self._other(number, freelancer)

    def _proposal(self, number: int) -> tuple[str, str, str]:
        rng = self._rng
        freelancer, job_id = f"f-{rng.randrange(FREELANCERS)}", rng.choice(self._jobs)
        proposal_id = f"p-{number}"
        if len(self._recent) < 1_000:  # noqa: PLR2004
            self._recent.append((freelancer, job_id, proposal_id))
        else:
            self._recent[number % 1_000] = (freelancer, job_id, proposal_id)
        boost = rng.choice((0, 0, 0, 5, 10))
        origin = "invite" if rng.random() < 0.05 else "proposal"  # noqa: PLR2004
        fields = (
            f'"freelancer_id":"{freelancer}","job_id":"{job_id}","proposal_id":"{proposal_id}",'
            f'"connects":{rng.choice((4, 6, 8, 12, 16))},"boost_connects":{boost},"origin":"{origin}",'
            f'"client_segment":"{"smb" if number % 3 else "enterprise"}","trace":"{number:032x}"'
        )
        return "proposal-submitted", freelancer, fields

    def _other(self, number: int, freelancer: str) -> tuple[str, str, str]:
        rng = self._rng
        topic = rng.choices(self._rest, self._weights)[0]
        if topic in {"proposal-withdrawn", "boost-outbid"} and self._recent:
            who, job_id, proposal_id = rng.choice(self._recent)
            return topic, who, f'"freelancer_id":"{who}","job_id":"{job_id}","proposal_id":"{proposal_id}"'
        about = {
            "certification-completed": f'"certification_id":"cert-{number % 40}","kind":"skill-certification"',
            "connects-purchased": f'"purchase_id":"b-{number}","connects":{rng.choice((40, 60, 80, 150))}',
            "badge-earned": f'"badge":"{rng.choice(("rising-talent", "top-rated"))}"',
        }.get(topic)
        if about is None:
            topic, about = "connects-purchased", f'"purchase_id":"b-{number}","connects":10'
        return topic, freelancer, f'"freelancer_id":"{freelancer}",{about}'
