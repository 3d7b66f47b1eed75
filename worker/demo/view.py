"""The pages of the demo: questions with their answers, the marketplace while it runs, and what held at the end."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from worker.demo.cases import Case
from worker.demo.checks import Finding
from worker.demo.time import pace
from worker.demo.watch import Figures, Update
from worker.words.phrases import agreeing

_PIPED_WIDTH: Final = 100
_WIDEST: Final = 140
_ROOM_FOR_CTRL_C: Final = 3
"""A terminal shows `^C` where the cursor is; if that took a new line, a line of the board would stay behind."""
_FEWEST_CHANGES: Final = 3
_OTHER_ROWS: Final = 14
"""Rows of a board other than outcomes and changes, and the two or three above and below it."""
_TITLE_GAP: Final = 3
_MONTHLY: Final = "grant.monthly"
_STYLES: Final = {"applied": "green", "declined": "yellow", "withheld": "yellow", "rejected": "red", "parked": "red"}
_ORDER: Final = ("applied", "declined", "recorded", "withheld", "duplicate", "rejected", "parked")


@dataclass(frozen=True)
class Answer:
    """The ledger's answer to a case; `balance` is the wallet's now."""

    case: Case
    reason: str
    explanation: str
    balance: int

    @property
    def is_as_expected(self) -> bool:
        """Whether the rules prescribe that answer."""
        return self.reason == self.case.expected


@dataclass(frozen=True)
class Moment:
    """The marketplace at one moment. `left_seconds` None: until somebody ends it."""

    figures: Figures
    produced: int
    rate: float
    elapsed_seconds: float
    left_seconds: float | None
    now: datetime
    speed: float
    updates: int
    rules: Mapping[str, int]
    """Changes of wallets by the rule that made them."""
    taken_cents: int
    """Cents that the payment service took since the marketplace opened."""
    delays: tuple[float, float] | None
    """Median and 99th percentile, in seconds, from an event's sending to its wallet-updated."""


