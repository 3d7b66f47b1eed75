"""A snapshot is read once for all who ask at about the same time, by one at a time, and the last answers are kept."""

import asyncio
from collections.abc import Sequence

import pytest

from worker.errors import Transient
from worker.repair.taking import Kept, Once


class Snapshot:
    """Notes what it is asked together, and fails when it is asked beside something else."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.is_away = self._is_read = False

    async def take(self, keys: list[int]) -> None:
        await self.squares(keys)

    async def squares(self, keys: Sequence[int]) -> list[int]:
        assert not self._is_read, "two read it at once"
        if self.is_away:
            raise Transient("away")
        self._is_read = True
        self.asked.append(list(keys))
        await asyncio.sleep(0)
        self._is_read = False
        return [key * key for key in keys]


async def test_rows_are_taken_once_and_together() -> None:
    snapshot, turn = Snapshot(), asyncio.Lock()
    rows, others = Once(snapshot.take, turn), Once(snapshot.take, turn)
    await asyncio.gather(rows.take([1, 2]), rows.take([2, 3, 3]), others.take([1]), rows.take([]))
    assert sorted(snapshot.asked) == [[1], [1, 2, 3]]
    await rows.take([3, 1])
    await asyncio.gather(rows.take([4]), rows.take([1]))
    assert snapshot.asked[2:] == [[4]]


async def test_who_asks_meanwhile_waits_and_does_not_ask_again() -> None:
    snapshot, turn = Snapshot(), asyncio.Lock()
    rows = Once(snapshot.take, turn)
    async with turn:
        first = asyncio.create_task(rows.take([1, 2]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second = asyncio.create_task(rows.take([2, 3]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.gather(first, second)
    assert snapshot.asked == [[1, 2], [3]]


async def test_what_could_not_be_taken_is_taken_later() -> None:
    snapshot, turn = Snapshot(), asyncio.Lock()
    rows, answers = Once(snapshot.take, turn), Kept(snapshot.squares, turn, 10)
    snapshot.is_away = True
    for asking in (rows.take([1]), answers(1)):
        with pytest.raises(Transient):
            await asking
    snapshot.is_away = False
    await rows.take([1])
    assert await answers(1) == 1
    assert snapshot.asked == [[1], [1]]


@pytest.mark.parametrize("most", [0, 1, 2, 10])
async def test_answers_are_right_however_few_are_kept(most: int) -> None:
    snapshot = Snapshot()
    answers = Kept(snapshot.squares, asyncio.Lock(), most)
    told = await asyncio.gather(answers(3), answers.all([1, 2, 3, 1]), answers(2), answers.all([]))
    assert tuple(told) == (9, [1, 4, 9, 1], 4, [])
    assert snapshot.asked == [[3, 1, 2]], "each was asked once, and all together"
    assert await answers.all([2, 4, 1]) == [4, 16, 1]
    assert sum(map(len, snapshot.asked)) == {0: 6, 1: 5, 2: 4, 10: 4}[most]
