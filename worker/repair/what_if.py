"""What another policy would have given: the amounts that differ, by rule and by wallet. No plan is made of it."""

from datetime import datetime

import msgspec

from worker.domain.decisions import Decision
from worker.domain.policy import PolicyBook
from worker.domain.state import State
from worker.ledger.connections import Connection
from worker.ledger.tables import DecisionRow
from worker.proof.checks import Progress
from worker.proof.made_good import answers_the_same
from worker.proof.reader import PostgresReader
from worker.proof.recorded import Recorded
from worker.repair.deciding import judge
from worker.repair.judging import amounts, refusal_to_judge, rule_of
from worker.repair.summary import Balance, Booked, gain_and_lose_most


class WhatIf(msgspec.Struct, frozen=True):
    """Decisions of a span that would have another amount; Connects that would be given, and taken, more: both positive.

    `gain_most` and `lose_most` have what a wallet got by these decisions, `before`, and would have got, `after`.
    """

    decisions: int
    """How many were decided again."""
    differ: int
    given: int
    taken: int
    wallets_gaining: int
    wallets_losing: int
    booked: list[Booked]
    gain_most: list[Balance]
    lose_most: list[Balance]
    not_compared: int
    """Decisions that cannot be decided again, because what was recorded cannot be followed so far, or in whose place
    something else would be decided."""


async def what_if(
    connection: Connection,
    policies: PolicyBook,
    occurred_from: datetime | None,
    occurred_to: datetime | None,
    progress: Progress,
) -> WhatIf:
    """Decide everything again by these policy versions, each decision on the recorded state before it.

    What is compared took effect from `occurred_from` (included) to `occurred_to` (excluded); None: no end.

    Raises:
        Transient: the ledger is away.
    """
    totals, reader = _Totals(occurred_from, occurred_to), PostgresReader(connection)
    skipped = await judge(reader, totals, None, await reader.end(), policies, progress)
    return totals.added_up(skipped + totals.not_compared)


class _Totals:
    """Takes every decision that is decided again, and adds up what differs."""

    def __init__(self, occurred_from: datetime | None, occurred_to: datetime | None) -> None:
        self._from, self._to = occurred_from, occurred_to
        self._decisions = self._differ = self.not_compared = 0
        self._by_rule: dict[str, Booked] = {}
        self._wallets: dict[str, tuple[int, int]] = {}

    def __call__(self, recorded: Recorded, now: Decision | None, _state: State) -> None:
        row = recorded.row
        if not recorded.is_mine or row.freelancer_id is None or not self._is_within(row):
            return
        if now is not None and not answers_the_same(now, recorded):
            self.not_compared += 1
            return
        self._decisions += 1
        booked, verdict = amounts(recorded, now)
        if booked == verdict:
            return
        self._differ += 1
        rule = rule_of(recorded, now)
        total = self._by_rule.setdefault(rule, Booked(rule, "another-amount"))
        total.changes += 1
        total.given += max(verdict - booked, 0)
        total.taken += max(booked - verdict, 0)
        before, after = self._wallets.get(row.freelancer_id, (0, 0))
        self._wallets[row.freelancer_id] = (before + booked, after + verdict)

    def _is_within(self, row: DecisionRow) -> bool:
        at = row.occurred_at
        if at is None or refusal_to_judge(row) is not None:
            return False
        return not ((self._from is not None and at < self._from) or (self._to is not None and at >= self._to))

    def added_up(self, not_compared: int) -> WhatIf:
        """All of it; of wallets the ten that gain and lose most."""
        balances = [Balance(name, *both) for name, both in sorted(self._wallets.items())]
        return WhatIf(
            self._decisions,
            self._differ,
            sum(one.given for one in self._by_rule.values()),
            sum(one.taken for one in self._by_rule.values()),
            sum(one.difference > 0 for one in balances),
            sum(one.difference < 0 for one in balances),
            sorted(self._by_rule.values(), key=lambda one: (-(one.given + one.taken), one.rule)),
            *gain_and_lose_most(balances),
            not_compared,
        )
