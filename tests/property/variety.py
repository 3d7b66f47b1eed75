"""How random histories are drawn, under which policies they are decided, and how long the search takes."""

import math
import os
import random
from typing import Any, Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.kit.histories import MEMBERSHIPS, Record, small_histories
from tests.kit.lives import small_lives
from tests.kit.policies import later_version, policy_text, with_promo_codes
from tests.kit.sizes import SOAK

_POLICIES = {
    "as it is": policy_text(),
    "decline": policy_text(overdraft="decline"),
    "expire": policy_text(refund_to_ending_lot="expire"),
    "claw-back": policy_text(late_hire="claw-back"),
    "all the other way": policy_text(
        overdraft="decline", refund_to_ending_lot="expire", late_hire="claw-back", late_cycle_start="after-anniversary"
    ),
    "nothing for registering": policy_text(registration=0, interview_cap=12, basic=0),
    "changing": policy_text()
    + later_version("2026-02-06", plus_price_cents=1_500, plus_paid=60, plus_free=13, basic=7)
    + later_version("2026-12-20", overdraft="decline", registration=10, certification=25),
    "changing its switches": policy_text(
        lot_lifetime_years=2, interview_cap_days=3, late_cycle_start="after-anniversary"
    )
    + later_version(
        "2026-01-12", refund_to_ending_lot="expire", late_hire="claw-back", interview_cap=15, interview_cap_days=20
    )
    + later_version("2026-01-20", ending_lot_days=400, grace_lot_days=5, overdraft="decline", currency="EUR")
    + later_version("2026-02-10", late_hire="claw-back", late_cycle_start="after-anniversary", basic=3)
    + later_version("2026-03-20", refund_to_ending_lot="expire", overdraft="decline", lot_lifetime_years=3),
}
POLICIES = {name: with_promo_codes(text) for name, text in _POLICIES.items()}
"""The real policy with promo codes, each of its switches the other way, amounts of 0, and two that change amid the
histories: prices and amounts, and every switch."""

_EVERY_DAY: Final = 0.1
_OF_THE_RUN = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID"))
"""The same in all processes of one run: they have to find the same tests."""
FOR_GOOD = 1
"""The seed of every run: of it alone is asserted how much a history brings, where a random one may bring too little."""
SEEDS = [int(os.environ["TEST_SEED"])] if "TEST_SEED" in os.environ else [FOR_GOOD, _OF_THE_RUN.getrandbits(32)]
"""One for good and one of today."""


def looking(examples: int) -> settings:
    """Settings for that many examples in `make soak`, a tenth of them every day, or as many as somebody asks for."""
    wanted = math.ceil(examples * min(1.0, max(_EVERY_DAY, SOAK)))
    return settings(
        max_examples=int(os.environ.get("TEST_EXAMPLES", wanted)),
        print_blob=True,
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    )


def histories(*, in_order: bool = False, years: bool = False, **how: Any) -> st.SearchStrategy[list[Record]]:  # noqa: ANN401
    """Small nasty ones, several after one another, for hypothesis likes lists short."""
    return _joined(small_histories(in_order=in_order, years=years, **how), in_order=in_order)


def membership_histories(*, in_order: bool = False, years: bool = False) -> st.SearchStrategy[list[Record]]:
    """About memberships: sensible lives, and the same nasty ones as above around cycle starts."""
    nasty = histories(in_order=in_order, years=years, months=True, topics=MEMBERSHIPS)
    return st.one_of(small_lives(in_order=in_order), small_lives(in_order=in_order), nasty)


def _joined(part: st.SearchStrategy[list[Record]], *, in_order: bool) -> st.SearchStrategy[list[Record]]:
    parts = st.lists(part, min_size=1, max_size=6)
    joined = parts.map(lambda drawn: [record for part in drawn for record in part])
    return joined.map(lambda records: sorted(records, key=lambda record: record[3])) if in_order else joined


def any_histories() -> st.SearchStrategy[list[Record]]:
    """In any order within hours, in order over years, in any order over years, and around cycle starts."""
    return st.one_of(
        histories(),
        histories(in_order=True, years=True),
        histories(years=True),
        membership_histories(in_order=True),
        membership_histories(years=True),
    )