def demo_console() -> Console:
    """Where the demo prints."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    return console


def heading(words: str) -> RenderableType:
    """Begin a part of the demo."""
    return Text(f"\n{words}\n", style="bold")


def answered(number: int, answer: Answer, asked: datetime) -> RenderableType:
    """A question, the events before it, the answer, and the command that prints it again."""
    case = answer.case
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right", width=2)
    grid.add_column()
    grid.add_row(Text(str(number), style="dim"), Text(case.question, style="bold"))
    for at, words in case.in_words(asked):
        grid.add_row("", Text(f"{at:%d %b %H:%M}  {words}", style="dim"))
    style = "cyan" if answer.is_as_expected else "red"
    grid.add_row(Text("→", style=style), Text(answer.explanation, style=style))
    if not answer.is_as_expected:
        grid.add_row("", Text(f"The rules say {case.expected}, not {answer.reason}.", style="bold red"))
    command = shlex.join(("connects", "explain", *case.asked_of_explain))
    grid.add_row("", Text(f"{command}   (wallet {case.freelancer_id}: {answer.balance})", style="dim"))
    return Padding(grid, (0, 0, 1, 0))


def board(moment: Moment, latest: Sequence[Update], *, width: int, height: int) -> RenderableType:
    """The marketplace now, for a terminal of that size."""
    width = min(width, _WIDEST) - _ROOM_FOR_CTRL_C
    outcomes = _outcomes(moment.figures.decisions)
    room = height - outcomes.row_count - _OTHER_ROWS
    parts: list[RenderableType] = [_title(moment, width), _key_figures(moment), "", outcomes]
    if room >= _FEWEST_CHANGES:
        parts += ["", Text("Wallets, as wallet-updated shows them", style="bold"), _latest(latest, room)]
    frame = Table.grid()
    frame.add_column(width=width)
    frame.add_row(Group(*parts))
    return frame


def plain_line(moment: Moment) -> str:
    """The same in one line, for output without a terminal."""
    figures = moment.figures
    today = f"{moment.now:%d %b}  " if moment.speed > 1 else ""
    return (
        f"{moment.elapsed_seconds:4.0f} s  {today}{_count(moment.produced, 'event')}, {figures.firsts:,} decided, "
        f"{_count(moment.updates, 'wallet change')} ({moment.rules.get(_MONTHLY, 0):,} monthly), "
        f"{figures.on_plus} on Plus"
    )


def closing(moment: Moment, findings: Sequence[Finding]) -> RenderableType:
    """The totals, and the checks."""
    figures = moment.figures
    published = f"{_count(moment.updates, 'change')} published"
    rows = [
        ("events", f"{moment.produced:,} produced, {figures.firsts:,} decided, {figures.late:,} of them late"),
        ("decisions", ", ".join(f"{count:,} {outcome}" for outcome, count in _in_order(figures.outcomes()))),
        ("wallets", f"{figures.wallets:,}, of which {figures.overdrawn} overdrawn; {published}"),
        ("memberships", _memberships(moment)),
        ("charges", _charges(moment)),
        ("dead letters", _dead_letters(figures.dead_letters)),
        ("parked", str(figures.parked) if figures.parked else "nothing"),
    ]
    if moment.delays is not None:
        rows.append(("event to wallet", _delays(moment.delays)))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column()
    for name, words in rows:
        grid.add_row(name, words)
    held = Table.grid(padding=(0, 2))
    for finding in findings:
        mark = Text("holds", style="green") if finding.holds else Text("BROKEN", style="bold red")
        held.add_row(finding.name, mark, finding.promise)
        for words in finding.against:
            held.add_row("", "", Text(words, style="red"))
    return Group(grid, Text("\nWhat must hold\n", style="bold"), held)


def usable(folder: Path, settings: Mapping[str, str], *, up: bool) -> str:
    """How to go on with the stack; lines to copy."""
    where = shlex.quote(str(folder))
    if up:
        lines = ["The stack is up; the next `connects demo` starts from nothing. To look around in this one:", ""]
    else:
        lines = ["The stack is stopped, its ledger is kept until the next `connects demo`. To look around in it:", ""]
        lines += [f'  eval "$(connects local up --dir {where})"']
        settings = {name: value for name, value in settings.items() if name.startswith("CONNECTS_")}
    lines += [f"  export {name}={shlex.quote(value)}" for name, value in settings.items()]
    lines += [
        "  connects history f-omar",
        "  connects explain --freelancer f-carla",
        "  connects console              # pages for support agents, until Ctrl-C",
        "  connects status",
        "  connects run                  # a worker, until Ctrl-C",
    ]
    if "CONNECTS_CLOCK" in settings:
        lines.append("  unset CONNECTS_CLOCK          # before the next demo, or it plays in this time")
    lines += ["", f"Stop it: connects local down --dir {where}   (with --delete: remove it)"]
    return "\n".join(lines)


def _key_figures(moment: Moment) -> Table:
    figures = moment.figures
    behind = max(0, moment.produced - figures.firsts)
    clock = "not known yet"
    if figures.business_time is not None:
        clock = f"{figures.business_time:%d %b %H h}" if moment.speed > 1 else f"{figures.business_time:%H:%M:%S} UTC"
    cycles = "-" if figures.next_cycle is None else f"{figures.next_cycles} on {figures.next_cycle:%d %b}"
    grid = Table.grid(padding=(0, 2), pad_edge=False)
    for cells in (
        (("events", f"{moment.produced:,}"), ("a second", f"{moment.rate:,.0f}"), ("to decide", f"{behind:,}")),
        (
            ("wallets", f"{figures.wallets:,}"),
            ("overdrawn", str(figures.overdrawn)),
            ("to settle", str(figures.pending)),
        ),
        (("dead letters", str(figures.dead_letters)), ("parked", str(figures.parked)), ("business time", clock)),
        (("late", f"{figures.late:,}"), ("changes", f"{moment.updates:,}"), ("to wallet", _delays(moment.delays))),
        (
            ("on Plus", str(figures.on_plus)),
            ("renewed", f"{figures.of_reason('renewed'):,}"),
            ("monthly grants", f"{moment.rules.get(_MONTHLY, 0):,}"),
        ),
        (
            ("upgraded", f"{figures.of_reason('upgraded'):,}"),
            ("downgraded", f"{figures.of_reason('downgraded'):,}"),
            ("suspended", f"{figures.of_reason('suspended'):,}"),
        ),
        (
            ("charges paid", f"{figures.paid:,}"),
            ("failed", f"{figures.failed:,}"),
            ("lapsed", f"{figures.ever_lapsed:,}"),
        ),
        (
            ("unanswered", f"{figures.unanswered:,}"),
            ("paid late", f"{figures.of_reason('paid-after-lapse'):,}"),
            ("next cycles", cycles),
        ),
    ):
        grid.add_row(*(Text.assemble((f"{name} ", "dim"), value) for name, value in cells))
    return grid


def _outcomes(decisions: Mapping[tuple[str, str], int]) -> Table:
    """One row for each outcome, its reasons by number."""
    totals: Counter[str] = Counter()
    for (outcome, _), count in decisions.items():
        totals[outcome] += count
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1, style="dim")
    for outcome, total in _in_order(totals):
        reasons = Counter({reason: count for (found, reason), count in decisions.items() if found == outcome})
        counts = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
        table.add_row(Text(outcome, style=_STYLES.get(outcome, "")), f"{total:,}", counts)
    return table


def _latest(latest: Sequence[Update], rows: int) -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1, style="dim")
    for update in latest[-rows:]:
        delta = Text(f"{update.delta:+d}", style="green" if update.delta > 0 else "")
        balance = Text(str(update.balance_after), style="red" if update.balance_after < 0 else "")
        table.add_row(update.freelancer_id, delta, balance, update.explanation)
    return table


def _title(moment: Moment, width: int) -> Table:
    """The demo's time and when it ends, in one line; how fast time passes only where there is room for it."""
    end = "Ctrl-C ends it" if moment.left_seconds is None else f"{moment.left_seconds:.0f} s left"
    times = [_time_now(moment, with_pace=with_pace) for with_pace in (True, False)]
    fitting = (time for time in times if len(time) + _TITLE_GAP + len(end) <= width)
    title = Table.grid(expand=True, padding=(0, 1))
    title.add_column(no_wrap=True, overflow="ellipsis")
    title.add_column(justify="right", no_wrap=True)
    title.add_row(next(fitting, times[-1]), Text(end, style="dim"))
    return title


