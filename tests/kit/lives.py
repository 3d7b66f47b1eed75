"""Small lives of two members, for hypothesis: one step after another, some time later or around a cycle start."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.kit.billing import Member, Schedule, UnansweredBilling, midnight
from tests.kit.histories import START, Record, record_of, rfc3339

Step = tuple[str, str, tuple[str, float], int, float]
"""Who, what, when after the step before, which of several, and how many seconds late it arrives."""

GAPS = (0, 1, 29, 30, 31, 3_600, 86_399, 86_400, 5 * 86_400, 15 * 86_400, 27 * 86_400)
TURNS = (-86_400, -1, -0.000001, 0, 0.000001, 1, 29, 29.999999, 30, 30.000001, 31, 86_400)
AFTER_THE_30TH = (-86_401, 0, 86_399, 86_400, 2 * 86_400 - 1, 3 * 86_400, 10 * 86_400)
FEBRUARY = 2
DELAYS = (0, 0, 0, 0, 0, 1, 31, 86_400, 20 * 86_400, 40 * 86_400)
OFTEN = ("plus", "plus", "plus", *("paid",) * 6, "failed", "failed", "suspend", "basic")
CODES = ("WELCOME", "FIVEOFF", "FREE", "ENDED")
SCOPES = ("account", "billing-method")
CENTS = (0, 1_000, 2_000, 9_000)


class Lives:
    """`steps` are what may happen; each informs the billing system and returns the topic and fields of its event."""

    def __init__(self) -> None:
        self.schedule = Schedule()
        self.billing = UnansweredBilling(random.Random(0), self.schedule, lambda *_: None)
        self.at = START
        self.event_id = ""

    def lived(self, drawn: list[Step], *, in_order: bool) -> list[Record]:
        arriving = []
        for number, (who, what, (kind, seconds), which, delay) in enumerate(drawn):
            self.at = max(self.at, self._from(who, kind) + timedelta(seconds=seconds))
            self.event_id = f"e-{number}"
            self.schedule.until(self.at)
            topic, fields = STEPS[what](self, who, which)
            body = {"event_id": self.event_id, "occurred_at": rfc3339(self.at), "freelancer_id": who, **fields}
            arrival = self.at if in_order else self.at + timedelta(seconds=delay)
            arriving.append((arrival, number, record_of(topic, body, self.at)))
        return [record for _, _, record in sorted(arriving, key=lambda one: one[:2])]

    def _from(self, who: str, kind: str) -> datetime:
        """What time is counted from: now, a cycle start, or the 30th of a month, after which nobody is billed."""
        member = self.billing.members.get(who)
        if kind == "turn" and member:
            return midnight(member.next_renewal)
        if kind == "the 30th":
            return self.at.replace(day=30, hour=0, minute=0) if self.at.month != FEBRUARY else self.at
        return self.at

    def plus(self, who: str, which: int) -> tuple[str, dict[str, Any]]:
        del which
        self.billing.chooses_plus(who, self.at, self.event_id)
        return "membership-plan-chosen", {"plan": "plus"}

    def plus_with_a_code(self, who: str, which: int) -> tuple[str, dict[str, Any]]:
        topic, fields = self.plus(who, which)
        return topic, {**fields, "promo_code": CODES[which]}

    def basic(self, who: str, which: int) -> tuple[str, dict[str, Any]]:
        del which
        self.billing.chooses_basic(who, self.at)
        return "membership-plan-chosen", {"plan": "basic"}

    def register(self, who: str, which: int) -> tuple[str, dict[str, Any]]:
        del which
        self.billing.begins(who, self.at)
        return "freelancer-registered", {}

    def paid(self, who: str, which: int) -> tuple[str, dict[str, Any]]:
        return self._answered(who, which, "paid")

    def failed(self, who: str, which: int) -> tuple[str, dict[str, Any]]:
        return self._answered(who, which, "failed")

    def _answered(self, who: str, which: int, outcome: str) -> tuple[str, dict[str, Any]]:
        charge_id = self.billing.answers(who, max(0, which - 1), outcome, self.at)
        return "membership-charge-settled", {"charge_id": charge_id, "outcome": outcome, "source": "a card"}

    def code(self, who: str, which: int) -> tuple[str, dict[str, Any]]:
        del who
        return "promo-code-entered", {"promo_code": CODES[which]}

    def earn(self, who: str, which: int) -> tuple[str, dict[str, Any]]:
        self._member(who).earned = CENTS[which]
        return "earnings-balance-updated", {"available_cents": CENTS[which]}

    def suspend(self, who: str, which: int) -> tuple[str, dict[str, Any]]:
        self._member(who).suspended.add(SCOPES[which % 2])
        return "account-suspended", {"scope": SCOPES[which % 2]}

    def reinstate(self, who: str, which: int) -> tuple[str, dict[str, Any]]:
        self._member(who).suspended.discard(SCOPES[which % 2])
        return "account-reinstated", {"scope": SCOPES[which % 2]}

    def spend(self, who: str, which: int) -> tuple[str, dict[str, Any]]:
        del who
        named = {"job_id": "j-1", "proposal_id": f"p-{self.event_id}", "origin": "proposal"}
        return "proposal-submitted", {**named, "connects": 45 * which}

    def buy(self, who: str, which: int) -> tuple[str, dict[str, Any]]:
        del who
        return "connects-purchased", {"purchase_id": f"b-{self.event_id}", "connects": 10 * which}

    def _member(self, who: str) -> Member:
        """A freelancer without a membership is forgotten again."""
        return self.billing.members.get(who) or Member("basic", START.date(), START.date())


STEPS: dict[str, Callable[[Lives, str, int], tuple[str, dict[str, Any]]]] = {
    name: step for name, step in vars(Lives).items() if not name.startswith("_") and name != "lived"
}

_steps = st.tuples(
    st.sampled_from(("f-1", "f-1", "f-1", "f-2")),
    st.sampled_from((*STEPS, *OFTEN)),
    st.one_of(
        st.tuples(st.just("gap"), st.sampled_from(GAPS)),
        st.tuples(st.just("turn"), st.sampled_from(TURNS)),
        st.tuples(st.just("the 30th"), st.sampled_from(AFTER_THE_30TH)),
    ),
    st.integers(0, 3),
    st.sampled_from(DELAYS),
)


def _late_upgrades() -> st.SearchStrategy[list[Step]]:
    """Plus is chosen after the 28th, amid a Basic cycle, and perhaps paid after the 1st, where its cycle ends."""
    registers: Step = ("f-1", "register", ("gap", 9 * 86_400), 0, 0)
    chooses: Step = ("f-1", "plus", ("the 30th", 3_600), 0, 0)
    whats = st.sampled_from(("earn", "earn", "basic", "suspend", "code", "paid", "paid", "failed"))
    gaps = st.tuples(st.just("gap"), st.sampled_from((1, 20, 86_400, 2 * 86_400, 5 * 86_400)))
    follows = st.tuples(st.just("f-1"), whats, gaps, st.integers(0, 3), st.sampled_from(DELAYS))
    return st.lists(follows, min_size=1, max_size=6).map(lambda steps: [registers, chooses, *steps])


def small_lives(*, in_order: bool = False) -> st.SearchStrategy[list[Record]]:
    """What happens to two members in months, most of it sensible: the charges that are answered were mostly asked.

    `in_order`: all arrives in order of time, else some of it a second to weeks late.
    """
    begin = st.one_of(st.just([]), _late_upgrades())
    parts = st.lists(st.lists(_steps, min_size=1, max_size=20), min_size=1, max_size=4)
    return st.tuples(begin, parts).map(
        lambda drawn: Lives().lived([*drawn[0], *(step for part in drawn[1] for step in part)], in_order=in_order)
    )
