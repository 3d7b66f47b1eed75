"""The work of one change grows with the lots and debts that it touches, not with the square of them, nor with history.

Each piece of work is measured at two sizes, in CPU time of this thread, the best of some rounds. Work that looks at
every lot for every lot takes more than two hundred times as long at fifteen times the size.
"""

import gc
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.kit.policies import policies
from tests.kit.story import GRACE, day
from worker.domain.booking import Booking, lot_that_expires
from worker.domain.decisions import Subject
from worker.domain.model import (
    FreelancerId,
    Grant,
    JobId,
    Lot,
    ProposalId,
    Spend,
    SpendLine,
    Wallet,
)
from worker.domain.rules.grants import _granted_in_window
from worker.domain.state import State

SMALL, LARGE = 1_000, 15_000
ROUNDS = 2
ONE_BY_ONE = 300
FREELANCER, JOB = FreelancerId("f-1"), JobId("j-1")
POLICY = policies().versions[0]
LONG = timedelta(days=365)


def state_and_wallet() -> tuple[State, Wallet]:
    state = State(GRACE)
    return state, state.wallet(FREELANCER)


def with_lots(count: int, *, together: bool = False) -> tuple[State, Wallet]:
    """A wallet with lots of 2 Connects each, which expire a second apart, or together."""
    state, wallet = state_and_wallet()
    booking = Booking(state, wallet)
    for number in range(count):
        issued_at = day(0, 0 if together else number)
        booking.credit(2, "purchase", issued_at, issued_at + LONG)
    close(booking)
    return state, wallet


def close(booking: Booking) -> None:
    booking.close(day(1), "grant.purchase", "purchased", POLICY, Subject(FREELANCER), {"connects": 1}, {})


def a_spend(state: State, number: int, connects: int) -> Spend:
    at = day(1, number)
    name = ProposalId(f"p-{number}")
    spend = Spend(name, FREELANCER, JOB, number, at, "proposal", SpendLine("base", connects), SpendLine("boost", 0))
    state.keep_spend(spend)
    return spend


def spend_now(state: State, wallet: Wallet, spend: Spend) -> None:
    booking = Booking(state, wallet)
    booking.spend(spend, spend.base, spend.occurred_at)
    close(booking)


def spends_all(count: int) -> Callable[[], None]:
    state, wallet = with_lots(count)
    spend = a_spend(state, 0, 2 * count)
    return lambda: spend_now(state, wallet, spend)


def returns_to_drained_lots(count: int) -> Callable[[], None]:
    state, wallet = with_lots(count)
    spend = a_spend(state, 0, 2 * count)
    spend_now(state, wallet, spend)
    return lambda: give_back(state, wallet, spend, day(2))


def returns_to_open_lots(count: int) -> Callable[[], None]:
    """The boost line drew the other half of each lot."""
    state, wallet = with_lots(count)
    spend = a_spend(state, 0, 1)
    for lot in wallet.lots:
        booking = Booking(state, wallet)
        booking._take(lot, 1, None, spend.base)  # noqa: SLF001 - half of every lot, as no burn order would
        close(booking)
    return lambda: give_back(state, wallet, spend, day(2))


def returns_to_lots_about_to_end(count: int) -> Callable[[], None]:
    state, wallet = with_lots(count)
    spend = a_spend(state, 0, 2 * count)
    spend_now(state, wallet, spend)
    return lambda: give_back(state, wallet, spend, day(364))


def give_back(state: State, wallet: Wallet, spend: Spend, instant: object) -> None:
    booking = Booking(state, wallet)
    booking.give_back(spend, [spend.base], instant, POLICY, "refund")  # type: ignore[arg-type]
    close(booking)


def debits_all(count: int) -> Callable[[], None]:
    state, wallet = with_lots(count)

    def debit() -> None:
        booking = Booking(state, wallet)
        assert booking.covers(2 * count, day(1))
        booking.debit(2 * count, day(1))
        close(booking)

    return debit


def pays_debts(count: int) -> Callable[[], None]:
    """In a wallet that has as many lots that cannot pay: Connects return to them, they are not credited."""
    state, wallet = state_and_wallet()
    for number in range(count):
        spend_now(state, wallet, a_spend(state, number, 1))

    def credit() -> None:
        booking = Booking(state, wallet)
        booking.credit(count, "purchase", day(2), day(2) + LONG)
        close(booking)
        assert not wallet.owing

    return credit


