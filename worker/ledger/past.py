"""What became of decisions, on PostgreSQL: each question is answered for many at once, by one statement.

`Together` lets what asks for one thing at a time be asked by many at once.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from operator import itemgetter
from typing import Final, Generic, TypeVar

from worker.domain.model import FreelancerId, Grant, Job, JobId, Lot, LotId, Membership, ProposalId, Spend
from worker.domain.rules.decides import Standing
from worker.domain.state import Held
from worker.futures import consume_exception
from worker.ledger.appointments import Rows
from worker.ledger.store import FirstDecision, Moved, Past
from worker.ledger.tables import ChangeRow, DecisionRow

Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")
InFull = tuple[DecisionRow, list[ChangeRow]]
_NUMBER: Final = "number"


async def in_full(rows: Rows, seqs: Sequence[int]) -> list[InFull | None]:
    """These decisions and their changes; `rows` runs a named statement of store.sql, here and below.

    Raises:
        Transient: the database is away, here and below.
    """
    changes: dict[int, list[ChangeRow]] = {seq: [] for seq in seqs}
    found = {row["seq"]: DecisionRow._make(row) for row in await rows("decisions_in_full", list(seqs))}
    for row in await rows("changes_in_full", list(found)) if found else ():
        changes[row["decision_seq"]].append(ChangeRow._make(row))
    return [(found[seq], changes[seq]) if seq in found else None for seq in seqs]


async def moved_since(rows: Rows, asked: Sequence[tuple[FreelancerId, int]]) -> list[list[Moved]]:
    """What moved in each of these wallets from a version on, in order; a wallet is read once, from the lowest on."""
    since: dict[FreelancerId, int] = {}
    for name, version in asked:
        since[name] = min(version, since.get(name, version))
    found: dict[FreelancerId, list[tuple[int, Moved]]] = {name: [] for name in since}
    names = list(since)
    for number, version, *moved in await rows("moved_since", list(range(len(names))), names, list(since.values())):
        found[names[number]].append((version, Moved._make(moved)))
    first = {(name, version): bisect_left(found[name], version, key=itemgetter(0)) for name, version in asked}
    return [[moved for _, moved in found[name][first[name, version] :]] for name, version in asked]


async def linked_lots(rows: Rows, ids: Sequence[FreelancerId]) -> list[list[tuple[LotId, LotId]]]:
    """The lots of each of these freelancers that are linked to another one, and which."""
    found: dict[str, list[tuple[LotId, LotId]]] = {name: [] for name in ids}
    for row in await rows("linked_lots", list(found)):
        found[row["freelancer_id"]].append((row["lot_id"], row["linked_to"]))
    return [found[name] for name in ids]


async def naming(rows: Rows, ids: Sequence[ProposalId]) -> list[list[DecisionRow]]:
    """The withdrawals and outbids that name each of these proposals, in ledger order."""
    found: dict[str, list[DecisionRow]] = {name: [] for name in ids}
    for row in await rows("naming_proposals", list(found)):
        found[row["of_proposal"]].append(DecisionRow._make(tuple(row)[1:]))
    return [found[name] for name in ids]


async def mentioned(rows: Rows, asked: Sequence[tuple[tuple[str, ...], int]]) -> list[list[DecisionRow]]:
    """For each of these keys and decisions: the decisions after it that are mentioned under the keys."""
    found: list[list[DecisionRow]] = [[] for _ in asked]
    flat = [(number, key, after) for number, (keys, after) in enumerate(asked) for key in keys]
    if flat:
        for row in await rows("mentioned", *map(list, zip(*flat, strict=True))):
            found[row[_NUMBER]].append(DecisionRow._make(tuple(row)[1:]))
    return found


async def standing(rows: Rows, asked: Sequence[tuple[int, ProposalId | None]]) -> list[Standing]:
    """What stands for each of these decisions, which names this proposal if it is on one, since corrections."""
    found: dict[tuple[int, ProposalId | None], Standing] = {}
    for one_kind in ([one for one in asked if one[1] is None], [one for one in asked if one[1] is not None]):
        of = dict(one_kind)  # a decision names one proposal
        for seq, *columns in await rows("standing", list(of), list(of.values())) if of else ():
            found[seq, of[seq]] = Standing(*columns)
    return [found[one] for one in asked]


class Asking(Generic[Question, Answer]):
    """Collects what is asked until all who are about to ask have asked; then asks for it together, each thing once."""

    def __init__(self, ask: Callable[[list[Question]], Awaitable[Sequence[Answer]]]) -> None:
        self._ask = ask
        self._waiting: dict[Question, None] = {}
        self._answers: asyncio.Future[dict[Question, Answer]] | None = None
        """Those to what is `_waiting`; None: nothing is."""
        self._under_way: set[asyncio.Task[None]] = set()

    async def __call__(self, question: Question) -> Answer:
        """The answer to one question."""
        return (await self.all([question]))[0]

    async def all(self, questions: Sequence[Question]) -> list[Answer]:
        """The answers to several questions, in their order."""
        loop = asyncio.get_running_loop()
        if self._answers is None:
            self._answers = loop.create_future()
            consume_exception(self._answers)
            loop.call_soon(self._begin)  # comes after everyone who is to go on in this turn of the event loop
        self._waiting.update(dict.fromkeys(questions))
        answers = await asyncio.shield(self._answers)
        return [answers[question] for question in questions]

    def _begin(self) -> None:
        waiting, answers = self._waiting, self._answers
        self._waiting, self._answers = {}, None
        if answers is None:
            raise AssertionError("nobody has asked")
        task = asyncio.create_task(self._answer(waiting, answers))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _answer(self, waiting: dict[Question, None], answers: "asyncio.Future[dict[Question, Answer]]") -> None:
        try:
            found = await self._ask(list(waiting))
        except Exception as error:  # noqa: BLE001 - raised by those who wait
            answers.set_exception(error)
            return
        answers.set_result(dict(zip(waiting, found, strict=True)))


class Together:
    """A `Past` whose answers are looked up for all who ask at about the same time, by one statement for each question.

    What is rare is asked for as it comes. Answers are shared by those who ask the same: they are to be read only.
    """

    def __init__(self, past: Past, rows: Rows) -> None:
        self._past = past
        self._in_full = Asking[int, InFull | None](lambda asked: in_full(rows, asked))
        self._moved = Asking[tuple[FreelancerId, int], list[Moved]](lambda asked: moved_since(rows, asked))
        self._linked = Asking[FreelancerId, list[tuple[LotId, LotId]]](lambda asked: linked_lots(rows, asked))
        self._naming = Asking[ProposalId, list[DecisionRow]](lambda asked: naming(rows, asked))
        self._mentioned = Asking[tuple[tuple[str, ...], int], list[DecisionRow]](lambda asked: mentioned(rows, asked))
        self._standing = Asking[tuple[int, ProposalId | None], Standing](lambda asked: standing(rows, asked))
        self._first = Asking[int, FirstDecision | None](self._first_of)
        self._spend = Asking[ProposalId, Spend | None](self._spends_of)

    async def in_full(self, seq: int) -> InFull | None:
        """A decision and its changes."""
        return await self._in_full(seq)

    async def moved_since(self, freelancer_id: FreelancerId, version: int) -> list[Moved]:
        """What moved in a wallet from this version on, in order."""
        return await self._moved((freelancer_id, version))

    async def linked_lots(self, freelancer_id: FreelancerId) -> list[tuple[LotId, LotId]]:
        """The lots of a freelancer that are linked to another one, and which."""
        return await self._linked(freelancer_id)

    async def naming(self, proposal_id: ProposalId) -> list[DecisionRow]:
        """The withdrawals and outbids that name a proposal, in ledger order."""
        return await self._naming(proposal_id)

    async def mentioned(self, keys: Sequence[str], after: int) -> list[DecisionRow]:
        """The decisions after `after` that are mentioned under these keys, in ledger order."""
        return await self._mentioned((tuple(keys), after))

    async def standing(self, seq: int, proposal_id: ProposalId | None) -> Standing:
        """What stands for a decision, which names this proposal if it is on one, since corrections."""
        return await self._standing((seq, proposal_id))

    async def first_decisions(self, seqs: Sequence[int]) -> dict[int, FirstDecision]:
        """The decisions of these seqs, to compare repeats with."""
        found = await asyncio.gather(*map(self._first, seqs))
        return {one.seq: one for one in found if one is not None}

    async def spends(self, ids: Sequence[ProposalId]) -> list[Spend]:
        """The spends of these proposals that exist."""
        return [one for one in await asyncio.gather(*map(self._spend, ids)) if one is not None]

    async def lots(self, ids: Sequence[tuple[FreelancerId, LotId]]) -> list[Lot]:
        """The lots of these freelancers and ids that exist."""
        return await self._past.lots(ids)

    async def grants(self, keys: Iterable[tuple[str, str]]) -> list[Grant]:
        """Grants made under these (rule, natural key)."""
        return await self._past.grants(keys)

    async def jobs(self, ids: Sequence[JobId]) -> dict[JobId, Job]:
        """Every job asked for."""
        return await self._past.jobs(ids)

    async def memberships(self, ids: Sequence[FreelancerId]) -> dict[FreelancerId, Membership]:
        """Every membership asked for."""
        return await self._past.memberships(ids)

    async def held(self, ids: Sequence[FreelancerId]) -> list[Held]:
        """These freelancers' membership events that cannot count yet."""
        return await self._past.held(ids)

    async def settled_by(self, job_id: JobId, proposal_id: ProposalId) -> list[tuple[int, int]]:
        """The settlements of a spend on a job: the decision of each one's closure, and its own."""
        return await self._past.settled_by(job_id, proposal_id)

    async def _first_of(self, seqs: Sequence[int]) -> list[FirstDecision | None]:
        found = await self._past.first_decisions(seqs)
        return [found.get(seq) for seq in seqs]

    async def _spends_of(self, ids: Sequence[ProposalId]) -> list[Spend | None]:
        found = {spend.proposal_id: spend for spend in await self._past.spends(ids)}
        return [found.get(name) for name in ids]
