"""Checking a bundle without the ledger: its bytes, every hash and proof, its completeness, and the page.

The file is read line by line, twice at most. What is in memory are the settings of its batches, a few numbers for each
decision, and whatever deciding again keeps of one freelancer.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from worker.bundle import page
from worker.bundle.archive import Archive, Damaged, opened
from worker.bundle.batches import Batches
from worker.bundle.format import (
    BATCHES,
    BUNDLE,
    DECISIONS,
    FORMAT,
    OTHERS,
    PAGE,
    POLICY,
    BatchLine,
    Bundle,
    DecisionLine,
    read_batch,
    read_bundle,
    read_decision,
)
from worker.bundle.heads import compare_heads
from worker.bundle.history import History
from worker.bundle.result import Checked, Found
from worker.errors import UsageError
from worker.ledger.leaves import batch_leaf, decision_leaf, first_leaf
from worker.ledger.merkle import root_by_inclusion
from worker.plain_text import plain
from worker.proof.checks import Progress
from worker.proof.heads import Head, is_root
from worker.release import release

UNREADABLE: Final = (msgspec.DecodeError, ValueError, TypeError, OverflowError, RecursionError, AttributeError)
"""What reading a line raises that was changed."""


class Reading:
    """The entries of a bundle as values; what cannot be read is a finding."""

    def __init__(self, archive: Archive, checked: Checked) -> None:
        self._archive, self._checked = archive, checked

    def bundle(self) -> Bundle | None:
        """What the bundle is; None: that cannot be read."""
        found = [bundle for _, bundle in self._values(BUNDLE, read_bundle)]
        if len(found) != 1 and not self._checked.count:
            self._checked.add(Found(f"it has {len(found)} lines instead of one", BUNDLE))
        return found[0] if len(found) == 1 else None

    def batches(self) -> Iterator[tuple[int, BatchLine]]:
        """The batches, each with its line."""
        return self._values(BATCHES, read_batch)

    def decisions(self, entry: str) -> Iterator[tuple[int, DecisionLine]]:
        """The decisions of an entry, each with its line."""
        return self._values(entry, read_decision)

    def page(self) -> Iterator[str]:
        """The lines of the page."""
        return (line for _, line in self._values(PAGE, lambda line: line.decode()))

    def _values(self, entry: str, read: Callable[[bytes], Any]) -> Iterator[tuple[int, Any]]:
        try:
            for number, line in enumerate(self._archive.lines(entry), 1):
                try:
                    value = read(line)
                except UNREADABLE as error:
                    words = " ".join(str(error).split())
                    self._checked.add(Found(f"the line is not one that was written: {words}", entry, number))
                else:
                    yield number, value
        except Damaged as error:
            self._checked.add(Found(str(error), error.entry))


def check(path: Path, given: str | None, progress: Progress) -> Checked:
    """Check a bundle. `given` is a head that the reader has, SIZE:HEX or its HEX alone.

    Raises:
        UsageError: it is not a bundle, or one of a later format.
        OperatorNeeded: a later release stored a policy version in it.
        OSError: it cannot be read.
    """
    checked = Checked()
    try:
        with opened(path) as archive:
            bundle = Reading(archive, checked).bundle()
            if bundle is not None:
                _Check(Reading(archive, checked), bundle, checked, progress).run(given)
            if not archive.is_whole and not checked.count:
                checked.add(Found("a byte of it was changed, outside of what its entries say"))
    except Damaged as error:
        checked.add(Found(str(error), error.entry))
    return checked


class _Check:
    """Checks one bundle."""

    def __init__(self, reading: Reading, bundle: Bundle, checked: Checked, progress: Progress) -> None:
        if bundle.format != FORMAT:
            raise UsageError(
                f"the bundle has format {bundle.format}, and this release knows {FORMAT}: check it with release "
                f"{plain(bundle.exported_by)}, which exported it, or a later one"
            )
        self._reading, self._bundle, self._checked, self._progress = reading, bundle, checked, progress
        self._page = _Page(reading.page(), checked, is_compared=bundle.exported_by == release())
        self._counts = {DECISIONS: 0, OTHERS: 0, BATCHES: 0}

    def run(self, given: str | None) -> None:
        """Check everything."""
        bundle, checked = self._bundle, self._checked
        try:
            self._head = Head.parsed(bundle.head)
        except ValueError as error:
            self._found(f"its head is not one: {error}", BUNDLE)
            return
        self._batches = Batches(self._head.size, checked)
        checked.subject, checked.head, checked.through_seq = str(bundle.subject), bundle.head, bundle.through_seq
        self._check_first_leaf()
        compare_heads(bundle, self._head, given, checked)
        self._check_batches()
        self._progress.begin("proofs", bundle.decisions)
        self._page.expect(page.opening(bundle.subject, bundle.head, bundle.through_seq, bundle.exported_by))
        history = History(bundle.subject, self._batches, checked)
        self._check_decisions(OTHERS, history)
        self._check_decisions(DECISIONS, history)
        self._page.expect(page.closing(bundle.decisions, bundle.others, bundle.batches))
        self._page.finish()
        history.finish()
        for entry, said in ((DECISIONS, bundle.decisions), (OTHERS, bundle.others), (BATCHES, bundle.batches)):
            if self._counts[entry] != said:
                self._found(f"it has {self._counts[entry]} lines that can be read, and was written with {said}", entry)
        if checked.count == 0 and bundle.subject.freelancer is not None:
            history.decide_again(self._reading, bundle, self._progress)

    def _check_first_leaf(self) -> None:
        first = self._bundle.first_leaf
        try:
            policies = [POLICY.read(policy) for policy in first.policies]
            leaf = first_leaf(bytes.fromhex(first.chain_head), policies)
        except UNREADABLE as error:
            self._found(f"the first leaf of the log cannot be read: {error}", BUNDLE)
            return
        self._batches.keep_policies(policies)
        if not self._is_proved(0, leaf, first.proof):
            self._found("the first leaf of the log is not what was hashed: it or its proof was changed", BUNDLE)

    def _check_batches(self) -> None:
        for line, (value, row, policies, answers) in self._reading.batches():
            self._counts[BATCHES] += 1
            leaf = None if value.index is None else _leaf(batch_leaf, value.salt, row, policies, answers)
            if value.index is not None and not self._is_proved(value.index, leaf, value.proof):
                words = f"batch {row.batch_no} is not what the log has at its place {value.index}"
                self._found(f"{words}: a setting, a policy version, a reply or its proof was changed", BATCHES, line)
            self._batches.keep(row, value.index, policies, line)
        self._batches.finish()

    def _check_decisions(self, entry: str, history: History) -> None:
        for line, read in self._reading.decisions(entry):
            value, row, changes = read[:3]
            self._counts[entry] += 1
            self._progress.advance(entry == DECISIONS)
            self._check_proof(entry, line, read)
            self._batches.check_place(row, value.index, Found("", entry, line, row.seq))
            if entry == OTHERS:
                history.note_other(row)
                continue
            history.check(read, line)
            try:
                lines = list(page.decision(self._bundle.subject, row, changes, is_proved=value.index is not None))
            except UNREADABLE:
                self._page.give_up()
            else:
                self._page.expect(lines)

    def _check_proof(self, entry: str, line: int, read: DecisionLine) -> None:
        value, row, changes = read[:3]
        self._checked.decisions += entry == DECISIONS
        if value.index is None:
            return
        if self._is_proved(value.index, _leaf(decision_leaf, value.salt, row, changes), value.proof):
            self._checked.proved += entry == DECISIONS
        else:
            words = f"the decision is not the one that the log has at its place {value.index}"
            self._found(f"{words}: it, one of its changes or its proof was changed", entry, line, row.seq)

    def _is_proved(self, index: int, leaf: bytes | None, proof: list[str]) -> bool:
        if leaf is None or not all(map(is_root, proof)):
            return False
        return root_by_inclusion(index, self._head.size, leaf, [*map(bytes.fromhex, proof)]) == self._head.root

    def _found(self, detail: str, entry: str, line: int | None = None, seq: int | None = None) -> None:
        self._checked.add(Found(detail, entry, line, seq))


class _Page:
    """Compares the page with what it should be, line by line; the first line that differs is a finding."""

    def __init__(self, lines: Iterator[str], checked: Checked, *, is_compared: bool) -> None:
        self._lines, self._checked, self._is_compared = lines, checked, is_compared
        self._number = 0
        if not is_compared:
            checked.remarks.append("The page was written by another release, in its words: it is not compared.")

    def expect(self, expected: Iterable[str]) -> None:
        """Compare the next lines."""
        for line in expected:
            if not self._is_compared:
                return
            self._number += 1
            if next(self._lines, None) != line:
                self._differs()

    def finish(self) -> None:
        """There are no more lines."""
        if self._is_compared and next(self._lines, None) is not None:
            self._number += 1
            self._differs()
        for _ in self._lines:
            pass  # so that its last bytes are checked as well

    def give_up(self) -> None:
        """Compare no more: a decision cannot be put in words, which is a finding of its own."""
        self._is_compared = False

    def _differs(self) -> None:
        self._checked.add(Found("the page does not say what the decisions are", PAGE, self._number))
        self._is_compared = False


def _leaf(leaf: Callable[..., bytes], salt: str | None, *parts: object) -> bytes | None:
    """The hash of a leaf; None: it cannot be hashed, as whatever the ledger holds can."""
    try:
        return leaf(bytes.fromhex(salt or ""), *parts)
    except UNREADABLE:
        return None
