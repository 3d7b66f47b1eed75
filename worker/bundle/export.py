"""Exporting a bundle: the decisions of a subject in ledger order, with their proofs, as a stream of lines.

Batches are written once and the end is fixed at the start, so nothing is locked and no transaction is held open. What
is in memory are the places of the decisions (two numbers each) and some batches.
"""

from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from worker.bundle.format import (
    ANSWER,
    BATCHES,
    CHANGE,
    CHARGE,
    DECISION,
    DECISIONS,
    FORMAT,
    HEADER,
    LOT,
    OTHERS,
    POLICY,
    Bundle,
    FirstLeaf,
    ProvedBatch,
    ProvedDecision,
    Since,
    Subject,
)
from worker.bundle.proofs import Appended, Loaded, Proofs
from worker.bundle.source import Place, Source
from worker.domain.model import FreelancerId
from worker.domain.policy_use import StoredVersion
from worker.errors import OperatorNeeded
from worker.ledger.leaves import first_leaf, leaf_salt
from worker.ledger.membership_rows import charge_row
from worker.ledger.merkle import Log, stored_log
from worker.ledger.rows import lot_row
from worker.ledger.tables import BatchRow, ChangeRow, DecisionRow, PolicyRow
from worker.plain_text import plain
from worker.proof.checks import Progress
from worker.proof.heads import Head
from worker.proof.identity import look_up
from worker.proof.parts import Part
from worker.proof.recorded import BatchColumns, Recorded, header_of
from worker.release import release

_GROUP_LEAVES: Final = 500
_GROUP_BATCHES: Final = 50
"""The proofs of up to that many decisions, or batches, are made together."""


class Begun(NamedTuple):
    """What is known before the first line: what the bundle is about, the head, and the last place exported from."""

    subject: Subject
    head: Head
    through_seq: int


class Line(NamedTuple):
    """A line of an entry; of a decision also its rows."""

    entry: str
    value: ProvedDecision | ProvedBatch
    decision: DecisionRow | None = None
    changes: Sequence[ChangeRow] = ()


async def export(
    source: Source, asked: Subject, since: Head | None, progress: Progress
) -> AsyncGenerator[Begun | Line | Bundle]:
    """What a bundle holds: what it is about, then lines, those of one entry in order, then its own description.

    `since` is an older head whose log is to be proved to be the beginning of this one.

    Raises:
        OperatorNeeded: there is nothing to export, the older head is another ledger's, or the hashes do not agree.
        Transient: the ledger is away.
    """
    last, log = _log_of(await source.last_batch())
    subject, through, places = await _places(source, asked, last)
    if not places:
        raise OperatorNeeded(f"no decision is about {plain(subject)}. `connects log find` shows what there is")
    exporting = _Exporting(source, log, subject, await source.policies())
    proof = None if since is None else await exporting.proofs.consistency(since)
    progress.begin("bundle", len(places))
    head = Head(log.size, log.root)
    yield Begun(subject, head, through)
    async for line in exporting.decisions(DECISIONS, places):
        yield line
        progress.advance(line.entry == DECISIONS)
    while others := await source.places_of(exporting.met - exporting.written):
        async for line in exporting.decisions(OTHERS, others):
            yield line
    while numbers := await exporting.batches_left(last.batch_no):
        async for line in exporting.batches(numbers):
            yield line
    yield Bundle(
        FORMAT,
        release(),
        subject,
        str(head),
        through,
        await exporting.first_leaf(),
        None if since is None or proof is None else Since(str(since), _texts(proof)),
        exporting.counts[DECISIONS],
        exporting.counts[OTHERS],
        exporting.counts[BATCHES],
    )


def _log_of(last: BatchRow | None) -> tuple[BatchRow, Log]:
    if last is None:
        raise OperatorNeeded("nothing was decided yet: there is nothing to export")
    if last.log_size is None:
        raise OperatorNeeded(
            "the ledger has no log of single decisions yet, only the hash chain of release 0.1.0: run this release's "
            "worker once, so that its first batch begins the log"
        )
    try:
        return last, stored_log(last.log_size, last.log_peaks or b"")
    except ValueError as error:
        raise OperatorNeeded(f"batch {last.batch_no}: {error}. `connects verify` names what was altered") from None


