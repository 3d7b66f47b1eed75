"""The answers for people: words first, then what they rest on."""

import unicodedata
from collections.abc import Iterable, Mapping
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from worker.domain.phrases import agreeing, connects, counted, money
from worker.operations.commands import Answered
from worker.operations.dead_letters import Letters, WholeLetter
from worker.operations.explain import DecisionTold, Explanation
from worker.operations.history import History, Upcoming
from worker.operations.parked import Parked
from worker.operations.positions import Positions
from worker.operations.status import Status

_STEERING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of characters that are not shown as they are."""
_PIPED_WIDTH = 120
_OUTCOME_STYLES = {"applied": "green", "declined": "yellow", "withheld": "yellow", "rejected": "red", "parked": "red"}


def show(page: RenderableType) -> None:
    """Print a page."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    console.print(page)


def plain(text: object) -> str:
    """Text of others as it may be shown: what would steer a terminal, or begin a line of its own, is spelled out."""
    return "".join(
        repr(character)[1:-1] if unicodedata.category(character) in _STEERING else character for character in str(text)
    )


def lasting(seconds: float) -> str:
    """A time span in its two largest units: 45 s, 3 min 20 s, 2 h 5 min, 12 d 4 h."""
    units = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    left = round(seconds)
    parts: list[str] = []
    for size, name in units:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"


def when(instant: datetime | None) -> str:
    """An instant in UTC, to the second."""
    return "" if instant is None else f"{instant:%Y-%m-%d %H:%M:%S}"


def history_page(history: History, *, shown_of: int) -> RenderableType:
    """A wallet, its membership, lots and changes, oldest first; `shown_of` is how many changes there are in all."""
    parts: list[RenderableType] = [Text(_balance(history), style="bold")]
    if history.membership is not None:
        parts.append(Text(plain(history.membership.explanation)))
    if history.lots:
        lots = _table("remaining", "expires", "source", "came in", "lot")
        for lot in history.lots:
            lots.add_row(str(lot.remaining), when(lot.expires_at), lot.source, when(lot.issued_at), lot.lot_id)
        parts += ["", lots]
    if history.changes:
        changes = _table("version", "when (UTC)", "change", "balance", "why")
        for change in history.changes:
            changes.add_row(
                str(change.version),
                when(change.occurred_at),
                f"{change.delta:+d}",
                str(change.balance_after),
                plain(change.explanation),
            )
        parts += ["", changes]
    if len(history.changes) < shown_of:
        parts.append(f"The last {len(history.changes)} of {shown_of} changes. --last {shown_of} shows all.")
    return Group(*parts)


def upcoming_page(upcoming: Upcoming, freelancer_id: str) -> RenderableType:
    """What a freelancer has to expect."""
    if not upcoming.upcoming:
        return f"Nothing is coming up for {plain(freelancer_id)}."
    table = _table("on", "what", "connects", "")
    for expected in upcoming.upcoming:
        table.add_row(str(expected.on), expected.kind, str(expected.connects), plain(expected.explanation))
    return table


def explanation_page(explanation: Explanation, *, last: int) -> RenderableType:
    """Each answer in words, and below it what it rests on; the `last` decisions, and what is open or awaited."""
    parts: list[RenderableType] = []
    left_out = len(explanation.decisions) - last
    if left_out > 0:
        earlier = counted(left_out, "earlier decision is", "earlier decisions are")
        parts += [f"{earlier} left out here. --last {len(explanation.decisions)} shows all.", ""]
    for decision in explanation.decisions[-last:]:
        parts += [*_decision(decision), ""]
    for spend in explanation.open or ():
        parts += [Text(plain(spend.explanation)), Text(f"  open, {_pairs(spend.subject)}", style="dim"), ""]
    for awaited in explanation.awaited or ():
        since = f"  {awaited.reason} since {when(awaited.since)}, {_pairs(awaited.subject)}"
        parts += [Text(plain(awaited.explanation), style="bold"), Text(plain(since), style="dim"), ""]
    return Group(*parts[:-1])


def status_page(status: Status) -> RenderableType:
    """Figures, then problems, then what is worth knowing and needs nobody."""
    table = _table("", "", header=False)
    unknown = "unknown: Kafka cannot be asked"
    holder = f"{status.holder}, epoch {status.epoch}" if status.role == "active" else "no worker runs"
    lag = unknown if status.lag_records is None else f"{counted(status.lag_records, 'record')}, {status.lag_seconds} s"
    held = status.held_back_by
    rows = {
        "worker": holder,
        "lag": lag,
        "business time": when(status.business_time) or "not known yet",
        "held back by": "" if held is None else f"{held.topic}, partition {held.partition}",
        "settlements pending": status.settlements_pending,
        "clock work due": status.clock_due,
        "batches to publish": f"{status.outbox_pending}, the oldest for {status.outbox_age_seconds} s",
        "parked": f"{status.parked}, with {counted(status.parked_waiting, 'message')} waiting",
        "dead letters": f"{status.dead_letters}, {status.dead_letters_unsent} of them not sent yet",
        "overdrawn wallets": status.overdrawn_wallets,
        "charges unanswered": _unanswered(status),
        "missing topics": unknown if status.missing_topics is None else ", ".join(status.missing_topics),
        "missing output topics": ", ".join(status.missing_output_topics or ()),
    }
    for name, value in rows.items():
        if value != "":
            table.add_row(name, plain(value))
    problems = [Text(f"! {plain(problem)}", style="bold red") for problem in status.problems]
    charges = _charges(status)
    listed = [
        Text(f"{when(row.recorded_at)}  decision {row.seq}: {plain(row.explanation)}") for row in status.for_operators
    ]
    return Group(
        table,
        *([""] if problems else []),
        *problems,
        *(["", *charges] if charges else []),
        *(["", "Worth knowing (decided; nothing waits for it):"] if listed else []),
        *listed,
    )


