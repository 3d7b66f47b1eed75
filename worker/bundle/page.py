"""The page of a bundle that a person reads: plain text that follows from the rest of the bundle, word for word."""

from collections.abc import Iterator, Sequence

from worker.bundle.format import Subject
from worker.domain.decisions import Facts
from worker.domain.decisions import Subject as Named
from worker.ledger.rows import facts_in
from worker.ledger.tables import ChangeRow, DecisionRow
from worker.plain_text import plain
from worker.words.explanations import explain
from worker.words.phrases import counted


def opening(subject: Subject, head: str, through_seq: int, exported_by: str) -> Iterator[str]:
    """The lines before the decisions: what it is, what it shows, and what it does not."""
    yield f"Decisions of a Connects ledger: {plain(subject)}"
    yield ""
    yield f"Exported by release {plain(exported_by)}, up to decision {through_seq}, at this head of the log:"
    yield f"    {plain(head)}"
    yield ""
    yield "What `connects bundle check FILE --head HEAD` shows without the ledger:"
    yield "- Each decision below, its changes and its settings are the ones that were in the log at that head. One that"
    yield "  was altered, added or exchanged leads to another head."
    if subject.freelancer is not None:
        yield "- No decision about the freelancer is left out in the middle: each one names the one before it, and the"
        yield "  changes of the wallet have versions without a gap."
        yield "- The rules of the release that checks decide the same, or it is named where they do not."
    yield ""
    yield "What it does not show:"
    yield "- That the head is the ledger's. Compare it with one that you kept, or that others were given: a ledger that"
    yield "  was rewritten has another head."
    if subject.freelancer is not None:
        yield "- That nothing newer is missing. That the last decision here is the last one is only the word of the"
        yield "  bundle's producer."
    else:
        yield "- That no decision is missing. That these are all is only the word of the bundle's producer."
    yield ""
    yield "Times are in UTC." + (" Decisions on the event are marked with *." if subject.event is not None else "")


def decision(subject: Subject, row: DecisionRow, changes: Sequence[ChangeRow], *, is_proved: bool) -> Iterator[str]:
    """The lines about one decision."""
    yield ""
    mark = "* " if row.event_id is not None and row.event_id == subject.event else ""
    what = f"{row.topic}, event {row.event_id}" if row.topic is not None else row.event_id or row.kind
    older = "" if is_proved else " (older than the log: no proof)"
    at = row.occurred_at or row.business_time or row.recorded_at
    yield plain(f"{mark}Decision {row.seq}, {at:%Y-%m-%d %H:%M:%S}: {what}{older}")
    yield plain(f"    {row.outcome}: {row.reason}" + (f", by {row.rule}" if row.rule is not None else ""))
    if not changes:
        yield plain(f"    {_in_words(row)}")
    for change in changes:
        yield plain(
            f"    {change.freelancer_id}: {change.delta:+}, balance {change.balance_after}. {change.explanation}"
        )


def closing(decisions: int, others: int, batches: int) -> Iterator[str]:
    """The lines after the decisions: what else is in the bundle."""
    yield ""
    yield f"{counted(decisions, 'decision')}. Also in the file: {counted(others, 'decision')} that won an id or a key"
    yield f"that these name, and the settings of {counted(batches, 'batch', 'batches')}."


def _in_words(row: DecisionRow) -> str:
    facts = facts_in(row.facts)
    known: Facts = {name: fact for name, fact in facts.items() if fact is None or isinstance(fact, str | int)}
    return explain(row.reason, row.outcome, Named(row.freelancer_id, row.job_id, row.proposal_id), known, row.rule)