async def _places(source: Source, asked: Subject, last: BatchRow) -> tuple[Subject, int, list[Place]]:
    """What the bundle is about, the last place that it has, and the decisions."""
    through = last.last_seq
    if asked.event is None:
        return asked, through, await source.places(asked, through)
    subject, seqs = await source.subject_of(asked.event)
    seqs = [seq for seq in seqs if seq <= through]
    if subject.freelancer is None or not seqs:
        return subject, through, await source.places_of(seqs)
    # Up to the end of a batch: what a trigger brought with it is never in two, and is compared with it.
    (place,) = await source.places_of([max(seqs)])
    batch = await source.batch(place.batch_no)
    through = through if batch is None else batch[1].row.last_seq
    return subject, through, await source.places(Subject(freelancer=subject.freelancer), through)


class _Exporting:
    """Makes the lines, and notes which other decisions and batches they need."""

    def __init__(self, source: Source, log: Log, subject: Subject, policies: Sequence[PolicyRow]) -> None:
        self._source, self._subject = source, subject
        self._policies = {row.version: row for row in policies}
        self._stored = [StoredVersion(row.version, row.effective_from, row.document) for row in policies]
        self._before_log = [row for row in policies if row.batch_no == 0]
        self.proofs = Proofs(source, log, self._before_log)
        self.written, self.met = set[int](), set[int]()
        """Decisions that were written, and those that these met."""
        self._closures, self._known = list[int](), set[str]()
        """Closures whose settling counts, and policy versions that batches knew."""
        self._batches = set[int]()
        self._parked: dict[int, Recorded] = {}
        self.counts = {DECISIONS: 0, OTHERS: 0, BATCHES: 0}

    async def first_leaf(self) -> FirstLeaf:
        """What the first leaf is over, with its proof."""
        chain_head = await self.proofs.chain_head()
        proofs = await self.proofs.inclusion({0: first_leaf(chain_head, self._before_log)})
        policies = [POLICY.written(row) for row in sorted(self._before_log)]
        return FirstLeaf(chain_head.hex(), policies, _texts(proofs[0]))

    async def decisions(self, entry: str, places: Sequence[Place]) -> AsyncGenerator[Line]:
        """The lines of these decisions, and of the batches that they are the first of."""
        for numbers, seqs in _groups(places):
            leaves, read = _Leaves(), list[Appended]()
            for number in numbers:
                loaded = await self.proofs.load(number)
                leaves.add_decisions(loaded, seqs)
                if number not in self._batches:
                    leaves.add_batch(loaded)
                read += [] if loaded.appended is None else [loaded.appended]
            if len(leaves.decisions) != len(seqs):
                raise OperatorNeeded("decisions are missing from their batches: `connects verify` names them")
            proofs = await self.proofs.inclusion(leaves.hashes, read)
            recorded = await self._looked_up(entry, leaves)
            for found, of in zip(leaves.decisions, recorded, strict=True):
                yield self._decision_line(entry, found, of, proofs)
            for number in leaves.batches:
                yield self._batch_line(leaves.batches[number], proofs)

    async def batches_left(self, last: int) -> list[int]:
        """The batches without a line: the last, and those that worked off closures or stored a policy that counts."""
        worked = await self._source.batches_that_worked_off(self._closures)
        self._closures.clear()
        stored = {self._policies[name].batch_no for name in self._known if name in self._policies}
        return sorted(number for number in {last, *worked, *stored} - self._batches if 0 < number <= last)

    async def batches(self, numbers: Sequence[int]) -> AsyncGenerator[Line]:
        """The lines of these batches."""
        for number in numbers:
            loaded, leaves = await self.proofs.load(number), _Leaves()
            leaves.add_batch(loaded)
            read = [] if loaded.appended is None else [loaded.appended]
            yield self._batch_line(loaded, await self.proofs.inclusion(leaves.hashes, read))

    async def _looked_up(self, entry: str, leaves: "_Leaves") -> list[Recorded]:
        """The decisions with what else the ledger says of whatever they name."""
        freelancer = self._subject.freelancer
        recorded = [self._recorded(found) for found in leaves.decisions]
        if entry == DECISIONS and freelancer is not None:
            await look_up(recorded, self._parked, self._source.reader, Part(freelancer=FreelancerId(freelancer)))
            self._parked |= {one.row.seq: one for one in recorded if one.row.outcome == "parked"}
        return recorded

    def _recorded(self, found: "_Found") -> Recorded:
        row = found.batch
        header = header_of(BatchColumns(*(getattr(row, name) for name in BatchColumns._fields)), self._stored)
        mine = [change for change in found.changes if change.freelancer_id == self._subject.freelancer]
        return Recorded(found.row, header, mine)

    def _decision_line(self, entry: str, found: "_Found", of: Recorded, proofs: dict[int, list[bytes]]) -> Line:
        row = found.row
        self.written.add(row.seq)
        self.counts[entry] += 1
        if row.reason == "settlement-pending":
            self._closures.append(row.seq)
        first = None if of.first is None else of.first.seq
        grant = None if of.grant is None else of.grant.decision_seq
        spend = None if of.spend is None else of.spend.decision_seq
        met = [None if seq is None or seq > row.seq else seq for seq in (first, grant, spend)]
        self.met |= {seq for seq in met if seq is not None}
        if entry == OTHERS and row.payload is None and row.follows is not None:
            self.met.add(row.follows)  # it has the event
        charge = of.charge if of.charge is not None and of.charge.decision_seq == row.seq else None
        value = ProvedDecision(
            **_proof_of(found.place, found.salt, proofs),
            decision=DECISION.written(row),
            changes=[CHANGE.written(change) for change in found.changes],
            first=met[0],
            grant=met[1],
            spend=met[2],
            lots=[LOT.written(lot_row(lot)) for lot in of.lots.values()],
            charge=None if charge is None else CHARGE.written(charge_row(charge)),
        )
        return Line(entry, value, row, found.changes)

    def _batch_line(self, loaded: Loaded, proofs: dict[int, list[bytes]]) -> Line:
        batch, row = loaded.batch, loaded.batch.row
        self._batches.add(row.batch_no)
        self._known |= {*(self._policies if row.policy_versions is None else row.policy_versions)}
        self.counts[BATCHES] += 1
        index, salt = _place_of_batch(loaded)
        value = ProvedBatch(
            **_proof_of(index, salt, proofs),
            batch=HEADER.written(row),
            policies=[POLICY.written(policy) for policy in batch.policies],
            answers=[ANSWER.written(answer) for answer in batch.answers],
        )
        return Line(BATCHES, value)