def parked_page(parked: Parked) -> RenderableType:
    """What is stopped, and how to go on."""
    if not parked.parked:
        return "Nothing is parked."
    table = _table("scope", "key", "since", "waiting", "failed on", "error")
    for row in parked.parked:
        failed_on = row.event_id if row.topic is None else f"{row.topic}/{row.partition}/{row.offset}"
        table.add_row(row.scope, row.key, when(row.since), str(row.waiting), failed_on or "", plain(row.error))
    first = parked.parked[0]
    return Group(table, "", f"When the failure is mended: connects parked release {first.scope} {first.key}")


def positions_page(positions: Positions) -> RenderableType:
    """Where reading goes on."""
    if not positions.positions:
        return "Nothing was read yet."
    table = _table("topic", "partition", "next offset", "incarnation", "its clock (UTC)")
    for row in positions.positions:
        table.add_row(row.topic, str(row.partition), str(row.next_offset), str(row.incarnation), when(row.clock))
    return table


def letters_page(letters: Letters) -> RenderableType:
    """The last dead letters."""
    if not letters.dead_letters:
        return "There are no dead letters."
    table = _table("seq", "record", "code", "what is wrong", "sent")
    for letter in letters.dead_letters:
        record = f"{letter.topic}/{letter.partition}/{letter.offset}"
        table.add_row(
            str(letter.seq), record, letter.error_code, plain(letter.error_detail), when(letter.sent_at) or "not yet"
        )
    return table


def letter_page(whole: WholeLetter) -> RenderableType:
    """One dead letter with all it held."""
    letter = whole.letter
    lines = [
        f"{letter.error_code}: {plain(letter.error_detail)}",
        f"{letter.topic}, partition {letter.partition}, offset {letter.offset}",
        f"key: {'none' if whole.key is None else plain(whole.key)}",
        *(f"header {plain(name)}: {'null' if value is None else plain(value)}" for name, value in whole.headers),
        "",
        *(["no value"] if whole.value is None else map(plain, str(whole.value).split("\n"))),
    ]
    return "\n".join(lines)


def answer_page(answered: Answered) -> RenderableType:
    """What became of a command."""
    return plain(answered.explanation)


def mapping_page(rows: Mapping[str, object]) -> RenderableType:
    """Names and values."""
    table = _table("", "", header=False)
    for name, value in rows.items():
        table.add_row(plain(name), plain(value))
    return table


def flattened(document: Mapping[str, object], above: str = "") -> dict[str, object]:
    """A document of sections as one level of dotted names."""
    flat: dict[str, object] = {}
    for name, value in document.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{above}{name}.")
        else:
            flat[f"{above}{name}"] = value
    return flat


def _unanswered(status: Status) -> str:
    if not status.charges_waiting:
        return "none"
    return f"{status.charges_unanswered}, the oldest asked at {when(status.charges_waiting[0].requested_at)}"


def _charges(status: Status) -> list[RenderableType]:
    """The charges that have waited longest for the billing system."""
    if not status.charges_waiting:
        return []
    table = _table("unanswered charge", "freelancer", "amount", "asked (UTC)", "lapses on")
    for charge in status.charges_waiting:
        table.add_row(
            charge.charge_id,
            charge.freelancer_id,
            money(charge.amount_cents, charge.currency),
            when(charge.requested_at),
            "never (an upgrade)" if charge.lapses_on is None else str(charge.lapses_on),
        )
    more = status.charges_unanswered - len(status.charges_waiting)
    return [table, *([f"... and {more} more"] if more > 0 else [])]


def _table(*columns: str, header: bool = True) -> Table:
    table = Table(*columns, box=None, show_header=header, pad_edge=False, header_style="dim")
    for column in table.columns:
        column.overflow = "fold"
    return table


def _balance(history: History) -> str:
    if history.overdrawn:
        owed, them = connects(-history.balance), agreeing(-history.balance, "it", "them")
        return f"{history.freelancer_id} is overdrawn by {owed}: what comes in next pays for {them} first."
    return f"{history.freelancer_id} has {connects(history.balance)}."


def _decision(decision: DecisionTold) -> Iterable[RenderableType]:
    yield Text(plain(decision.explanation))
    when_and_what = [
        when(decision.occurred_at or decision.recorded_at),
        decision.outcome,
        decision.reason,
        decision.rule,
    ]
    yield Text(
        "  " + ", ".join(str(part) for part in when_and_what if part),
        style=_OUTCOME_STYLES.get(decision.outcome, "cyan"),
    )
    for change in decision.changes:
        lots = ", ".join(f"{lot.delta:+d} in lot {lot.lot_id}" for lot in change.lots)
        yield Text(
            f"  {change.freelancer_id}: {change.delta:+d} = {change.balance_after}, version {change.version}"
            + (f" ({lots})" if lots else "")
        )
    grounds = [_source(decision), _pairs(decision.subject), _pairs(decision.facts)]
    if decision.policy_version is not None:
        grounds.append(f"policy {decision.policy_version}")
    if decision.late_by_seconds is not None:
        grounds.append(f"late by {lasting(decision.late_by_seconds)}")
    if decision.follows is not None:
        grounds.append(f"follows decision {decision.follows}")
    yield Text(f"  decision {decision.seq}: " + "; ".join(part for part in grounds if part), style="dim")


def _source(decision: DecisionTold) -> str:
    if decision.topic is None:
        return str(decision.event_id)
    event = "" if decision.event_id is None else f", event {decision.event_id}"
    return f"{decision.kind} of {decision.topic}/{decision.partition}/{decision.offset}{event}"


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {plain(value)}" for name, value in values.items() if value is not None)
