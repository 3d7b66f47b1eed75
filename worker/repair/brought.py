"""What both planning and applying must agree on: what a trigger brings, and under which policies it was decided."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from worker.domain.decisions import Decision, Outcome
from worker.domain.policy import PolicyBook
from worker.repair.plan import Expected

_SHORTFALL: Final = "shortfall"
"""The fact of a correction that says how many Connects it should take and are not there."""


def expected_of(decisions: Sequence[Decision]) -> Expected:
    """What a trigger brought: `decisions` are its own, and those of what had waited for it.

    The wallets are those whose balance changes in the end, in Connects.
    """
    deltas = ((change.freelancer_id, change.delta) for decision in decisions for change in decision.changes)
    first = decisions[0]
    return expected(first.outcome, first.reason, deltas, shortfall_of(first.subject.freelancer_id, first.facts))


def shortfall_of(freelancer_id: str | None, facts: Mapping[str, object]) -> dict[str, int]:
    """The Connects that a decision should take from its freelancer's wallet and that are not there; none: empty."""
    missing = facts.get(_SHORTFALL)
    return {freelancer_id: missing} if freelancer_id and isinstance(missing, int) and missing else {}


def expected(outcome: Outcome, reason: str, deltas: Iterable[tuple[str, int]], shortfall: dict[str, int]) -> Expected:
    """The same from the outcome, reason and shortfall of its own decision, and changes: whose, how many Connects."""
    wallets: dict[str, int] = {}
    for freelancer_id, delta in deltas:
        wallets[freelancer_id] = wallets.get(freelancer_id, 0) + delta
    changed = {freelancer_id: delta for freelancer_id, delta in wallets.items() if delta}
    return Expected(outcome, reason, changed, shortfall)


def versions_in(policies: PolicyBook) -> list[str]:
    """The policy versions, each with the hash of what it means, as a plan's header has them."""
    return [f"{policy.version} {policy.hash.hex()}" for policy in policies.versions]
