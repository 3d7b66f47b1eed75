"""The demo's policy: the one that comes with the code, with promotion codes, of which that one has none."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from schemas.fields import rfc3339
from worker.embedded.state import DEMO_POLICY
from worker.errors import LocalStackError
from worker.settings import packaged_policy

VALID_CODES: Final = ("WELCOME", "FIVEOFF")
PAST_CODE: Final = "SPRING"
"""A code whose time is over."""

_HEADER: Final = "[version.memberships.promo_codes]"
_OVER_DAYS: Final = 60
_YEARS_DAYS: Final = 20 * 366


def write_policy(folder: Path, now: datetime) -> Path:
    """Write the policy of a demo that begins `now` into its folder.

    Raises:
        LocalStackError: the packaged policy has no place for promotion codes.
    """
    above, header, below = packaged_policy().read_text(encoding="utf-8").partition(_HEADER)
    if not header:
        raise LocalStackError(f"{packaged_policy()} has no {_HEADER}: the demo's codes have no place")
    path = folder / DEMO_POLICY
    path.write_text(f"{above}{header}  # of a demo\n{_codes(now)}#{below}", encoding="utf-8")
    return path


def _codes(now: datetime) -> str:
    long_ago, far_future = now - timedelta(days=_YEARS_DAYS), now + timedelta(days=_YEARS_DAYS)
    over = now - timedelta(days=_OVER_DAYS)
    codes = (
        ("WELCOME", "percent_off = 50, charges = 3", long_ago, far_future),
        ("FIVEOFF", "cents_off = 500, charges = 1", long_ago, far_future),
        (PAST_CODE, "percent_off = 25, charges = 1", long_ago, over),
    )
    return "".join(
        f"{code} = {{ {terms}, valid_from = {rfc3339(since)}, valid_until = {rfc3339(until)} }}\n"
        for code, terms, since, until in codes
    )
