"""Reading a snapshot for all who ask at about the same time: by one statement for each kind of question.

A snapshot does not change, so it does not matter when it is asked, how often, or with what else together.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from itertools import islice
from typing import Generic, TypeVar

from worker.ledger.past import Asking

Key = TypeVar("Key", bound=Hashable)
Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")


class Once(Generic[Key]):
    """Rows of one kind: `take` takes them from the snapshot when they are asked for first. `turn` is held meanwhile."""

    def __init__(self, take: Callable[[list[Key]], Awaitable[None]], turn: asyncio.Lock) -> None:
        self._take, self._turn = take, turn
        self._taken: set[Key] = set()
        self._asking = Asking[Key, None](self._answer)

    async def take(self, keys: Iterable[Key]) -> None:
        """Have the rows of these keys.

        Raises:
            Transient: the database is away.
        """
        if new := self._new(keys):
            await self._asking.all(new)

    async def _answer(self, keys: list[Key]) -> list[None]:
        async with self._turn:
            if new := self._new(keys):  # those of whoever asked just before may be there by now
                await self._take(new)
                self._taken.update(new)
        return [None for _ in keys]

    def _new(self, keys: Iterable[Key]) -> list[Key]:
        """Those of these keys that were not taken before, each once."""
        return [key for key in dict.fromkeys(keys) if key not in self._taken]


class Kept(Generic[Question, Answer]):
    """What the snapshot answers to questions of one kind; the last `most` answers are kept. They are to be read only.

    `ask` gives the answers in the order of the questions; `turn` is held meanwhile.
    """

    def __init__(
        self, ask: Callable[[list[Question]], Awaitable[Sequence[Answer]]], turn: asyncio.Lock, most: int
    ) -> None:
        self._ask, self._turn, self._most = ask, turn, most
        self._known: dict[Question, Answer] = {}
        self._asking = Asking[Question, Answer](self._answer)

    async def __call__(self, question: Question) -> Answer:
        """The answer to one question.

        Raises:
            Transient: the database is away, here and below.
        """
        return (await self.all([question]))[0]

    async def all(self, questions: Sequence[Question]) -> list[Answer]:
        """The answers to several questions, in their order."""
        found = {question: self._known[question] for question in questions if question in self._known}
        if new := [question for question in questions if question not in found]:
            found.update(zip(new, await self._asking.all(new), strict=True))
        return [found[question] for question in questions]

    async def _answer(self, questions: list[Question]) -> Sequence[Answer]:
        async with self._turn:
            answers = await self._ask(questions)
        self._known.update(zip(questions, answers, strict=True))
        for question in list(islice(self._known, max(0, len(self._known) - self._most))):
            del self._known[question]
        return answers
