"""How random histories are drawn, under which policies they are decided, and how long is looked for."""

import os
import random

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.support.histories import Record, small_histories
from tests.support.policies import later_version, policy_text

POLICIES = {
    "as it is": policy_text(),
    "decline": policy_text(overdraft="decline"),
    "expire": policy_text(refund_to_ending_lot="expire"),
    "claw-back": policy_text(late_hire="claw-back"),
    "all the other way": policy_text(overdraft="decline", refund_to_ending_lot="expire", late_hire="claw-back"),
    "nothing for registering": policy_text(registration=0, interview_cap=12),
    "changing": policy_text() + later_version("2026-12-20", overdraft="decline", registration=10, certification=25),
}
"""The real policy, each of its switches the other way, amounts of 0, and one that changes amid the histories."""

SEEDS = [int(os.environ["TEST_SEED"])] if "TEST_SEED" in os.environ else [1, random.getrandbits(32)]
"""One for good and one of today."""


def looking(examples: int) -> settings:
    """Settings for that many examples, unless somebody asked for more patience."""
    return settings(
        max_examples=int(os.environ.get("TEST_EXAMPLES", examples)),
        deadline=None,
        print_blob=True,
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    )


def histories(*, in_order: bool = False, years: bool = False) -> st.SearchStrategy[list[Record]]:
    """Small nasty ones, several after one another, for hypothesis likes lists short."""
    parts = st.lists(small_histories(in_order=in_order, years=years), min_size=1, max_size=6)
    joined = parts.map(lambda drawn: [record for part in drawn for record in part])
    return joined.map(lambda records: sorted(records, key=lambda record: record[3])) if in_order else joined


def any_histories() -> st.SearchStrategy[list[Record]]:
    """In any order within hours, in order over years, in any order over years."""
    return st.one_of(histories(), histories(in_order=True, years=True), histories(years=True))
