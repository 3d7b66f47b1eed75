"""`connects explain --again`: what this release decides today, with that day's inputs, state and policy."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from worker.domain.decisions import Decision
from worker.domain.model import FreelancerId, JobId
from worker.domain.state import State
from worker.garbage import seldom_collected
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.proof.again import Again, Judge
from worker.proof.findings import Finding, in_words
from worker.proof.following import DoesNotFollow
from worker.proof.left_out import Outline
from worker.proof.made_good import is_made_good
from worker.proof.parts import Part
from worker.proof.reader import PostgresReader
from worker.proof.recorded import Recorded
from worker.proof.run import decide_needed, decide_part
from worker.queries.explained import DecidedAgain, Differs
from worker.queries.releases import ReleaseUsed, first_after, list_releases
from worker.release import release
from worker.replies.recorded import DecisionRecord

_SQL: Final = load("again.sql")
_INPUTS: Final = frozenset({"rejected", "parked"})


class AllAbout(NamedTuple):
    """All decisions about a freelancer."""

    freelancer_id: str
    decisions: Sequence[DecisionRecord]


async def decide_again(
    connection: Connection, decisions: Sequence[DecisionRecord], about: AllAbout | None = None
) -> list[DecidedAgain]:
    """Decide these decisions again, on the state that those left which they depend on; these are read by index.

    `about` is who is asked about, where all decisions about them were read in this snapshot.
    """
    parts = {decision.seq: _parts_of(decision) for decision in decisions if not _is_input(decision)}
    found: dict[int, list[Finding]] = {}
    made_good = set[int]()
    releases: dict[int, str | None] = {}

    def judge(recorded: Recorded, now: Decision | None, _state: State) -> None:
        if recorded.row.seq in parts:
            releases[recorded.row.seq] = recorded.batch.release
            if now is not None and is_made_good(now, recorded):
                made_good.add(recorded.row.seq)

    outlines = {} if about is None else {about.freelancer_id: [_outline_of(one) for one in about.decisions]}
    for part in dict.fromkeys(part for its in parts.values() for part in its):
        seqs = {seq for seq, its in parts.items() if part in its}
        with seldom_collected():
            known = None if part.freelancer is None else outlines.get(part.freelancer)
            findings = await _decide(PostgresReader(connection), part, seqs, judge, known)
        for finding in findings:
            _note(found, finding, seqs)
    releases |= await _releases(connection, parts.keys() - releases.keys())
    used = (await list_releases(connection)).releases if found else []
    return [
        _decided(
            *(one, found.get(one.seq, []), releases.get(one.seq), first_after(used, one.seq)),
            is_amended=one.seq in made_good,
        )
        for one in decisions
    ]


_FOLLOWING: Final = 1_000
"""How many decisions after one are read as well: those of what had waited for it."""


async def _decide(
    reader: PostgresReader, part: Part, seqs: Collection[int], judge: Judge, outlines: Sequence[Outline] | None
) -> list[Finding]:
    """Decide these decisions of a part again, with those that they depend on, or with all from the beginning."""
    # What a decision brought with it comes right after it, and is compared with it.
    through = min(max(seqs) + _FOLLOWING, await reader.end())
    if part.freelancer is not None:
        with suppress(DoesNotFollow, ValueError):  # all is decided then, which says what is wrong, or cannot be read
            needed = await reader.needed(part.freelancer, min(seqs), through, outlines)
            if needed is not None:
                again = Again(judge=judge, judges_others=False, has_words=False)
                return await decide_needed(reader, part.freelancer, *needed, again)
    again = Again(judge=judge, judges_others=False, has_words=False)
    return [found async for found in decide_part(reader, part, through, again)]


def _outline_of(one: DecisionRecord) -> Outline:
    job_id, proposal_id = one.subject.get("job_id"), one.subject.get("proposal_id")
    return Outline(one.seq, one.kind, one.follows, one.topic, job_id, proposal_id, one.outcome, one.reason, one.rule)


def _note(found: dict[int, list[Finding]], finding: Finding, seqs: Iterable[int]) -> None:
    """Note a finding at its decision; what cannot be executed any further, at all later ones of these."""
    if finding.cause != "not-executable":
        found.setdefault(finding.seq, []).append(finding)
        return
    for seq in seqs:
        if seq > finding.seq:
            found.setdefault(seq, []).append(finding)


def _parts_of(decision: DecisionRecord) -> list[Part]:
    """Whose decisions have to be decided again for it: of a closure and a hire the job, and who lost a refund by it."""
    subject = decision.subject
    freelancer_id, job_id = subject.get("freelancer_id"), subject.get("job_id")
    if freelancer_id is not None and decision.topic != "hire-made":
        return [Part(freelancer=FreelancerId(freelancer_id))]
    of_job = [] if job_id is None else [Part(job=JobId(job_id))]
    return [*of_job, *(Part(freelancer=FreelancerId(change.freelancer_id)) for change in decision.changes)]


async def _releases(connection: Connection, seqs: Iterable[int]) -> dict[int, str | None]:
    listed = ",".join(map(str, seqs))
    rows = await connection.fetch(_SQL["releases_of_decisions"], listed) if listed else ()
    return {row[0]: row[1] for row in rows}


def _is_input(decision: DecisionRecord) -> bool:
    if decision.kind == "command":
        return True
    return decision.outcome in _INPUTS and decision.reason != "event-id-conflict"


def _decided(
    decision: DecisionRecord,
    findings: list[Finding],
    decided_by: str | None,
    later: ReleaseUsed | None,
    *,
    is_amended: bool,
) -> DecidedAgain:
    now = release()
    by = "an earlier release" if decided_by is None else f"release {decided_by}"
    if _is_input(decision):
        words = "Not decided again: this is an input, which depended on more than what is recorded."
        return DecidedAgain(decision.seq, "input", decided_by, now, words, [])
    stopped = next((one for one in findings if one.cause == "not-executable"), None)
    own = [one for one in findings if one.cause != "not-executable"]
    if own:
        differs = [difference for one in own for difference in one.differences]
        what = "; ".join(in_words(one.differences) or one.detail for one in own)
        words = f"Release {now} decides otherwise than {by} did: {what}.{_since(decided_by, later)}"
        shown = [Differs(one.field, _text(one.recorded), _text(one.decided)) for one in differs]
        since = None if later is None else later.release
        return DecidedAgain(decision.seq, "differs", decided_by, now, words, shown, since)
    if stopped is not None:
        words = (
            f"It cannot be decided again: after decision {stopped.seq} what was recorded cannot be followed in full."
        )
        return DecidedAgain(decision.seq, "not-executable", decided_by, now, words, [])
    if is_amended:
        words = f"Release {now} decides otherwise than {by} did, and a correction has amended the amount to that."
        return DecidedAgain(decision.seq, "amended", decided_by, now, words, [])
    return DecidedAgain(decision.seq, "same", decided_by, now, f"Release {now} decides the same, as {by} did.", [])


def _since(decided_by: str | None, later: ReleaseUsed | None) -> str:
    """Since which release the answer can be another one: rules change with a release."""
    now = release()
    if later is not None:
        return f" It differs since release {later.release} or a later one, which decided from {later.first_seq} on."
    if decided_by != now:
        return f" It differs since release {now}, or one before it that decided nothing here."
    return " No release lies between: the ledger was altered (`connects verify` names the row), or the code was."


def _text(value: object) -> str | None:
    return None if value is None else str(value)
