"""Books that are strict know the difference between what does not exist and what nobody loaded."""

from collections.abc import Callable

import pytest

from tests.kit.story import GRACE, Story, answer
from worker.domain.model import ChargeId, ChargeKey, FreelancerId, JobId, ProposalId
from worker.domain.state import State

HER = FreelancerId("f-1")
CHARGE = ChargeKey(HER, ChargeId("f-1:e-1:1"))
ASKED: dict[str, Callable[[State], object]] = {
    "wallet f-1": lambda state: state.wallet(HER),
    "job j-1": lambda state: state.job(JobId("j-1")),
    "the membership of f-1": lambda state: state.membership(HER),
    "the grant grant.badge of f-1/b-1": lambda state: state.grant("grant.badge", "f-1/b-1"),
    "proposal p-1": lambda state: state.spend(ProposalId("p-1")),
    "charge f-1:e-1:1 of f-1": lambda state: state.charge(CHARGE),
}


@pytest.mark.parametrize("named", ASKED)
def test_asking_for_what_was_not_loaded_is_an_error(named: str) -> None:
    with pytest.raises(LookupError, match=f"^{named} was not loaded$"):
        ASKED[named](State(GRACE, strict=True))


def test_what_was_loaded_and_does_not_exist_is_absent() -> None:
    state = State(GRACE, strict=True)
    state.absent_grants.add(("grant.badge", "f-1/b-1"))
    state.absent_spends.add(ProposalId("p-1"))
    state.absent_charges.add(CHARGE)
    assert state.grant("grant.badge", "f-1/b-1") is None
    assert state.spend(ProposalId("p-1")) is None
    assert state.charge(CHARGE) is None


def test_what_is_absent_has_to_be_loaded_again_once_absences_were_forgotten() -> None:
    state = State(GRACE, strict=True)
    state.absent_wallets.add(HER)
    state.absent_grants.add(("grant.badge", "f-1/b-1"))
    state.absent_spends.add(ProposalId("p-1"))
    state.absent_charges.add(CHARGE)
    state.forget_absences()
    for ask in ASKED.values():
        with pytest.raises(LookupError):
            ask(state)


def test_a_rule_whose_grant_nobody_loaded_fails_instead_of_granting_again() -> None:
    story = Story(strict=True)
    story.state.absent_wallets.add(HER)
    with pytest.raises(LookupError, match=r"the grant grant\.badge of f-1/rising-talent was not loaded"):
        story.earned_badge("f-1")
    story.state.absent_grants.add(("grant.badge", "f-1/rising-talent"))
    assert answer(story.earned_badge("f-1")) == "applied/badge-earned"
    story.state.grants.clear()
    with pytest.raises(LookupError):
        story.earned_badge("f-1")
