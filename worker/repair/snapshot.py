"""What a plan reads of a ledger, row by row, all of one instant: behind one interface, and from PostgreSQL."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple, Protocol

from worker.domain.model import FreelancerId, JobId, ProposalId
from worker.domain.rules.decides import Standing
from worker.domain.state import Voided
from worker.ledger import past
from worker.ledger.parked import ParkedKey
from worker.ledger.past import InFull
from worker.ledger.postgres import read_tail
from worker.ledger.replaced import first_decision_of
from worker.ledger.sql import load
from worker.ledger.store import FirstDecision, Moved, Tail
from worker.ledger.tables import ChangeRow, DecisionRow, PolicyRow, ReplayedRow, SeenRow, SpendRow
from worker.proof.current_state import StateRows
from worker.proof.state_rows import PostgresRows
from worker.repair.voiding import names_the_key

_SQL: Final = {**load("store.sql"), **load("again.sql"), **load("plan.sql")}


class Conditions(NamedTuple):
    """The settings under which the last batch was decided."""

    grace: timedelta
    max_clock_skew: timedelta


class Snapshot(StateRows, Protocol):
    """The rows that decisions read, beyond those of `StateRows`. It is read by one task at a time."""

    async def tail(self) -> Tail:
        """Where the ledger ends."""
        ...

    async def conditions(self) -> Conditions | None:
        """The settings of the last batch; None: there is none, or it is of a release that did not store them."""
        ...

    async def policies(self) -> list[PolicyRow]:
        """Every policy version that the ledger has."""
        ...

    async def parked(self) -> dict[ParkedKey, set[str]]:
        """Stopped wallets and jobs, each with the event ids of the clock work that waits there."""
        ...

    async def changes(self, freelancers: Sequence[FreelancerId]) -> list[ChangeRow]:
        """The last change of each of these wallets, and their grants for interviews; some rows may come twice."""
        ...

    async def grants(self, keys: Sequence[tuple[str, str]]) -> list[ChangeRow]:
        """The changes that granted something under these (rule, natural key)."""
        ...

    async def voided_keys(self, keys: Sequence[tuple[str, str]]) -> list[Voided]:
        """What was voided under these (rule, natural key)."""
        ...

    async def voided_of(self, freelancers: Sequence[FreelancerId]) -> list[Voided]:
        """What was voided of these freelancers."""
        ...

    async def voided_of_jobs(self) -> list[Voided]:
        """The closures and hires that were voided."""
        ...

    async def in_full(self, seqs: Sequence[int]) -> Sequence[InFull | None]:
        """Each of these decisions with its changes; here and below the answers are in the order of the questions."""
        ...

    async def moved_since(self, asked: Sequence[tuple[FreelancerId, int]]) -> Sequence[list[Moved]]:
        """What moved in each of these wallets from a version on, in order."""
        ...

    async def naming(self, proposals: Sequence[ProposalId]) -> Sequence[list[DecisionRow]]:
        """The withdrawals and outbids that name each of these proposals, in ledger order."""
        ...

    async def standing(self, asked: Sequence[tuple[int, ProposalId | None]]) -> Sequence[Standing]:
        """What stands for decisions, each of which names this proposal if it is on one, since corrections."""
        ...

    async def claimants(self, voided: Sequence[DecisionRow]) -> Sequence[int]:
        """How many events were refused because of each of these decisions: they named its natural key."""
        ...

    async def mentioned(self, asked: Sequence[tuple[tuple[str, ...], int]]) -> Sequence[list[DecisionRow]]:
        """For keys (see `mentions.py`) and a decision each: the decisions after it that are mentioned under them."""
        ...

    async def settled_by(self, job_id: JobId, proposal_id: ProposalId) -> list[tuple[int, int]]:
        """The settlements of a spend on a job: the decision of each one's closure, and its own."""
        ...

    async def booked(self, plan: str) -> list[ReplayedRow]:
        """The triggers of a plan that were booked, the latest decision first."""
        ...

    async def owing(self, freelancers: Sequence[FreelancerId]) -> list[SpendRow]:
        """The spends of these freelancers that owe Connects."""
        ...

    async def proposals_on(self, jobs: Sequence[JobId]) -> dict[JobId, list[ProposalId]]:
        """The proposals that were spent on each of these jobs, in ledger order; none on a job that is not there."""
        ...

    async def decisions(self, seqs: Sequence[int]) -> list[DecisionRow]:
        """The decisions of these seqs."""
        ...

    async def first_decisions(self, seqs: Sequence[int]) -> dict[int, FirstDecision]:
        """The decisions of these seqs, with the content that counts now."""
        ...

    async def seen(self, keys: Sequence[str]) -> list[SeenRow]:
        """Which of these event ids (see `seen_key`) were decided, and by which decision."""
        ...

    async def sent_again(self, events: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of these events, by topic and id, that were sent again after they were decided."""
        ...

    async def last_decisions(self, ids: Sequence[FreelancerId]) -> dict[FreelancerId, int]:
        """The last decision that names each of these freelancers; 0 for one that no decision names."""
        ...


class PostgresSnapshot(PostgresRows):
    """The `Snapshot` of a connection, once it has begun; before that each statement reads an instant of its own."""

    async def begin(self) -> None:
        """Begin the transaction; it ends with the connection. It is idle while the plan is decided, however long."""
        await self._fetch("let_transactions_last")
        await self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    async def tail(self) -> Tail:
        """Where the ledger ends."""
        return await read_tail(self._fetch)

    async def conditions(self) -> Conditions | None:
        """The settings of the last batch; None: there is none, or it is of a release that did not store them."""
        for grace, skew in await self._fetch("conditions_to_plan_on"):
            if grace is not None and skew is not None:
                return Conditions(timedelta(seconds=grace), timedelta(seconds=skew))
        return None

    async def policies(self) -> list[PolicyRow]:
        """Every policy version that the ledger has."""
        return [PolicyRow(*row) for row in await self._fetch("policies_to_plan_on")]

    async def parked(self) -> dict[ParkedKey, set[str]]:
        """Stopped wallets and jobs, each with the event ids of the clock work that waits there."""
        found: dict[ParkedKey, set[str]] = {ParkedKey(*row): set() for row in await self._fetch("parked")}
        for row in await self._fetch("parked_clock_work"):
            found.setdefault(ParkedKey("wallet", row["key"]), set()).add(row["event_id"])
        return found

    async def changes(self, freelancers: Sequence[FreelancerId]) -> list[ChangeRow]:
        """The last change of each of these wallets, and their grants for interviews; some rows may come twice."""
        return [ChangeRow(*row) for row in await self._fetch("changes_to_plan_on", ",".join(freelancers))]

    async def grants(self, keys: Sequence[tuple[str, str]]) -> list[ChangeRow]:
        """The changes that granted something under these (rule, natural key)."""
        listed = _listed(rule for rule, _ in keys), _listed(key for _, key in keys)
        return [ChangeRow(*row) for row in await self._fetch("grants_to_plan_on", *listed)]

    async def voided_keys(self, keys: Sequence[tuple[str, str]]) -> list[Voided]:
        """What was voided under these (rule, natural key)."""
        listed = _listed(rule for rule, _ in keys), _listed(key for _, key in keys)
        return [Voided(*row) for row in await self._fetch("voided_keys_to_plan_on", *listed)]

    async def voided_of(self, freelancers: Sequence[FreelancerId]) -> list[Voided]:
        """What was voided of these freelancers."""
        return [Voided(*row) for row in await self._fetch("voided_to_plan_on", _listed(freelancers))]

    async def voided_of_jobs(self) -> list[Voided]:
        """The closures and hires that were voided."""
        return [Voided(*row) for row in await self._fetch("voided_of_jobs")]

    async def in_full(self, seqs: Sequence[int]) -> Sequence[InFull | None]:
        """Each of these decisions with its changes."""
        return await past.in_full(self._fetch, seqs)

    async def moved_since(self, asked: Sequence[tuple[FreelancerId, int]]) -> Sequence[list[Moved]]:
        """What moved in each of these wallets from a version on, in order."""
        return await past.moved_since(self._fetch, asked)

    async def naming(self, proposals: Sequence[ProposalId]) -> Sequence[list[DecisionRow]]:
        """The withdrawals and outbids that name each of these proposals, in ledger order."""
        return await past.naming(self._fetch, proposals)

    async def mentioned(self, asked: Sequence[tuple[tuple[str, ...], int]]) -> Sequence[list[DecisionRow]]:
        """For keys (see `mentions.py`) and a decision each: the decisions after it that are mentioned under them."""
        return await past.mentioned(self._fetch, asked)

    async def settled_by(self, job_id: JobId, proposal_id: ProposalId) -> list[tuple[int, int]]:
        """The settlements of a spend on a job: the decision of each one's closure, and its own."""
        return [(row["closure_seq"], row["seq"]) for row in await self._fetch("settled_by", job_id, proposal_id)]

    async def booked(self, plan: str) -> list[ReplayedRow]:
        """The triggers of a plan that were booked, the latest decision first."""
        return [ReplayedRow(*row) for row in await self._fetch("booked_of_plan", plan)]

    async def standing(self, asked: Sequence[tuple[int, ProposalId | None]]) -> Sequence[Standing]:
        """What stands for decisions, each of which names this proposal if it is on one, since corrections."""
        return await past.standing(self._fetch, asked)

    async def claimants(self, voided: Sequence[DecisionRow]) -> Sequence[int]:
        """How many events were refused because of each of these decisions: they named its natural key."""
        found = [0 for _ in voided]
        asked = [(number, row.freelancer_id, row.seq, row.rule) for number, row in enumerate(voided)]
        columns = map(list, zip(*asked, strict=True))
        for number, facts, proposal_id in await self._fetch("refused_of", *columns) if voided else ():
            found[number] += names_the_key(voided[number], facts, proposal_id)
        return found

    async def owing(self, freelancers: Sequence[FreelancerId]) -> list[SpendRow]:
        """The spends of these freelancers that owe Connects."""
        return [SpendRow(*row) for row in await self._fetch("owing_spends", _listed(freelancers))]

    async def proposals_on(self, jobs: Sequence[JobId]) -> dict[JobId, list[ProposalId]]:
        """The proposals that were spent on each of these jobs, in ledger order; none on a job that is not there."""
        found: dict[JobId, list[ProposalId]] = {}
        for row in await self._fetch("proposals_of_jobs", _listed(jobs)):
            found.setdefault(row["job_id"], []).append(row["proposal_id"])
        return found

    async def decisions(self, seqs: Sequence[int]) -> list[DecisionRow]:
        """The decisions of these seqs."""
        return [DecisionRow(*row) for row in await self._fetch("named_decisions", _listed(map(str, seqs)))]

    async def first_decisions(self, seqs: Sequence[int]) -> dict[int, FirstDecision]:
        """The decisions of these seqs, with the content that counts now."""
        return {row["seq"]: first_decision_of(row) for row in await self._fetch("first_decisions", list(seqs))}

    async def seen(self, keys: Sequence[str]) -> list[SeenRow]:
        """Which of these event ids (see `seen_key`) were decided, and by which decision."""
        return [SeenRow(row["key"].hex, row["seq"]) for row in await self._fetch("seen", _listed(keys))]

    async def sent_again(self, events: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of these events, by topic and id, that were sent again after they were decided."""
        listed = _listed(topic for topic, _ in events), _listed(event_id for _, event_id in events)
        return {(row["topic"], row["event_id"]) for row in await self._fetch("sent_again", *listed)}

    async def last_decisions(self, ids: Sequence[FreelancerId]) -> dict[FreelancerId, int]:
        """The last decision that names each of these freelancers; 0 for one that no decision names."""
        return {row["freelancer_id"]: row["seq"] for row in await self._fetch("last_decisions", _listed(ids))}

    async def _fetch(self, statement: str, *arguments: object) -> list[Any]:
        return list(await self._connection.fetch(_SQL[statement], *arguments))


def _listed(ids: Iterable[str]) -> str:
    """Ids as one text; no id of the contract has a comma."""
    return ",".join(ids)
