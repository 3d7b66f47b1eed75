"""The Merkle log against RFC 6962 written down word for word, slowly."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.ledger.merkle import (
    EMPTY,
    Log,
    Tree,
    consistency_proof,
    edge_hash,
    inclusion_proof,
    is_consistent,
    leaf_hash,
    peak_ranges,
    root_by_inclusion,
    stored_log,
    trees_completed,
    trees_of_consistency,
    trees_of_inclusion,
)

MOST = 70
LEAVES = [leaf_hash(str(number).encode()) for number in range(MOST)]
sizes = st.integers(1, MOST)


def hashed(data: bytes) -> bytes:
    return blake2b(data, digest_size=32).digest()


def tree(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1; the leaves are hashed by then."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashed(b"")
    middle = below(len(leaves))
    return hashed(b"\1" + tree(leaves[:middle]) + tree(leaves[middle:]))


def path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962, 2.1.1."""
    if len(leaves) == 1:
        return []
    middle = below(len(leaves))
    if index < middle:
        return [*path(index, leaves[:middle]), tree(leaves[middle:])]
    return [*path(index - middle, leaves[middle:]), tree(leaves[:middle])]


def subproof(old: int, leaves: Sequence[bytes], whole: bool) -> list[bytes]:  # noqa: FBT001 - as there
    """SUBPROOF of RFC 6962, 2.1.2."""
    if old == len(leaves):
        return [] if whole else [tree(leaves)]
    middle = below(len(leaves))
    if old <= middle:
        return [*subproof(old, leaves[:middle], whole), tree(leaves[middle:])]
    return [*subproof(old - middle, leaves[middle:], False), tree(leaves[:middle])]


def below(size: int) -> int:
    power = 1
    while power * 2 < size:
        power *= 2
    return power


def tree_hash(start: int, end: int) -> bytes:
    return tree(LEAVES[start:end])


def another(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]


def test_leaves_and_nodes_are_hashed_apart() -> None:
    assert leaf_hash(b"a") == hashed(b"\0a")
    assert EMPTY.extended([b"l" * 32, b"r" * 32]).root == hashed(b"\1" + b"l" * 32 + b"r" * 32)
    assert leaf_hash(b"l" * 32 + b"r" * 32) != EMPTY.extended([b"l" * 32, b"r" * 32]).root


@pytest.mark.parametrize("size", range(MOST + 1))
def test_the_root_is_that_of_the_tree(size: int) -> None:
    log = EMPTY.extended(LEAVES[:size])
    assert (log.size, log.root) == (size, tree(LEAVES[:size]))
    assert list(log.peaks) == [tree(LEAVES[start:end]) for start, end in peak_ranges(size)]
    assert stored_log(size, b"".join(log.peaks)) == log


@given(cuts=st.lists(st.integers(0, MOST), max_size=8))
def test_it_does_not_matter_how_many_are_appended_together(cuts: list[int]) -> None:
    log, done = EMPTY, 0
    for cut in sorted(cuts):
        log = log.extended(LEAVES[done:cut])
        done = max(done, cut)
    assert log == EMPTY.extended(LEAVES[:done])


@given(size=sizes, data=st.data())
def test_an_inclusion_proof_is_the_path_and_leads_to_the_root(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, tree_hash)
    assert proof == path(index, LEAVES[:size])
    assert root_by_inclusion(index, size, LEAVES[index], proof) == tree(LEAVES[:size])


@given(size=sizes, data=st.data())
def test_no_other_leaf_place_or_proof_leads_to_the_root(size: int, data: st.DataObject) -> None:
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(-1, size))
    proof, root = inclusion_proof(index, size, tree_hash), tree(LEAVES[:size])
    assert root_by_inclusion(index, size, another(LEAVES[index]), proof) != root
    if other != index:
        assert root_by_inclusion(other, size, LEAVES[index], proof) != root
    for forged in forgeries(proof, data):
        assert root_by_inclusion(index, size, LEAVES[index], forged) != root


@given(size=sizes, data=st.data())
def test_a_consistency_proof_is_that_of_the_rfc_and_is_accepted(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(0, size))
    proof = consistency_proof(old, size, tree_hash)
    assert proof == (subproof(old, LEAVES[:size], True) if old else [])
    assert is_consistent((old, tree(LEAVES[:old])), (size, tree(LEAVES[:size])), proof)


