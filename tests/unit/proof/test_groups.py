"""Which recorded decisions answer one trigger, in a part that does not have those of other wallets."""

from datetime import UTC, datetime, timedelta
from typing import Any

from worker.domain.policy import PolicyBook
from worker.ledger.tables import DecisionRow
from worker.proof.groups import Groups
from worker.proof.recorded import BatchHeader, Recorded

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HEADER = BatchHeader(1, 100, "0.2.0", timedelta(0), PolicyBook(()), NOON)
DECISION = DecisionRow(
    *(
        0,
        1,
        "first",
        None,
        "proposal-submitted",
        0,
        0,
        0,
        "e-1",
        NOON,
        None,
        None,
        None,
        "applied",
        "proposal-submitted",
    ),
    *(None, None, "{}", None, NOON, NOON, None, None, None, None),
)


def recorded(seq: int, **columns: Any) -> Recorded:  # noqa: ANN401
    return Recorded(DECISION._replace(seq=seq, **columns), HEADER)


def groups_of(*decisions: Recorded) -> list[list[int]]:
    groups = Groups()
    found = []
    for decision in decisions:
        found.append(groups.before(decision))
        groups.add(decision)
    return [[one.row.seq for one in group] for group in (*found, groups.last()) if group is not None]


def follow_up(seq: int) -> Recorded:
    return recorded(seq, kind="follow-up", topic="boost-outbid", follows=1, proposal_id="p-1")


def test_what_had_waited_for_a_proposal_belongs_to_it_also_after_a_gap() -> None:
    assert groups_of(recorded(3, proposal_id="p-1"), follow_up(4), follow_up(6)) == [[3, 4, 6]]


def test_what_waited_for_a_proposal_of_another_wallet_does_not_belong_to_one_that_was_refused() -> None:
    refused = recorded(3, proposal_id="p-1", outcome="rejected", reason="event-id-conflict")
    assert groups_of(refused, follow_up(5)) == [[3], [5]]


def test_what_waited_for_another_wallets_proposal_is_one_group_though_others_waited_between() -> None:
    assert groups_of(follow_up(5), follow_up(7)) == [[5, 7]]
