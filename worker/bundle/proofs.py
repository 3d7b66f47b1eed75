"""Proofs of leaves, from a ledger that stores the peaks of its log with each batch and none of the other hashes.

Trees that end before a leaf's batch are among the peaks stored with the batch before it; those of its own batch are
hashed from the batch's rows. A tree that begins after it is hashed from the batch of the tree's last leaf and the peaks
before that one, so each level of the log costs one batch at most: a proof reads as many batches as the log has levels,
some twenty of a ledger of a million decisions, and thousands of proofs share most of them. What is in memory are the
trees that the proofs of a group of batches are made of, and one batch.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from worker.bundle.source import Source
from worker.errors import OperatorNeeded
from worker.ledger.leaves import leaves_of, log_after
from worker.ledger.merkle import (
    HASH_BYTES,
    Log,
    Tree,
    edge_hash,
    is_consistent,
    peak_ranges,
    root_by_inclusion,
    stored_log,
    trees_completed,
    trees_of_consistency,
    trees_of_inclusion,
)
from worker.ledger.tables import BatchRow, PolicyRow
from worker.proof.hashed_rows import HashedBatch
from worker.proof.heads import Head

_MOST_KEPT: Final = 100_000
"""Trees that are kept for the next proofs: about 20 MB."""


class Appended(NamedTuple):
    """The log before a batch, and the hashes of the leaves that it appended; None: the batch is older than the log."""

    before: Log
    hashes: list[bytes]


class Loaded(NamedTuple):
    """A batch with its rows, and what it appended to the log."""

    batch: HashedBatch
    appended: Appended | None


class Proofs:
    """Makes proofs of leaves of one log, which ends with `head`. `before_log` are the policies stored before it."""

    def __init__(self, source: Source, head: Log, before_log: Sequence[PolicyRow]) -> None:
        self.size, self.root = head.size, head.root
        self._source, self._head, self._before_log = source, head, before_log
        self._known: dict[Tree, bytes] = {}

    async def load(self, number: int) -> Loaded:
        """Read a batch.

        Raises:
            OperatorNeeded: it is not there.
            Transient: the ledger is away.
        """
        found = await self._source.batch(number)
        if found is None:
            raise _torn(f"batch {number} is missing")
        before, batch = found
        if batch.row.log_size is None:
            return Loaded(batch, None)
        if batch.row.salt is None:
            raise _torn(f"batch {number} has no salt")
        leaves = leaves_of(batch.row, batch.decisions, batch.changes, batch.policies, batch.answers)
        return Loaded(batch, Appended(self._log_before(before), leaves.hashes))

    async def chain_head(self) -> bytes:
        """The last head of the hash chain that the first leaf of the log is over."""
        number = await self._source.batch_of_leaf(0)
        found = None if number is None else await self._source.batch(number)
        before = None if found is None else found[0]
        return bytes(HASH_BYTES) if before is None else before.chain_head

    async def inclusion(self, leaves: Mapping[int, bytes], read: Iterable[Appended] = ()) -> dict[int, list[bytes]]:
        """The proofs of these leaves, by their place in the log; `read` is what was read of the log already.

        Raises:
            OperatorNeeded: the ledger's hashes do not agree.
            Transient: the ledger is away.
        """
        trees = {index: trees_of_inclusion(index, self.size) for index in leaves}
        await self._find({tree for its in trees.values() for tree in its}, read)
        proofs = {index: [self._known[tree] for tree in its] for index, its in trees.items()}
        for index, proof in proofs.items():
            if root_by_inclusion(index, self.size, leaves[index], proof) != self.root:
                raise _torn(f"leaf {index} of the log is not what was hashed")
        return proofs

    async def consistency(self, old: Head) -> list[bytes]:
        """The proof that the log of an older head is the beginning of this one.

        Raises:
            OperatorNeeded: it is not, or the ledger's hashes do not agree.
            Transient: the ledger is away.
        """
        if old.size > self.size:
            raise OperatorNeeded(
                f"the log has {self.size} leaves and the older head {old.size}: it is the head of another ledger, or "
                "the end of this one is missing. `connects verify --against-head` checks that"
            )
        if await self._root_of(old.size) != old.root:
            raise OperatorNeeded(
                f"the log of {old.size} leaves has another root than the older head: it is the head of another ledger, "
                "or this one was rewritten. `connects verify --against-head` checks that"
            )
        if old.size == 0:
            return []
        trees = trees_of_consistency(old.size, self.size)
        await self._find(set(trees), ())
        proof = [self._known[tree] for tree in trees]
        if not is_consistent(old, (self.size, self.root), proof):
            raise _torn(f"the log of {old.size} leaves is not the beginning of that of {self.size}")
        return proof

    async def _root_of(self, size: int) -> bytes:
        """The root of the log when it had this size; of none, the last head of the chain before it."""
        if size == 0:
            return await self.chain_head()
        before, hashes = await self._appended(size - 1)
        return before.extended(hashes[: size - before.size]).root

    def _log_before(self, row: BatchRow | None) -> Log:
        if row is None or row.log_size is None:
            return log_after(bytes(HASH_BYTES) if row is None else row.chain_head, self._before_log)
        try:
            return stored_log(row.log_size, row.log_peaks or b"")
        except ValueError as error:
            raise _torn(f"batch {row.batch_no}: {error}") from None

    async def _appended(self, index: int) -> Appended:
        """What the batch appended that has this leaf."""
        number = await self._source.batch_of_leaf(index)
        found = None if number is None else (await self.load(number)).appended
        if found is None:
            raise _torn(f"no batch has leaf {index} of the log")
        return found

    async def _find(self, wanted: set[Tree], read: Iterable[Appended]) -> None:
        """Know the hashes of these trees."""
        if len(self._known) > _MOST_KEPT:
            self._known.clear()
        missing = wanted - self._known.keys()
        for tree in [tree for tree in missing if tree.end == self.size]:
            if (found := edge_hash(self._head, tree.start)) is not None:
                self._known[tree] = found
        for appended in read:
            self._take(appended, missing)
        missing -= self._known.keys()
        while missing:
            last = min(tree.end for tree in missing) - 1
            self._take(await self._appended(last), missing)
            left = missing - self._known.keys()
            if len(left) == len(missing):
                raise _torn(f"the log has no tree that ends with leaf {last}")
            missing = left

    def _take(self, appended: Appended, wanted: set[Tree]) -> None:
        """Take those of these trees that a batch brought, or was preceded by."""
        before, hashes = appended
        for tree, peak in zip(peak_ranges(before.size), before.peaks, strict=True):
            if tree in wanted:
                self._known[tree] = peak
        for tree, found in trees_completed(before, hashes):
            if tree in wanted:
                self._known[tree] = found


def _torn(words: str) -> OperatorNeeded:
    return OperatorNeeded(f"the ledger's hashes do not agree, {words}: `connects verify` names what was altered")
