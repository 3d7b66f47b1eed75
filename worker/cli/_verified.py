"""Running the checks of `connects verify`, printing what they find as they find it, and the selection file."""

from array import array
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import typer

from worker.cli._asking import answer
from worker.cli._errors import refusals
from worker.cli._output import print_json
from worker.cli._progress import progress_shown
from worker.new_file import require_new
from worker.plain_text import plain
from worker.proof.against_topics import AgainstTopics
from worker.proof.checks import Check, Finding, Ground, Range, run_checks
from worker.proof.since_last import Covered, SinceLast, read_state, write_state
from worker.queries.asking import connected, ledger_id_of
from worker.queries.log_find import find_seqs
from worker.queries.log_query import LogQuery, span_of
from worker.queries.selection import SelectionFile, SelectionHeader, new_selection
from worker.settings import Settings
from worker.words.phrases import counted

_MOST_SHOWN: Final = 1_000
"""How many findings are listed; all are counted."""


class Verified(msgspec.Struct, omit_defaults=True):
    """What the checks found: the first findings, and how many there are; `selected` decisions are in the file."""

    checks: list[str]
    findings: list[Finding]
    count: int
    selected: int | None = None
    covered: Covered | None = None
    """With --since-last: what was checked."""
    against: AgainstTopics | None = None
    """With --against topics: what was compared, and what cannot be."""


def verify(
    checks: Callable[[Settings], list[Check]],
    of: Range,
    *,
    as_json: bool,
    selection: Path | None = None,
    covered: Covered | None = None,
    against: AgainstTopics | None = None,
) -> Verified:
    """Run the checks, with their progress on standard error, and print what they find as they find it.

    `selection`: a new file for the decisions that other commands can do something about. `covered` is filled in by the
    checks, if they do not check all, and `against` by that of the topics.
    """
    verified = Verified([], [], 0, covered=covered, against=against)

    async def run(settings: Settings) -> None:
        asked = checks(settings)
        verified.checks += [check.name for check in asked]
        if selection is None:
            await run_and_print(asked, settings, None)
            return
        require_new(selection, "--selection")
        header = await _header(settings.database_url, verified.checks)
        with new_selection(selection, header) as file:
            seqs = array("q")
            await run_and_print(asked, settings, seqs)
            verified.selected = await _write(settings.database_url, sorted(set(seqs)), file)

    async def run_and_print(asked: list[Check], settings: Settings, selected: "array[int] | None") -> None:
        ground = Ground(settings.database_url, of, progress_shown(), selected)
        async for finding in run_checks(asked, ground):
            verified.count += 1
            if verified.count > _MOST_SHOWN:
                continue
            if as_json:
                verified.findings.append(finding)
            else:
                typer.echo(f"{finding.cause}: {plain(finding.place)}: {plain(finding.detail)}")

    answer(run)
    if as_json:
        print_json(verified)
    else:
        _print_end(verified, selection)
    return verified


def _print_end(verified: Verified, selection: Path | None) -> None:
    """Print how many findings there are, and what was checked if that is not all."""
    if verified.count:
        typer.echo(f"{counted(verified.count, 'finding')}.")
    else:
        typer.echo("All is as it was written." if verified.against is None else "Ledger and topics agree.")
    if verified.covered is not None:
        typer.echo(_in_words(verified.covered))
    if verified.against is not None:
        typer.echo(plain(verified.against.in_words()))
    if verified.selected:
        typer.echo(f"{selection}: {counted(verified.selected, 'decision')}")


def verify_since_last(state: Path, share: float, *, as_json: bool, selection: Path | None) -> Verified:
    """Check what was written since the head that the file has; keep the new one there, if nothing is found."""
    with refusals():
        work = SinceLast(read_state(state), share, state)
    verified = verify(lambda _: work.checks(), Range(), as_json=as_json, selection=selection, covered=work.covered)
    if not verified.count and work.verified is not None:
        with refusals():
            write_state(state, work.verified)
    return verified


def _in_words(covered: Covered) -> str:
    """What was checked, for people."""
    since = "the beginning" if covered.verified_at is None else f"{covered.verified_at:%Y-%m-%d %H:%M:%S} UTC"
    if covered.through <= covered.after:
        return f"Nothing was decided since {since}."
    return (
        f"Checked: the hashes of {counted(covered.through - covered.after, 'decision')} since {since} (up to "
        f"{covered.through}), {counted(covered.wallets, 'wallet')} by the movements, and a share of {covered.share:g}: "
        f"{counted(covered.wallets_again, 'wallet')} with {counted(covered.decisions_again, 'decision')} decided again."
    )


async def _header(database_url: str, checks: list[str]) -> SelectionHeader:
    async with connected(database_url) as connection:
        end = (await span_of(connection, LogQuery())).through
        return SelectionHeader(await ledger_id_of(connection), LogQuery(), datetime.now(UTC), end, tuple(checks))


async def _write(database_url: str, seqs: list[int], file: SelectionFile) -> int:
    """Write these decisions, in ledger order; returns how many there are."""
    async with connected(database_url) as connection:
        async for page in find_seqs(connection, seqs):
            for found in page:
                file.add(found)
    return file.decisions
