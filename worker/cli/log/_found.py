"""How `connects log find` shows what it finds: line by line, so that nothing is held; and how far a long search is."""

from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import typer

from worker.cli._errors import say
from worker.cli._output import csv_line
from worker.pace import Pace
from worker.plain_text import plain
from worker.queries.log_find import FoundDecision, Page, find
from worker.queries.log_query import LogQuery
from worker.queries.selection import SelectionHeader, new_selection
from worker.words.phrases import counted
from worker.words.times import when

_CSV_COLUMNS: Final = tuple(name for name in FoundDecision.__struct_fields__ if name != "facts")
_WIDTHS: Final = (9, 19, 10, 26, 7, 14, 14, 14)
_HEADINGS: Final = ("seq", "recorded (UTC)", "outcome", "reason", "amount", "freelancer", "job", "proposal", "what")

_encode = msgspec.json.Encoder().encode


class _Style(NamedTuple):
    """How to print: what comes first, and a decision; both with their ends of line."""

    head: str
    line: Callable[[FoundDecision], str]


async def print_found(database_url: str, query: LogQuery, style: str, limit: int | None) -> int:
    """Print what is found as it is found, `limit` decisions at most; returns how many there are."""
    progress, style_of = _Progress(), _STYLES[style]
    async with aclosing(find(database_url, query, None if limit is None else limit + 1)) as pages:
        async for page in pages:
            shown = page.found if limit is None else page.found[: limit - progress.found]
            if shown:
                head = "" if progress.found else style_of.head
                typer.echo(head + "".join(map(style_of.line, shown)), nl=False)
            progress.found += len(shown)
            if len(shown) < len(page.found):
                say(f"more decisions match: --limit {2 * progress.found} shows twice as many")
                break
            progress.note(page)
    return progress.found


async def write_selection(database_url: str, query: LogQuery, path: Path, limit: int | None) -> int:
    """Write what is found to a new file, if anything is; returns how many decisions there are.

    Raises:
        UsageError: the file exists.
        OSError: it cannot be written.
    """
    progress = _Progress()
    async with aclosing(find(database_url, query, limit)) as pages:
        opening = await anext(pages)
        header = SelectionHeader(opening.ledger_id, query, datetime.now(UTC), opening.end)
        with new_selection(path, header) as selection:
            async for page in pages:
                for found in page.found:
                    selection.add(found)
                progress.found += len(page.found)
                progress.note(page)
    if progress.found:
        typer.echo(f"{path}: {counted(progress.found, 'decision')}")
    return progress.found


class _Progress:
    """Says on standard error how far a long search is."""

    def __init__(self) -> None:
        self._pace = Pace()
        self.found = 0

    def note(self, page: Page) -> None:
        """A page was read."""
        if self._pace.is_due():
            say(f"read up to decision {page.through:,} of {page.end:,}; {self.found:,} match so far")


def _csv_line(found: FoundDecision) -> str:
    return csv_line(_as_text(getattr(found, name)) for name in _CSV_COLUMNS)


def _json_line(found: FoundDecision) -> str:
    return f"{_encode(found).decode()}\n"


def _table_line(found: FoundDecision) -> str:
    return _in_columns(_cells(found))


def _cells(found: FoundDecision) -> tuple[str, ...]:
    what = f"{found.topic}/{found.partition}/{found.offset}" if found.offset is not None else str(found.event_id)
    named = (found.freelancer_id, found.job_id, found.proposal_id)
    return (
        str(found.seq),
        when(found.recorded_at),
        found.outcome,
        found.reason,
        f"{found.amount:+d}" if found.amount else "",
        *(plain(name or "") for name in named),
        plain(what),
    )


def _in_columns(cells: tuple[str, ...]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=False))
    return "  ".join((*padded, cells[-1])).rstrip() + "\n"


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    text = str(value)
    return text if text.isascii() and text.isprintable() else plain(text)


_STYLES: Final = {
    "table": _Style(_in_columns(_HEADINGS), _table_line),
    "csv": _Style(csv_line(_CSV_COLUMNS), _csv_line),
    "jsonl": _Style("", _json_line),
}