def expires_at_one_instant(count: int) -> Callable[[], None]:
    state, wallet = with_lots(count, together=True)
    names = sorted(lot.lot_id for lot in wallet.lots)

    def expire() -> None:
        for name in names:
            lot = lot_that_expires(wallet.lots, day(0) + LONG, name)
            assert lot is not None
            booking = Booking(state, wallet)
            booking.expire(lot)
            close(booking)

    return expire


def one_spend_after_the_other(count: int) -> Callable[[], None]:
    state, wallet = with_lots(count)
    spends = [a_spend(state, number, 1) for number in range(ONE_BY_ONE)]

    def work() -> None:
        for spend in spends:
            spend_now(state, wallet, spend)

    return work


def one_refund_after_the_other(count: int) -> Callable[[], None]:
    state, wallet = with_lots(count)
    spends = [a_spend(state, number, 2) for number in range(ONE_BY_ONE)]
    for spend in spends:
        spend_now(state, wallet, spend)

    def work() -> None:
        for spend in reversed(spends):
            give_back(state, wallet, spend, day(2))

    return work


def one_debt_after_the_other(count: int) -> Callable[[], None]:
    state, wallet = state_and_wallet()
    for number in range(count):
        spend_now(state, wallet, a_spend(state, number, 1))
    later = [a_spend(state, count + number, 1) for number in range(ONE_BY_ONE)]

    def work() -> None:
        for spend in later:
            spend_now(state, wallet, spend)
        for spend in later:
            give_back(state, wallet, spend, day(2))

    return work


def one_interview_after_the_other(count: int) -> Callable[[], None]:
    """However many there were before: only those of the week count."""
    state, wallet = state_and_wallet()
    for number in range(count):
        state.keep_grant(Grant("grant.interview", f"f-1/j-{number}", FREELANCER, day(number), 5, number))

    def work() -> None:
        for number in range(ONE_BY_ONE):
            assert _granted_in_window(wallet, day(number), POLICY) == 5 * min(number + 1, 7)

    return work


def seconds(work_of: Callable[[int], Callable[[], None]], count: int) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        work = work_of(count)
        gc.collect()
        gc.disable()  # it looks at every object of all tests before
        try:
            begun = time.thread_time()
            work()
            best = min(best, time.thread_time() - begun)
        finally:
            gc.enable()
    return best


@pytest.mark.parametrize(
    "work_of",
    [
        spends_all,
        returns_to_drained_lots,
        returns_to_open_lots,
        returns_to_lots_about_to_end,
        debits_all,
        pays_debts,
        expires_at_one_instant,
    ],
)
def test_work_on_fifteen_times_as_many_lots_or_debts_takes_about_fifteen_times_as_long(
    work_of: Callable[[int], Callable[[], None]],
) -> None:
    assert seconds(work_of, LARGE) < 75 * seconds(work_of, SMALL)


@pytest.mark.parametrize(
    "work_of",
    [
        one_spend_after_the_other,
        one_refund_after_the_other,
        one_debt_after_the_other,
        one_interview_after_the_other,
    ],
)
def test_a_small_change_takes_as_long_in_a_wallet_with_fifteen_times_as_much_in_it(
    work_of: Callable[[int], Callable[[], None]],
) -> None:
    assert seconds(work_of, LARGE) < 6 * seconds(work_of, SMALL)


def test_the_lot_that_expires_is_looked_for_among_those_of_its_instant_alone() -> None:
    _, wallet = with_lots(3)
    first, second, third = wallet.lots
    assert lot_that_expires(wallet.lots, second.expires_at, second.lot_id) is second
    assert lot_that_expires(wallet.lots, second.expires_at, third.lot_id) is None
    assert lot_that_expires(wallet.lots, second.expires_at, first.lot_id) is None
    assert lot_that_expires([], second.expires_at, second.lot_id) is None


def test_lots_of_one_instant_are_distinguished_by_their_ids() -> None:
    _, wallet = with_lots(12, together=True)
    lots: list[Lot] = wallet.lots
    for lot in lots:
        assert lot_that_expires(lots, lot.expires_at, lot.lot_id) is lot
