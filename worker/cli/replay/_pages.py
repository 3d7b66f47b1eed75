"""Plans as pages for people."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType

from worker.cli._output import table
from worker.plain_text import plain
from worker.repair.making import Made, Wanted
from worker.repair.plan import Header
from worker.repair.summary import Balance, Booked, Step, Summary, Wallet
from worker.words.phrases import agreeing
from worker.words.times import when


def nothing_to_do(made: Made, wanted: Wanted) -> str:
    """Why a plan has no triggers, in a sentence or two."""
    summary = made.summary
    left = sum(one.events for one in summary.left_for_a_person)
    nothing = summary.nothing_to_do or summary.nothing_to_void or summary.nothing_to_amend or summary.replaced
    if not (made.lines or nothing or left):
        return f"Nothing is to be done: {_none_of(wanted)}."
    why = {
        "inert by event id (decided before, with the same content)": summary.inert,
        "replaced before": summary.replaced,
        "in conflict by event id (decided before, with other content)": summary.conflicts,
        "no event": summary.bad_lines,
        "settled as they should be": summary.nothing_to_do,
        "with nothing to void (refused, repeated or voided before)": summary.nothing_to_void,
        "with the amount that the rules give": summary.nothing_to_amend,
    }
    shown = ", ".join(f"{number:,} {words}" for words, number in why.items() if number)
    parts = ["Nothing is to be done."]
    if shown:
        parts.append(f"Of {_looked_at(made)}: {shown}.")
    if left:
        parts.append(f"{_many(left, 'trigger')} {agreeing(left, 'is', 'are')} left for a person.")
    return " ".join(parts)


def nothing_to_undo(summary: Summary) -> str:
    """Why a plan that undoes another one has no triggers."""
    left = sum(one.events for one in summary.left_for_a_person)
    parts = ["Nothing is to be undone."]
    if summary.nothing_to_undo:
        parts.append(f"{_many(summary.nothing_to_undo, 'trigger')} changed nothing, or had been undone before.")
    if left:
        parts.append(f"{_many(left, 'trigger')} {agreeing(left, 'is', 'are')} left for a person.")
    return " ".join(parts)


def _none_of(wanted: Wanted) -> str:
    """That what was asked for is empty."""
    empty = []
    if wanted.add:
        empty.append("the archives have no lines")
    if wanted.settle:
        empty.append("no job is selected")
    if wanted.replace:
        empty.append("the files of --replace have no lines")
    if wanted.void or wanted.shift or wanted.found is not None or wanted.decide or wanted.decide_found is not None:
        empty.append("no decision is selected")
    return " and ".join(empty)


def _looked_at(made: Made) -> str:
    """How many lines, spends and decisions were left out."""
    events = 0 if made.lines else made.summary.replaced
    decisions = made.summary.nothing_to_void + made.summary.nothing_to_amend
    parts = {"line": made.lines, "event": events, "spend": made.summary.nothing_to_do, "decision": decisions}
    return " and ".join(_many(number, name) for name, number in parts.items() if number)


def header_page(header: Header) -> str:
    """What a plan was made on."""
    until = "nothing" if header.business_time is None else f"{when(header.business_time)} UTC"
    return plain(
        f"Made on {when(header.made_at)} UTC by release {header.release}, on ledger {header.ledger_id} as it was after "
        f"decision {header.through_seq} (business time {until})."
    )


def summary_page(summary: Summary) -> RenderableType:
    """A plan in numbers."""
    return Group(*_parts(summary))


def _parts(summary: Summary) -> Iterator[RenderableType]:
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in summary.triggers.items() if number)
    if not kinds:
        yield "The plan has no triggers."
        yield from _left_out(summary)
        return
    yield (
        f"Triggers: {kinds}. They change {_many(summary.wallets, 'wallet')} in "
        f"{_many(summary.wallet_updated, 'wallet-updated message')}: {summary.given:,} Connects given, "
        f"{summary.taken:,} taken."
    )
    if summary.shortfall:
        yield f"{summary.shortfall:,} Connects cannot be taken, because they are not there."
    if summary.booked:
        yield booked_table("What they book", summary.booked)
    if nothing := [one for one in summary.decided if one.outcome != "applied"]:
        shown = (f"{one.decisions:,} {one.outcome} ({one.reason})" for one in nothing)
        yield plain(f"Without an effect on a balance now: {', '.join(shown)}.")
    yield from _balances("Gain most", summary.gain_most)
    yield from _balances("Lose most", summary.lose_most)
    if summary.will_follow:
        yield booked_table("Will follow, by the clock", summary.will_follow)
    if summary.charges_requested:
        yield f"{_many(summary.charges_requested, 'charge')} will be requested from billing."
    yield from _left_out(summary)


def _left_out(summary: Summary) -> Iterator[RenderableType]:
    yield from _events_left_out(summary)
    yield from _corrections_left_out(summary)
    for left in summary.left_for_a_person:
        yield plain(f"Left for a person: {_many(left.events, 'trigger')} of {left.what}, {left.why}. {left.next}")


def _events_left_out(summary: Summary) -> Iterator[str]:
    if summary.inert:
        yield f"Left out: {summary.inert:,} inert by event id (decided before, with the same content)."
    if summary.replaced:
        yield f"Left out: {_many(summary.replaced, 'event')} replaced before."
    if summary.conflicts:
        yield f"Left out: {_many(summary.conflicts, 'event')} whose id was used with other content:"
        yield from (plain(f"  {line}") for line in summary.conflicting)
        if (more := summary.conflicts - len(summary.conflicting)) > 0:
            yield f"  and {more:,} more"
    if summary.bad_lines:
        yield f"Left out: {_many(summary.bad_lines, 'line')} that {agreeing(summary.bad_lines, 'is', 'are')} no event."


def _corrections_left_out(summary: Summary) -> Iterator[str]:
    if summary.nothing_to_do:
        yield f"Left out: {_many(summary.nothing_to_do, 'spend')} settled as it should be by what is known now."
    if summary.nothing_to_void:
        decisions = _many(summary.nothing_to_void, "decision")
        yield f"Left out: {decisions} with nothing to void: refused, repeated, or voided before."
    if summary.nothing_to_undo:
        yield f"Left out: {_many(summary.nothing_to_undo, 'trigger')} that changed nothing, or had been undone before."
    if summary.nothing_to_amend:
        yield f"Left out: {_many(summary.nothing_to_amend, 'decision')} with the amount that the rules give."


def booked_table(heading: str, booked: Sequence[Booked]) -> RenderableType:
    page = table(heading, "reason", "changes", "given", "taken")
    for one in booked:
        page.add_row(plain(one.rule), plain(one.reason), f"{one.changes:,}", f"{one.given:,}", f"{one.taken:,}")
    return page


def _balances(heading: str, balances: Sequence[Balance]) -> Iterator[RenderableType]:
    if balances:
        page = table(heading, "before", "after", "difference")
        for one in balances:
            page.add_row(plain(one.freelancer_id), f"{one.before:,}", f"{one.after:,}", f"{one.difference:+,}")
        yield page


def wallet_page(wallet: Wallet) -> RenderableType:
    """One wallet before and after, decision by decision; what follows by the clock apart."""
    planned = [step for step in wallet.steps if step.number is not None]
    follows = [step for step in wallet.steps if step.number is None]
    parts: list[RenderableType] = [
        plain(f"{wallet.freelancer_id}: {_many(wallet.before, 'Connect')} before the plan, {wallet.after:,} after it."),
        *map(_step, planned),
    ]
    if follows:
        parts += [f"Will follow, by the clock, to {wallet.later:,} Connects:", *map(_step, follows)]
    return Group(*parts)


def _step(step: Step) -> str:
    number = "" if step.number is None else f"{step.number}. "
    return plain(f"  {number}{when(step.occurred_at)}  {step.delta:+,} = {step.balance_after:,}  {step.sentence}")


def _many(count: int, one: str) -> str:
    """1 line, 50,000 lines."""
    return f"{count:,} {agreeing(count, one)}"
