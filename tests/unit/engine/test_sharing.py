"""Which corrections may share a batch: footprints, and what waits behind what."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from worker.domain.model import Cause, FreelancerId, JobId, LotId, ProposalId
from worker.domain.rules.replaces import ToReplace
from worker.domain.rules.undone import ToUndo, UndoneAdd, UndoneSettle, UndoneSpendVoid, UndoneTold, UndoneVoid
from worker.domain.rules.voids import ToVoid
from worker.domain.state import Awaited
from worker.engine.sharing import Footprint, Taken, first_apart, named_by, touched_by
from worker.repair.plan import NOTHING, Replace, Undo, Void

AT = datetime(2026, 3, 1, tzinfo=UTC)


def void(number: int, name: str, job: str | None = None, proposal: str | None = None, topic: str = "") -> Void:
    topic = topic or ("proposal-submitted" if proposal else "connects-purchased")
    return Void(number, 100 + number, name, job, proposal, topic, [f"e-{number}"], "a test", number, NOTHING)


def undo(number: int, name: str, job: str | None, topic: str, what: Any) -> Undo:  # noqa: ANN401
    names = (FreelancerId(name), None if job is None else JobId(job), None)
    found = ToUndo(200 + number, f"e-{number}", "a.rule", AT, AT, *names, {}, what)
    of = (number, 200 + number, name, job, None, topic, [f"e-{number}"], "a plan", number, NOTHING)
    return Undo(*of, found)


def to_void(name: str, key: str = "", job: str | None = None, **more: Any) -> ToVoid:  # noqa: ANN401
    rule = more.pop("rule", "grant.purchase")
    return ToVoid(1, rule, key, "e-1", AT, FreelancerId(name), None if job is None else JobId(job), 5, {}, **more)


def numbers(triggers: list[Any]) -> list[int]:
    return [one.number for one in triggers]


def test_those_of_different_wallets_are_given_together_up_to_a_limit() -> None:
    voids = [void(n, f"f-{n}") for n in range(1, 6)]
    assert numbers(first_apart(voids, 3, ())) == [1, 2, 3]
    assert numbers(first_apart(voids, 9, ())) == [1, 2, 3, 4, 5]


def test_a_second_one_of_a_wallet_waits_and_others_pass_it() -> None:
    voids = [void(1, "f-1"), void(2, "f-1"), void(3, "f-2"), void(4, "f-1"), void(5, "f-3")]
    assert numbers(first_apart(voids, 9, ())) == [1, 3, 5]


def test_what_has_to_do_with_what_waits_waits_too() -> None:
    """The second waits for the first, and names job j-1: if it deviates, the third is left out."""
    voids = [void(1, "f-1"), void(2, "f-1", "j-1", "p-1"), void(3, "f-2", "j-1", "p-2"), void(4, "f-2"), void(5, "f-3")]
    assert numbers(first_apart(voids, 9, ())) == [1, 5]


def test_proposals_of_one_job_are_taken_out_of_it_together_but_not_beside_its_closing() -> None:
    spends = [void(n, f"f-{n}", "j-1", f"p-{n}") for n in (1, 2, 3)]
    assert numbers(first_apart(spends, 9, ())) == [1, 2, 3]
    for topic in ("job-closed", "hire-made"):
        fact = void(2, "", "j-1", topic=topic)
        assert numbers(first_apart([spends[0], fact, spends[2]], 9, ())) == [1], "the third waits behind the fact"
        assert numbers(first_apart([fact, spends[2], void(4, "f-9")], 9, ())) == [2, 4]


def test_one_that_is_doubtful_is_given_by_itself_and_nothing_passes_it() -> None:
    voids = [void(n, f"f-{n}") for n in range(1, 6)]
    assert numbers(first_apart(voids, 9, {3})) == [1, 2]
    assert numbers(first_apart(voids[2:], 9, {3})) == [3]
    assert numbers(first_apart(voids[3:], 9, {3})) == [4, 5]


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        (to_void("f-1", "b-1"), to_void("f-2", "b-2"), True),
        (to_void("f-1", "b-1"), to_void("f-2", "b-1"), False),
        (to_void("f-1", "b-1"), to_void("f-2", "b-1", rule="grant.badge"), True),
        (to_void("f-1", "b-1"), to_void("f-1", "b-2"), False),
        (
            to_void("f-1", "p-1", "j-1", rule="spend.proposal"),
            to_void("f-2", "p-2", "j-1", rule="spend.proposal"),
            True,
        ),
        (to_void("f-1", "p-1", "j-1", rule="spend.proposal"), to_void("", "7", "j-1", topic="job-closed"), False),
        (to_void("", "7", "j-1", topic="hire-made"), to_void("", "8", "j-1", topic="job-closed"), False),
        (to_void("", "7", "j-1", topic="hire-made"), to_void("", "8", "j-2", topic="job-closed"), True),
    ],
)
def test_what_the_ledger_says_of_them_counts_too(one: ToVoid, other: ToVoid, *, together: bool) -> None:
    taken = Taken()
    for number, what in enumerate((one, other), 1):
        trigger = void(number, what.freelancer_id, what.job_id, what.subject.proposal_id, what.topic)
        assert taken.takes(touched_by(msgspec.structs.replace(trigger, found=what))) == (number == 1 or together)
    assert taken.waits != together


def told(name: str, proposal: str) -> Awaited:
    cause = Cause("boost-outbid", "e-1", 0, 0, 1)
    return Awaited(ProposalId(proposal), 7, True, FreelancerId(name), JobId("j-1"), AT, cause)


def test_an_outbid_of_a_proposal_that_another_freelancer_submitted_is_not_beside_it() -> None:
    outbid = to_void("f-2", "9", "j-1", topic="boost-outbid", awaited=[told("f-2", "p-1")])
    spend = to_void("f-1", "p-1", "j-1", rule="spend.proposal", awaited=[told("f-2", "p-1")])
    taken = Taken()
    assert taken.takes(touched_by(msgspec.structs.replace(void(1, "f-2", "j-1"), found=outbid)))
    assert not taken.takes(touched_by(msgspec.structs.replace(void(2, "f-1", "j-1", "p-1"), found=spend)))


def test_undos_touch_what_they_bring_back() -> None:
    grant = UndoneVoid(5, "grant.purchase", "b-1", 0, 5, AT, 0, 5, LotId("l"), AT, [])
    added = UndoneAdd(to_void("f-2", "b-1"))
    one, other = undo(1, "f-1", None, "connects-purchased", grant), undo(2, "f-2", None, "connects-purchased", added)
    taken = Taken()
    assert taken.takes(touched_by(one))
    assert not taken.takes(touched_by(other)), "one natural key"
    spend = UndoneSpendVoid(5, 6, 0, "proposal", ["base"], None, 0, [], [])
    settle = UndoneSettle(["base"], [], None, [])
    told_again = UndoneTold(told("f-3", "p-3"), is_mismatch=False)
    assert ("job", "j-1") in touched_by(undo(3, "f-1", "j-1", "proposal-submitted", spend)).alone
    assert ("job", "j-1") in touched_by(undo(4, "f-1", "j-1", "job-closed", settle)).beside
    assert ("proposal", "p-3") in touched_by(undo(5, "f-3", "j-1", "boost-outbid", told_again)).alone


def test_a_replacement_touches_what_its_void_would() -> None:
    spend = to_void("f-1", "p-1", "j-1", rule="spend.proposal", drawn_by=[ProposalId("p-9")])
    of = (1, 5, "f-1", "j-1", "p-1", "proposal-submitted", ["e-1"], "{}", "a test", 1, NOTHING)
    touched = touched_by(Replace(*of, ToReplace(spend, "{}")))
    assert {
        ("wallet", "f-1"),
        ("proposal", "p-1"),
        ("event", "proposal-submitted/e-1"),
        ("proposal", "p-9"),
    } <= touched.alone
    assert touched.beside == {("job", "j-1")}
    assert named_by(Replace(*of)).joined(Footprint()) == named_by(Replace(*of))
