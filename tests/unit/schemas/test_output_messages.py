"""Each message of the worker is consistent in itself."""

import json

import pytest
from pydantic import ValidationError

from schemas.catalogue import OUTPUT_TOPICS
from schemas.examples import EXAMPLES
from schemas.outputs import MembershipChargeRequested, OwnCause, RecordCause, WalletUpdated


def wallet_updated(**changes: object) -> WalletUpdated:
    return WalletUpdated.model_validate_json(json.dumps(EXAMPLES["wallet-updated"] | changes))


@pytest.mark.parametrize("topic", OUTPUT_TOPICS)
def test_an_output_is_written_as_the_contract_shows_it(topic: str) -> None:
    written = OUTPUT_TOPICS[topic].model_validate_json(json.dumps(dict(EXAMPLES[topic]))).model_dump_json()
    assert json.loads(written) == EXAMPLES[topic]


def test_a_cause_is_a_record_or_business_time_or_a_command() -> None:
    assert isinstance(wallet_updated().cause, RecordCause)
    for own in ("cycle:freelancer-9:2026-02-05", "expiry:lot-1", "command:17"):
        cause = {"topic": None, "event_id": own}
        change = wallet_updated(cause=cause)
        assert isinstance(change.cause, OwnCause)
        assert json.loads(change.model_dump_json())["cause"] == cause
    with pytest.raises(ValidationError):
        wallet_updated(cause={"topic": None, "event_id": "whim:1"})


def test_a_subject_names_only_what_applies() -> None:
    assert json.loads(wallet_updated(subject={}).model_dump_json())["subject"] == {}
    assert json.loads(wallet_updated(subject={"job_id": "j"}).model_dump_json())["subject"] == {"job_id": "j"}


def test_a_charge_without_promotion_says_nothing_of_one() -> None:
    content = {name: value for name, value in EXAMPLES["membership-charge-requested"].items() if name != "promo_code"}
    assert json.loads(MembershipChargeRequested.model_validate_json(json.dumps(content)).model_dump_json()) == content


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"delta": 19}, "delta is not the sum"),
        ({"debt_delta": 1}, "delta is not the sum"),
        ({"lots": []}, "delta is not the sum"),
        ({"balance_after": 41}, "balance_after is not"),
        ({"overdrawn": True}, "overdrawn"),
        ({"version": 0}, "version"),
    ],
)
def test_a_change_that_does_not_add_up_is_no_message(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        wallet_updated(**changes)


def test_what_no_lot_covers_is_debt_and_the_balance_goes_below_zero() -> None:
    change = wallet_updated(delta=-25, debt_delta=5, balance_before=20, balance_after=-5, overdrawn=True,
                            lots=[{"lot_id": "lot-1", "delta": -20, "expires_at": "2027-01-15T00:00:00Z"}])  # fmt: skip
    assert change.balance_after == -5
