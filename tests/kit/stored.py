"""What must hold of all that is stored so that the history can be decided again."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

Row = Mapping[str, Any]


def check_what_is_stored(decisions: Iterable[Row], memberships: Iterable[Row], after: int = 0) -> None:
    """Of decisions in ledger order; those up to the seq `after` are of a release that stored none of it."""
    last: dict[str, int] = {}
    shown: dict[str, list[int]] = {}
    before = None
    for row in decisions:
        name, place = row["freelancer_id"], f"decision {row['seq']}"
        if row["seq"] > after:
            assert row["previous_seq"] == (None if name is None else last.get(name, 0)), place
            running = row["running_time"] or row["business_time"]
            if running is not None:
                assert before is None or before <= running, f"{place}: business time went back"
                before = running
            if row["running_time"] is not None:
                assert row["kind"] in {"settlement", "clock", "follow-up"}, place
                assert row["running_time"] > row["business_time"], f"{place} was taken before it was due"
        if name is not None:
            last[name] = row["seq"]
        if row["membership_updated"] is not None:
            shown.setdefault(name, []).append(json.loads(row["membership_updated"])[0])
    if after:
        return
    for row in memberships:
        versions = shown.pop(row["freelancer_id"], [])
        assert versions == list(range(1, row["version"] + 1)), f"{row['freelancer_id']}: {versions}"
    assert not shown
