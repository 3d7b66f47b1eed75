"""A Merkle log as in RFC 6962, over BLAKE2b-256: leaves are only ever appended, and one hash, the root, stands for all.

The root of the first n leaves is that of their tree: n is split at the largest power of two below it, and each part is
a tree again. Of a log only its peaks are kept, the roots of the perfect trees that it is made of; the root follows from
them, and so do those of the log with more leaves. Leaves and nodes are hashed with different prefixes.

A proof is the hashes of some trees, which `trees_of_inclusion` and `trees_of_consistency` name. Each of them ends with
the log, and then `edge_hash` has it, or is perfect: `trees_completed` yields it when its last leaf is appended.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

HASH_BYTES: Final = 32
_LEAF, _NODE = b"\0", b"\1"

TreeHash = Callable[[int, int], bytes]


class Tree(NamedTuple):
    """A tree over the leaves [start, end)."""

    start: int
    end: int


class Log(NamedTuple):
    """A log by its size, in leaves, and its peaks, the largest tree first."""

    size: int
    peaks: tuple[bytes, ...]

    def extended(self, leaves: Sequence[bytes]) -> "Log":
        """The log with these leaf hashes appended: about one hash for each."""
        row, left, grown = list(leaves), list(self.peaks), list[bytes]()
        level = self.size
        while row:
            if level & 1:
                row.insert(0, left.pop())
            if len(row) & 1:
                grown.append(row.pop())
            row = list(map(node_hash, row[::2], row[1::2]))
            level >>= 1
        return Log(self.size + len(leaves), (*left, *reversed(grown)))

    @property
    def root(self) -> bytes:
        """The hash that stands for all leaves."""
        if not self.peaks:
            return blake2b(digest_size=HASH_BYTES).digest()
        root = self.peaks[-1]
        for peak in self.peaks[-2::-1]:
            root = node_hash(peak, root)
        return root


EMPTY: Final = Log(0, ())


def leaf_hash(*data: bytes) -> bytes:
    """The hash of a leaf, whose data may come in parts."""
    return blake2b(b"".join((_LEAF, *data)), digest_size=HASH_BYTES).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two trees side by side."""
    return blake2b(_NODE + left + right, digest_size=HASH_BYTES).digest()


def stored_log(size: int, peaks: bytes) -> Log:
    """A log from its size and its peaks one after the other.

    Raises:
        ValueError: these are not the peaks of a log of that size.
    """
    if size < 0 or len(peaks) != HASH_BYTES * size.bit_count():
        raise ValueError(f"a log of {size} leaves does not have {len(peaks)} bytes of peaks")
    return Log(size, tuple(peaks[place : place + HASH_BYTES] for place in range(0, len(peaks), HASH_BYTES)))


def peak_ranges(size: int) -> Iterator[Tree]:
    """The leaves [start, end) under each peak of a log of that size, the largest first."""
    start = 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            yield Tree(start, start + (1 << level))
            start += 1 << level


def trees_completed(log: Log, leaves: Iterable[bytes]) -> Iterator[tuple[Tree, bytes]]:
    """Every tree that is whole once these leaf hashes are appended, and was not before, with its hash: two a leaf."""
    peaks, size = list(log.peaks), log.size
    for leaf in leaves:
        level, found = 0, leaf
        size += 1
        yield Tree(size - 1, size), found
        while not size >> level & 1:
            found = node_hash(peaks.pop(), found)
            level += 1
            yield Tree(size - (1 << level), size), found
        peaks.append(found)


def edge_hash(log: Log, start: int) -> bytes | None:
    """The root of the tree over the leaves from `start` to the end of the log, where a peak begins; None: none does."""
    starts = [tree.start for tree in peak_ranges(log.size)]
    return Log(log.size, log.peaks[starts.index(start) :]).root if start in starts else None


def trees_of_inclusion(index: int, size: int) -> list[Tree]:
    """The trees whose hashes prove that the leaf `index` is in the log of the first `size` leaves, from the leaf up.

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a log of {size} leaves has no leaf {index}")
    return [beside for _, beside in _way_down(index, size)][::-1]


def trees_of_consistency(old_size: int, size: int) -> list[Tree]:
    """The trees whose hashes prove that the log of the first `old_size` leaves is the beginning of that of `size`.

    Raises:
        ValueError: the older log is not the shorter one.
    """
    if not 0 <= old_size <= size:
        raise ValueError(f"a log of {size} leaves does not begin with one of {old_size}")
    if old_size in {0, size}:
        return []
    trees = list[Tree]()
    for tree, beside in _way_down(old_size - 1, size):
        trees.append(beside)
        if tree.end == old_size:
            if tree.start:  # else the reader has the older root
                trees.append(tree)
            break
    return trees[::-1]


def _way_down(index: int, size: int) -> Iterator[tuple[Tree, Tree]]:
    """From below the root to a leaf: each tree that has the leaf, and the tree beside it."""
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        left, right = Tree(start, middle), Tree(middle, end)
        if index < middle:
            yield left, right
            end = middle
        else:
            yield right, left
            start = middle


def inclusion_proof(index: int, size: int, tree_hash: TreeHash) -> list[bytes]:
    """The hashes of `trees_of_inclusion`.

    Raises:
        ValueError: there is no such leaf.
    """
    return [tree_hash(*tree) for tree in trees_of_inclusion(index, size)]


def consistency_proof(old_size: int, size: int, tree_hash: TreeHash) -> list[bytes]:
    """The hashes of `trees_of_consistency`.

    Raises:
        ValueError: the older log is not the shorter one.
    """
    return [tree_hash(*tree) for tree in trees_of_consistency(old_size, size)]


def root_by_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The root of a log of `size` leaves that an inclusion proof leads to; None if it is no proof for this leaf."""
    if not 0 <= index < size:
        return None
    climbed = _climb(index, size - 1, leaf, proof)
    return None if climbed is None else climbed[1]


def is_consistent(old: tuple[int, bytes], new: tuple[int, bytes], proof: Sequence[bytes]) -> bool:
    """Whether a consistency proof shows that the log of an older size and root is the beginning of a newer one."""
    (old_size, old_root), (size, root) = old, new
    if not 0 <= old_size <= size:
        return False
    if old_size in {0, size}:
        return not proof and (old_size == 0 or old_root == root)
    steps = list(proof)
    if not old_size & (old_size - 1):
        steps.insert(0, old_root)
    if not steps:
        return False
    place, last = old_size - 1, size - 1
    while place & 1:
        place >>= 1
        last >>= 1
    return _climb(place, last, steps[0], steps[1:]) == (old_root, root)


def _climb(place: int, last: int, tree: bytes, steps: Iterable[bytes]) -> tuple[bytes, bytes] | None:
    """The roots that these steps lead to from a tree: of the log that ends with it, and of the whole one.

    `place` is the tree's place among those of its height, `last` that of the last one. None: these are not the steps.
    """
    ended = whole = tree
    for step in steps:
        if not last:
            return None
        if place & 1 or place == last:
            ended, whole = node_hash(step, ended), node_hash(step, whole)
            while not place & 1 and place:
                place >>= 1
                last >>= 1
        else:
            whole = node_hash(whole, step)
        place >>= 1
        last >>= 1
    return None if last else (ended, whole)


def _split(size: int) -> int:
    """The largest power of two below `size`, which is 2 or more."""
    return 1 << ((size - 1).bit_length() - 1)
