"""The decisions of a bundle as one history: that none is left out in the middle, and what today's rules make of it."""

from collections.abc import Iterator
from typing import Final, Protocol

import msgspec

from worker.bundle.batches import Batches
from worker.bundle.format import BUNDLE, DECISIONS, OTHERS, Bundle, DecisionLine, Subject
from worker.bundle.met import Met
from worker.bundle.result import Checked, Found
from worker.domain.model import FreelancerId, JobId, Lot
from worker.ledger.membership_rows import read_charge
from worker.ledger.rows import read_lot
from worker.ledger.tables import ChangeRow, DecisionRow, LotRow
from worker.proof.again import Again
from worker.proof.checks import Progress
from worker.proof.findings import Finding
from worker.proof.recorded import BatchHeader, Recorded, is_of_job
from worker.release import release
from worker.words.phrases import counted

_RULES_DIFFER: Final = frozenset({"code-changed", "not-due", "not-executable"})
"""What may be found because another release decided."""


class Decisions(Protocol):
    """Reads the decisions of an entry."""

    def decisions(self, entry: str) -> Iterator[tuple[int, DecisionLine]]:
        """The decisions of an entry, each with its line."""
        ...


class History:
    """Takes the decisions in ledger order, then decides them again."""

    def __init__(self, subject: Subject, batches: Batches, checked: Checked) -> None:
        self._subject, self._batches, self._checked = subject, batches, checked
        self._last, self._last_of_freelancer = 0, 0
        self._version, self._balance = 0, 0
        self._jobs = set[JobId]()
        """Jobs that the freelancer spent on."""
        self._events, self._unlinked = 0, 0
        self._met = Met()
        self._otherwise: dict[str, list[Finding]] = {}
        """What other releases decided otherwise than this one does, by release."""

    # Completeness.

    def note_other(self, row: DecisionRow) -> None:
        """Note that a decision of others is there."""
        self._met.there.add(row.seq)

    def check(self, read: DecisionLine, line: int) -> None:
        """Check that the next decision is about the subject and follows the one before it."""
        value, row, changes = read[:3]
        where = Found("", DECISIONS, line, row.seq)
        if row.seq <= self._last:
            self._found(where, f"it comes after decision {self._last}: they are in ledger order")
        self._last = max(self._last, row.seq)
        self._events += row.event_id == self._subject.event
        self._met.want(value, row.seq)
        if self._subject.freelancer is not None:
            self._check_freelancer(row, changes, where, is_proved=value.index is not None)
        elif self._subject.job not in {None, row.job_id}:
            self._found(where, f"it is not about job {self._subject.job}")

    def _check_freelancer(self, row: DecisionRow, changes: list[ChangeRow], where: Found, *, is_proved: bool) -> None:
        freelancer = self._subject.freelancer
        mine = [change for change in changes if change.freelancer_id == freelancer]
        if row.freelancer_id == freelancer:
            self._check_link(row, where)
            self._unlinked += row.previous_seq is None and is_proved
            if row.topic == "proposal-submitted" and row.job_id is not None:
                self._jobs.add(row.job_id)
        elif not mine and not is_of_job(row):
            self._found(where, f"it is not about freelancer {freelancer}")
        for change in mine:
            self._check_version(change, where)

    def _check_link(self, row: DecisionRow, where: Found) -> None:
        """Each decision names the one before it that names the same freelancer."""
        before, named = self._last_of_freelancer, row.previous_seq
        if named is not None and named > before:
            self._found(where, f"decision {named} is missing: this one names it as the one before it")
        elif named is not None and named < before:
            self._found(where, f"it names decision {named} as the one before it, and decision {before} is here too")
        self._last_of_freelancer = row.seq

    def _check_version(self, change: ChangeRow, where: Found) -> None:
        if change.version != self._version + 1:
            missing = f"version {change.version} of the wallet comes after version {self._version}"
            self._found(where, f"{missing}: a decision that changed it is missing, or one is here twice")
        elif change.balance_after != self._balance + change.delta:
            self._found(where, f"a balance of {self._balance} {change.delta:+} is not {change.balance_after}")
        self._version, self._balance = change.version, change.balance_after

    def finish(self) -> None:
        """Check what only the end shows."""
        if self._subject.event is not None and not self._events:
            self._checked.add(Found(f"no decision is on event {self._subject.event}", DECISIONS))
        elif not self._last:
            self._checked.add(Found(f"no decision is about {self._subject}", DECISIONS))
        for seq in sorted(self._met.missing()):
            self._checked.add(Found(f"decision {seq}, which another one met, is missing", OTHERS))
        remarks = self._checked.remarks
        older = self._batches.older_decisions
        if older:
            words = f"{counted(older, 'decision')} of the hash chain of 0.1.0, which is older than the log"
            remarks.append(f"{words}: there is no proof of a single one.")
        if self._unlinked:
            words = f"{counted(self._unlinked, 'decision')} did not name the one before"
            remarks.append(f"{words}: one left out just there would not be noticed, unless it changed the wallet.")
        end, last = self._checked.through_seq, self._batches.last_seq
        if end is None or last is None or end > last or (end != last and self._subject.event is None):
            self._checked.add(Found(f"the last batch ends with decision {last}, not with {end}", BUNDLE))
        if self._subject.freelancer is not None:
            remarks.append(f"That no decision up to {end} is missing after the last one here is the producer's word.")
        else:
            remarks.append(f"That no decision up to {end} is missing is the producer's word.")

    # Deciding again.

    def decide_again(self, reading: Decisions, bundle: Bundle, progress: Progress) -> None:
        """Decide the freelancer's decisions again, and compare.

        Raises:
            OperatorNeeded: a later release stored one of the policy versions.
        """
        again, headers = Again(), self._batches.headers()
        again.batches(headers)
        self._met.read(reading.decisions(OTHERS))
        progress.begin("decided-again", bundle.decisions)
        try:
            for found in self._decided(again, headers, reading, progress):
                self._note(found)
        except Exception as error:  # noqa: BLE001 - lots and charges are covered by no hash: they may be anything
            self._checked.add(Found(f"the decisions cannot be decided again: {error}", DECISIONS))
        self._checked.decided_again = again.tally.decisions
        otherwise = [found for its in self._otherwise.values() for found in its if found.cause != "not-executable"]
        self._checked.decided_otherwise = len({found.seq for found in otherwise})
        if not self._checked.findings:
            self._compare_releases(headers)

    def _decided(
        self, again: Again, headers: list[BatchHeader], reading: Decisions, progress: Progress
    ) -> Iterator[Finding]:
        by_number = {header.batch_no: header for header in headers}
        for _, read in reading.decisions(DECISIONS):
            self._met.keep(read)
            progress.advance(1)
            if self._is_decided(read.row):
                yield from again.add(self._recorded(read, by_number[read.row.batch_no]))
        yield from again.finish()

    def _is_decided(self, row: DecisionRow) -> bool:
        return row.job_id in self._jobs if is_of_job(row) else row.freelancer_id == self._subject.freelancer

    def _recorded(self, read: DecisionLine, header: BatchHeader) -> Recorded:
        value, row, changes, lots, charge = read
        owner = FreelancerId(self._subject.freelancer or "")
        mine = [change for change in changes if change.freelancer_id == owner]
        return Recorded(
            row,
            header,
            mine,
            sum(change.delta for change in changes) - sum(change.delta for change in mine),
            is_mine=not is_of_job(row),
            is_my_job=False,
            first=self._met.first(value.first),
            grant=self._met.grant(value.grant, row.topic),
            spend=self._met.spend(value.spend),
            charge=None if charge is None else read_charge(charge._replace(freelancer_id=owner, status="asked")),
            lots={lot.lot_id: _lot(lot, owner) for lot in lots},
        )

    def _note(self, found: Finding) -> None:
        """Take what was found; what another release decided otherwise is a remark."""
        if found.release != release() and found.cause in _RULES_DIFFER:
            self._otherwise.setdefault(found.release or "an earlier release", []).append(found)
        else:
            self._checked.add(Found(f"decided again: {found.detail}", DECISIONS, None, found.seq))

    def _compare_releases(self, headers: list[BatchHeader]) -> None:
        now = release()
        for by in sorted({header.release or "an earlier release" for header in headers} - {now}):
            found = self._otherwise.get(by, [])
            if found:
                first = found[0]
                words = f"Release {now} takes {counted(len(found), 'decision')} of release {by} otherwise: no fault"
                self._checked.remarks.append(f"{words}. The first is decision {first.seq}: {first.detail}")
            else:
                self._checked.remarks.append(f"What release {by} decided, release {now} decides the same.")

    def _found(self, where: Found, detail: str) -> None:
        self._checked.add(msgspec.structs.replace(where, detail=detail))


def _lot(row: LotRow, owner: FreelancerId) -> Lot:
    """A lot as it was when it was opened."""
    return read_lot(row._replace(freelancer_id=owner, remaining=row.original, open=True))
