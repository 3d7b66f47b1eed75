"""The questions that freelancers ask most about Connects (S3, in our words), each with the events behind it.

No answer is here: it comes from the ledger. `expected` is the reason code that the rules prescribe, and
the demo fails if the ledger says something else.
"""

from typing import Final

from worker.demo.cases import Case, Happening
from worker.demo.membership_cases import MEMBERSHIP_CASES


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
        about=4,
    ),
    Case(
        "My boost was outbid. Is it lost?",
        "f-kofi",
        (_registers(), _applies(7, 12, boost=9), Happening(6.5, "boost-outbid")),
        "boost-outbid",
        about=3,
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
        about=3,
    ),
    Case(
        "I won an interview with my proposal and got nothing?",
        "f-sofia",
        (_registers(), _applies(6, 10), _talks(5, "proposal", 0, 0)),
        "client-not-established",
        about=3,
    ),
    Case(
        "I lost Rising Talent and earned it back. Where are my 30 Connects?",
        "f-maya",
        (_registers(), _badge(50), _badge(2)),
        "already-granted",
        about=3,
    ),
    Case(
        "I finished Upwork 101. How many Connects is that?",
        "f-ravi",
        (
            _registers(20),
            Happening(19, "certification-completed", {"certification_id": "upwork-101", "kind": "learning-path"}),
        ),
        "not-a-skill-certification",
        about=2,
    ),
    *MEMBERSHIP_CASES,
)