class _Found(NamedTuple):
    """A decision in its batch, with its place in the log and its leaf's salt, if it has one."""

    batch: BatchRow
    row: DecisionRow
    changes: list[ChangeRow]
    place: int | None
    salt: bytes | None


class _Leaves:
    """The leaves of a group of batches that proofs are wanted of, and what they are over."""

    def __init__(self) -> None:
        self.hashes: dict[int, bytes] = {}
        self.decisions: list[_Found] = []
        self.batches: dict[int, Loaded] = {}

    def add_decisions(self, loaded: Loaded, seqs: Collection[int]) -> None:
        """Want the leaves of these decisions, as far as they are in this batch."""
        batch, appended = loaded
        changes: dict[int, list[ChangeRow]] = {}
        for change in batch.changes:
            changes.setdefault(change.decision_seq, []).append(change)
        for place, row in enumerate(batch.decisions):
            if row.seq not in seqs:
                continue
            index, salt = None, None
            if appended is not None and batch.row.salt is not None:
                index, salt = appended.before.size + place, leaf_salt(batch.row.salt, row.seq)
                self.hashes[index] = appended.hashes[place]
            self.decisions.append(_Found(batch.row, row, changes.get(row.seq, []), index, salt))

    def add_batch(self, loaded: Loaded) -> None:
        """Want the leaf of a batch itself; its decisions are not kept."""
        self.batches[loaded.batch.row.batch_no] = loaded._replace(batch=loaded.batch._replace(decisions=[], changes=[]))
        index, _ = _place_of_batch(loaded)
        if index is not None and loaded.appended is not None:
            self.hashes[index] = loaded.appended.hashes[-1]


def _place_of_batch(loaded: Loaded) -> tuple[int | None, bytes | None]:
    if loaded.appended is None or loaded.batch.row.salt is None:
        return None, None
    return loaded.appended.before.size + len(loaded.appended.hashes) - 1, leaf_salt(loaded.batch.row.salt, 0)


def _proof_of(index: int | None, salt: bytes | None, proofs: dict[int, list[bytes]]) -> dict[str, Any]:
    proof = [] if index is None else _texts(proofs[index])
    return {"index": index, "salt": None if salt is None else salt.hex(), "proof": proof}


def _texts(hashes: Iterable[bytes]) -> list[str]:
    return [one.hex() for one in hashes]


def _groups(places: Sequence[Place]) -> Iterator[tuple[list[int], set[int]]]:
    """Groups of batches, and the decisions of them that are wanted; the places are in ledger order."""
    numbers, seqs = list[int](), set[int]()
    for place in places:
        is_new = not numbers or place.batch_no != numbers[-1]
        if is_new and (len(seqs) >= _GROUP_LEAVES or len(numbers) >= _GROUP_BATCHES):
            yield numbers, seqs
            numbers, seqs = [], set()
        if is_new:
            numbers.append(place.batch_no)
        seqs.add(place.seq)
    if numbers:
        yield numbers, seqs