def _time_now(moment: Moment, *, with_pace: bool) -> Text:
    passed = f"open for {_clock(moment.elapsed_seconds)}"
    if moment.speed <= 1:
        return Text(passed, style="bold")
    words = f"{pace(moment.speed)}; {passed}" if with_pace else passed
    return Text.assemble((f"{moment.now:%d %B %Y}", "bold"), (f"   {words}", "dim"))


def _memberships(moment: Moment) -> str:
    figures, monthly = moment.figures, moment.rules.get(_MONTHLY, 0)
    moved = (("upgraded", "upgrade"), ("renewed", "renewal"), ("downgraded", "downgrade"))
    moves = ", ".join(_count(figures.of_reason(reason), move) for reason, move in moved)
    return f"{figures.on_plus} on Plus; {moves}; {_count(monthly, 'monthly grant')}"


def _dead_letters(count: int) -> str:
    return f"{count}, {agreeing(count, 'it was', 'all of them')} spoiled on purpose" if count else "none"


def _charges(moment: Moment) -> str:
    figures = moment.figures
    paid_late = figures.of_reason("paid-after-lapse")
    of_them = f" ({paid_late:,} paid later)" if paid_late else ""
    return (
        f"${moment.taken_cents / 100:,.2f} taken since it opened; {_count(figures.failed, 'charge')} failed, "
        f"{figures.ever_lapsed:,} lapsed{of_them}, {figures.unanswered:,} not answered yet"
    )


def _count(count: int, one: str) -> str:
    return f"{count:,} {agreeing(count, one)}"


def _in_order(totals: Counter[str]) -> list[tuple[str, int]]:
    return [(outcome, totals[outcome]) for outcome in _ORDER if totals[outcome]]


def _delays(delays: tuple[float, float] | None) -> str:
    if delays is None:
        return "-"
    return f"{delays[0] * 1000:.0f} ms, p99 {delays[1] * 1000:.0f} ms"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"