@given(size=sizes, data=st.data())
def test_a_log_that_was_rewritten_is_not_consistent(size: int, data: st.DataObject) -> None:
    """One leaf of the older log was another: no proof that is made of the newer log is accepted."""
    old = data.draw(st.integers(1, size))
    place = data.draw(st.integers(0, old - 1))
    before = [*LEAVES[:place], another(LEAVES[place]), *LEAVES[place + 1 : old]]
    proof = consistency_proof(old, size, tree_hash)
    assert not is_consistent((old, tree(before)), (size, tree(LEAVES[:size])), proof)
    root, newer = tree(LEAVES[:old]), tree(LEAVES[:size])
    assert not is_consistent((old, root), (size, another(newer)), proof)
    for forged in forgeries(proof, data):
        assert not is_consistent((old, root), (size, newer), forged)


@given(size=sizes, cuts=st.lists(st.integers(1, MOST), max_size=5), data=st.data())
def test_any_leaf_proves_by_trees_that_were_completed_and_no_other_bit_does(
    size: int, cuts: list[int], data: st.DataObject
) -> None:
    """From the peaks between batches and the leaves of each batch alone, and so does any older size."""
    log, known = EMPTY, dict[Tree, bytes]()
    for end in sorted({*(cut for cut in cuts if cut < size), size}):
        known |= zip(peak_ranges(log.size), log.peaks, strict=True)
        known |= trees_completed(log, LEAVES[log.size : end])
        log = log.extended(LEAVES[log.size : end])

    def proof(trees: Sequence[Tree]) -> list[bytes]:
        edges = ((tree, edge_hash(log, tree.start) if tree.end == size else None) for tree in trees)
        return [edge or known[tree] for tree, edge in edges]

    for index in range(size):
        steps = proof(trees_of_inclusion(index, size))
        assert root_by_inclusion(index, size, LEAVES[index], steps) == log.root
        flipped, bit = [LEAVES[index], *steps], data.draw(st.integers(0, 255))
        which = data.draw(st.integers(0, len(steps)))
        flipped[which] = (int.from_bytes(flipped[which]) ^ 1 << bit).to_bytes(32)
        assert root_by_inclusion(index, size, flipped[0], flipped[1:]) != log.root
    for old in range(1, size + 1):
        assert is_consistent((old, tree(LEAVES[:old])), (size, log.root), proof(trees_of_consistency(old, size)))


def test_an_edge_begins_with_a_peak() -> None:
    log = EMPTY.extended(LEAVES[:11])  # peaks over 8, 2 and 1
    edges = {start: edge_hash(log, start) for start in range(12)}
    assert {start for start, edge in edges.items() if edge is not None} == {0, 8, 10}
    assert [edges[start] for start in (0, 8, 10)] == [tree(LEAVES[start:11]) for start in (0, 8, 10)]


def forgeries(proof: list[bytes], data: st.DataObject) -> list[list[bytes]]:
    """Proofs like this one, but for one step."""
    place = data.draw(st.integers(0, len(proof)))
    if place == len(proof):
        return [[*proof, bytes(32)]]
    rest = proof[place + 1 :]
    return [
        [*proof[:place], *rest],
        [*proof[:place], another(proof[place]), *rest],
        [*proof[: place + 1], *proof[place:]],
    ]


@pytest.mark.parametrize(("old", "new"), [((1, b"x"), (0, b"")), ((-1, b""), (3, b"x")), ((2, b"x"), (3, b"y"))])
def test_what_is_no_older_log_or_no_proof_is_not_consistent(old: Any, new: Any) -> None:  # noqa: ANN401
    assert not is_consistent(old, new, [])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 3), (3, 3)])
def test_a_leaf_that_is_not_there_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"a log of {size} leaves has no leaf {index}"):
        inclusion_proof(index, size, tree_hash)
    assert root_by_inclusion(index, size, LEAVES[0], []) is None


@pytest.mark.parametrize(("old", "size"), [(-1, 3), (4, 3)])
def test_a_longer_log_is_not_the_beginning_of_a_shorter_one(old: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"a log of {size} leaves does not begin with one of {old}"):
        consistency_proof(old, size, tree_hash)


@pytest.mark.parametrize(("size", "peaks"), [(0, bytes(32)), (3, bytes(32)), (4, bytes(31)), (-1, b"")])
def test_peaks_that_are_not_those_of_the_size_are_refused(size: int, peaks: bytes) -> None:
    with pytest.raises(ValueError, match=f"a log of {size} leaves does not have {len(peaks)} bytes of peaks"):
        stored_log(size, peaks)


def test_a_log_is_its_size_and_peaks() -> None:
    assert Log(3, (LEAVES[0], LEAVES[1])) == stored_log(3, LEAVES[0] + LEAVES[1])
