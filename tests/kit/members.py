"""Members in stories: dates to name, promotions to enter, and a Basic and a Plus member to begin with."""

from datetime import UTC, date, datetime

from tests.kit.policies import policies, policy_text
from tests.kit.story import GRACE, Story, answer
from worker.domain.decisions import Decision
from worker.domain.model import midnight
from worker.domain.policy import PolicyBook

PROMO_CODES = """
HALF = { percent_off = 50, charges = 2, valid_from = 2026-01-01T00:00:00Z, valid_until = 2026-07-01T00:00:00Z }
THIRD = { percent_off = 33, charges = 1, valid_from = 2026-01-01T00:00:00Z, valid_until = 2027-01-01T00:00:00Z }
FIVE = { cents_off = 500, charges = 1, valid_from = 2026-01-01T00:00:00Z, valid_until = 2026-07-01T00:00:00Z }
GIFT = { cents_off = 5000, charges = 1, valid_from = 2026-01-01T00:00:00Z, valid_until = 2027-01-01T00:00:00Z }
"""


def on(month: int, day: int, hour: int = 12, minute: int = 0, *, year: int = 2026) -> datetime:
    """A time of a day of 2026, or of another year: noon, if nothing else is said."""
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def with_promo_codes(**changes: object) -> PolicyBook:
    """The real policy with four promotion codes: HALF, THIRD, FIVE and GIFT."""
    return policies(policy_text(**changes) + PROMO_CODES)


def basic_member(policy: PolicyBook | None = None, name: str = "f-1") -> Story:
    """f-1 registered on 1 April: Basic, in the cycle 1 April to 1 May."""
    story = Story(policy, start=on(3, 31))
    story.registered(name, at=on(4, 1, 9))
    return story


def plus_member(policy: PolicyBook | None = None, name: str = "f-1") -> Story:
    """f-1 chose Plus on 10 April and paid: Plus, in the cycle 10 April to 10 May."""
    story = basic_member(policy, name)
    story.chose("plus", name, at=on(4, 10, 9))
    story.paid(story.charge(name).charge_id, name, at=on(4, 10, 10))
    return story


def cycle_starts(story: Story, month: int, day: int, *, year: int = 2026) -> list[Decision]:
    """Let the clock pass 00:00 of a day, and the grace; returns what it decided."""
    return story.until(midnight(date(year, month, day)) + GRACE)


def plan(story: Story, name: str = "f-1") -> tuple[str, date | None, date | None]:
    """Plan, cycle start and next renewal."""
    membership = story.membership(name)
    return membership.plan, membership.cycle_start, membership.next_renewal


def granted(decisions: list[Decision]) -> list[tuple[str, int, datetime]]:
    """The changes of decisions: rule, Connects, and the date of each."""
    return [(change.rule, change.delta, change.occurred_at) for decision in decisions for change in decision.changes]


def caused(decisions: list[Decision]) -> list[tuple[str, str]]:
    """What decisions answer, and how."""
    return [(decision.cause.event_id or "", answer(decision)) for decision in decisions]
