"""A simulated billing system, and who is on which plan: enough that most replies are about requested charges.

It knows the rules only roughly. Where it is wrong, a charge is answered that was not requested, which happens, too.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

PRICE_CENTS = 2_000
PAYMENTS = ("a card", "a bank account", "earnings")


@dataclass
class Member:
    plan: str
    cycle_start: date
    next_renewal: date
    leaves: bool = False
    upgrade: str | None = None
    renewal: str | None = None
    chosen_on: date | None = None
    earned: int | None = None
    suspended: set[str] = field(default_factory=set)


@dataclass
class Ask:
    freelancer_id: str
    charge_id: str
    from_earnings: bool


class Schedule:
    """The coming events, in order of time; no two at one instant, and none at one of `taken`."""

    def __init__(self) -> None:
        self.taken: set[datetime] = set()
        self._coming: list[tuple[datetime, int, Callable[[datetime], None]]] = []
        self._count = 0

    def at(self, when: datetime, what: Callable[[datetime], None], *, sent: bool = True) -> None:
        """`sent`: an event will be dated at that instant, or at the next one that is free."""
        while sent and when in self.taken:
            when += timedelta(microseconds=1)
        if sent:
            self.taken.add(when)
        self._count += 1
        heapq.heappush(self._coming, (when, self._count, what))

    def until(self, instant: datetime) -> None:
        while self._coming and self._coming[0][0] < instant:
            when, _, what = heapq.heappop(self._coming)
            what(when)


class Billing:
    """`answer(at, freelancer_id, charge_id, outcome, source)` is how it reports what became of a charge."""

    def __init__(
        self, chance: random.Random, schedule: Schedule, answer: Callable[[datetime, str, str, str, str], None]
    ) -> None:
        self.chance = chance
        self.schedule = schedule
        self.answer = answer
        self.members: dict[str, Member] = {}
        self.asked: list[Ask] = []

    def begins(self, freelancer_id: str, at: datetime) -> Member:
        if freelancer_id not in self.members:
            self.members[freelancer_id] = Member("basic", at.date(), at.date())
            self._move_to(freelancer_id, at.date())
        return self.members[freelancer_id]

    def chooses_plus(self, freelancer_id: str, at: datetime, event_id: str) -> None:
        member = self.begins(freelancer_id, at)
        if member.leaves:
            member.leaves = False
        elif member.plan == "basic" and not member.upgrade and not member.suspended:
            member.upgrade, member.chosen_on = f"{freelancer_id}:{event_id}:1", at.date()
            self._ask(freelancer_id, member.upgrade, at)

    def chooses_basic(self, freelancer_id: str, at: datetime) -> None:
        member = self.begins(freelancer_id, at)
        member.leaves = member.plan == "plus" or member.upgrade is not None

    def _move_to(self, freelancer_id: str, day: date) -> None:
        member = self.members[freelancer_id]
        member.cycle_start, member.next_renewal = day, a_month_later(day)
        turn = member.next_renewal
        self.schedule.at(midnight(turn), lambda at: self._cycle_starts(freelancer_id, at), sent=False)

    def _cycle_starts(self, freelancer_id: str, at: datetime) -> None:
        member = self.members[freelancer_id]
        if member.next_renewal != at.date():
            return
        if member.plan == "plus":
            if member.renewal or member.leaves or member.suspended:
                member.plan, member.renewal, member.leaves = "basic", None, False
            else:
                member.renewal = f"{freelancer_id}:{at.date()}:1"
                self._ask(freelancer_id, member.renewal, at)
        self._move_to(freelancer_id, at.date())

    def _ask(self, freelancer_id: str, charge_id: str, at: datetime) -> None:
        """Decide what becomes of it, and when: mostly soon, sometimes weeks later, now and then twice or never."""
        chance, earned = self.chance, self.members[freelancer_id].earned
        ask = Ask(freelancer_id, charge_id, from_earnings=(earned or 0) >= PRICE_CENTS and charge_id.endswith(":1"))
        self.asked.append(ask)
        if chance.random() < 0.96:
            self._will_answer(ask, at + self._delay())
        if chance.random() < 0.03:
            self._will_answer(ask, at + self._delay())

    def _delay(self) -> timedelta:
        longest = self.chance.choices((25, 72_000, 25 * 86_400, 70 * 86_400), (35, 47, 13, 5))[0]
        return timedelta(seconds=longest * self.chance.random())

    def _will_answer(self, ask: Ask, when: datetime) -> None:
        outcome = "failed" if self.chance.random() < (0.35 if ask.from_earnings else 0.12) else "paid"
        self.schedule.at(when, lambda at: self._answers(ask, outcome, at))

    def _answers(self, ask: Ask, outcome: str, at: datetime) -> None:
        self.answer(at, ask.freelancer_id, ask.charge_id, outcome, self.chance.choice(PAYMENTS))
        member = self.members[ask.freelancer_id]
        if ask.charge_id not in {member.upgrade, member.renewal}:
            return
        is_upgrade = ask.charge_id == member.upgrade
        if outcome == "failed" and ask.from_earnings:
            again = ask.charge_id.removesuffix("1") + "2"
            member.upgrade, member.renewal = (again, member.renewal) if is_upgrade else (member.upgrade, again)
            self._ask(ask.freelancer_id, again, at)
        elif is_upgrade:
            member.upgrade = None
            if outcome == "paid":
                member.plan = "plus"
                in_this_cycle = member.chosen_on and member.chosen_on >= member.cycle_start
                self._move_to(ask.freelancer_id, member.chosen_on if in_this_cycle else at.date())
        else:
            member.renewal = None
            if outcome == "failed":
                member.plan, member.leaves = "basic", False


class UnansweredBilling(Billing):
    """One that answers only when it is asked to."""

    def _ask(self, freelancer_id: str, charge_id: str, at: datetime) -> None:
        del at
        earned = self.members[freelancer_id].earned or 0
        self.asked.append(Ask(freelancer_id, charge_id, earned >= PRICE_CENTS and charge_id.endswith(":1")))

    def answers(self, freelancer_id: str, back: int, outcome: str, at: datetime) -> str:
        """Answer the charge asked last of this freelancer, or one that many before it; returns its id."""
        asked = [ask for ask in self.asked if ask.freelancer_id == freelancer_id]
        if not asked:
            return f"{freelancer_id}:e-0:1"
        ask = asked[max(0, len(asked) - 1 - back)]
        self._answers(ask, outcome, at)
        return ask.charge_id


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def a_month_later(day: date) -> date:
    """The next billing day: never after the 28th."""
    if day.day > 28:
        day = day.replace(day=1)
    return (day.replace(day=1) + timedelta(days=31)).replace(day=day.day)
