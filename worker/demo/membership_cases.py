"""Questions of freelancers about their memberships (S3, S0): monthly Connects that are late, missing or too few.

"Yesterday's cycle" began at midnight of the day before the question; what happened is dated in days of that cycle or of
the cycles before it.
"""

from typing import Final

from worker.demo.cases import Answers, Case, CycleDay, Happening

_YESTERDAYS: Final = CycleDay(0)


def _registers(back: int, days: float = 0.35) -> Happening:
    return Happening(CycleDay(back, days), "freelancer-registered")


def _chooses(plan: str, back: int, days: float) -> Happening:
    return Happening(CycleDay(back, days), "membership-plan-chosen", {"plan": plan})


def _settled(answers: Answers, back: int, days: float, outcome: str = "paid", source: str = "the card") -> Happening:
    fields = {"outcome": outcome, "source": source}
    return Happening(CycleDay(back, days), "membership-charge-settled", fields, answers=answers)


def _has_earned(cents: int, back: int, days: float) -> Happening:
    return Happening(CycleDay(back, days), "earnings-balance-updated", {"available_cents": cents})


MEMBERSHIP_CASES: Final[tuple[Case, ...]] = (
    Case(
        "My Plus cycle began yesterday, and I have none of the 80.",
        "f-bela",
        (_registers(2), _chooses("plus", 1, 0.4), _settled(Answers(2), 1, 0.42)),
        "charge-unanswered",
        about="freelancer",
    ),
    Case(
        "My cycle began yesterday. Where are my 10?",
        "f-bruno",
        (_registers(3), Happening(CycleDay(0, -6.5), "account-suspended", {"scope": "account"})),
        "account-suspended",
        about="freelancer",
    ),
    Case(
        "I went back to Basic and got 10 Connects, not 80.",
        "f-carla",
        (
            _registers(3),
            _chooses("plus", 2, 0.4),
            _settled(Answers(2), 2, 0.42),
            _settled(Answers(CycleDay(1)), 1, 0.02),
            _chooses("basic", 1, 12.3),
        ),
        "cycle-started",
        about="freelancer",
    ),
    Case(
        "I pay for Plus. Why did I get 73 Connects and not 80?",
        "f-dario",
        (_registers(1), _chooses("plus", 1, 10.4), _settled(Answers(2), 1, 10.41)),
        "upgraded",
        about=3,
    ),
    Case(
        "My monthly Connects came hours after my cycle began. What happened?",
        "f-elif",
        (
            _registers(3),
            _chooses("plus", 1, 0.4),
            _settled(Answers(2), 1, 0.42),
            _has_earned(4_500, 1, 20.6),
            _settled(Answers(_YESTERDAYS), 0, 0.02, "failed", "the earnings balance"),
            _settled(Answers(_YESTERDAYS, attempt=2), 0, 0.9),
        ),
        "renewed",
        about=6,
    ),
)
