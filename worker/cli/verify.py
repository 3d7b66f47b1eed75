"""`connects verify`: whether the ledger is what was written, check by check."""

from pathlib import Path
from typing import Annotated, Final

import typer

from worker.cli._asking import answer_from_ledger
from worker.cli._errors import FOUND_SOMETHING
from worker.cli._options import Json
from worker.cli._output import print_json
from worker.cli._values import head_typed, require_one_of
from worker.cli._verified import Verified, verify, verify_since_last
from worker.domain.model import FreelancerId
from worker.proof.against_topics import AgainstTopics
from worker.proof.checks import Check, Range
from worker.proof.hash_check import hash_check, head
from worker.proof.heads import Head
from worker.proof.ledger_checks import again_check, again_check_of, owed_check, totals_check
from worker.proof.movements_check import movements_check
from worker.proof.state_check import state_check
from worker.proof.topics_check import topics_check
from worker.settings import Settings

_SHARE: Final = 0.01
_MOST_SEQ: Final = 2**63 - 1


def command(
    *,
    show_head: Annotated[
        bool, typer.Option("--head", help="Print the ledger's head, to be kept outside, and check nothing.")
    ] = False,
    against_head: Annotated[
        str | None, typer.Option("--against-head", metavar="SIZE:HEX", help="A head that was kept outside.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="topics", help="Only compare the ledger with its Kafka topics."),
    ] = None,
    first: Annotated[
        int | None, typer.Option("--from", min=1, max=_MOST_SEQ, help="The first decision to check, by its seq.")
    ] = None,
    last: Annotated[int | None, typer.Option("--to", min=1, max=_MOST_SEQ, help="The last one.")] = None,
    freelancer: Annotated[
        str | None, typer.Option(metavar="ID", help="Only decide this freelancer's decisions again.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, max=64, help="Processes that decide again [1].")] = None,
    selection: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="Write decisions that today's rules take otherwise, and closures that owe refunds, to a new file.",
        ),
    ] = None,
    since_last: Annotated[
        bool, typer.Option("--since-last", help="Only what was written since the last time, by --state; for cron.")
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="With --since-last: where the verified head is kept."),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="With --since-last: of the wallets that changed, those decided again [0.01]."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that the ledger is what was written, agrees with itself, and would be decided the same today.

    No row was altered, removed or added (hashes); lots, debts, movements and balances have one sum; no refund is owed
    that nothing will make; current state is what the decisions make; today's rules decide every decision as it was
    decided. With --from only the hashes are checked, with --to all that is about current state is left out. With
    --against topics: each record and message that retention has left is compared with the ledger. With
    --since-last: the hashes and the wallets that changed, and a share of these wallets decided again.

    Exit 1 if something is found; exit 2 if it cannot be checked as asked. Progress is on standard error.

    Example: connects verify --against-head 1204:5f0c...
    """
    outside = head_typed("--against-head", against_head)
    of, others = Range(first, last), (outside, first, last, freelancer, jobs, selection, state, share)
    alone = not since_last and others == (None,) * len(others)
    if show_head:
        _require_alone("--head prints the head, and checks nothing", alone=alone and against is None)
        print_head(as_json=as_json)
        return
    if against is not None:
        require_one_of("--against", against, ("topics",))
        _require_alone("--against topics checks nothing else", alone=alone)
        counts = AgainstTopics()
        _end(verify(lambda settings: [topics_check(settings, counts)], of, as_json=as_json, against=counts))
        return
    if since_last:
        if not of.is_all or (outside, freelancer, jobs) != (None,) * 3:
            given = "--against-head, --from, --to, --jobs nor --freelancer"
            raise typer.BadParameter(f"--since-last goes with neither {given}")
        _end(verify_since_last(_named(state), _SHARE if share is None else share, as_json=as_json, selection=selection))
        return
    if state is not None or share is not None:
        raise typer.BadParameter("--state and --share go with --since-last")
    _require_consistent(of, freelancer, outside, jobs=jobs, selection=selection)

    def checks(settings: Settings) -> list[Check]:
        if freelancer is not None:
            return [again_check_of(FreelancerId(freelancer))]
        found = [hash_check(outside)]
        if of.is_all:
            found += [totals_check(), owed_check(settings.grace), movements_check(), state_check()]
        return [*found, again_check(jobs or 1)] if first is None else found

    _end(verify(checks, of, as_json=as_json, selection=selection))


def _require_alone(why: str, *, alone: bool) -> None:
    if not alone:
        raise typer.BadParameter(f"{why}: of the other options only --json goes with it")


def _named(state: Path | None) -> Path:
    if state is None:
        raise typer.BadParameter("--since-last needs --state FILE, in which the verified head is kept")
    return state


def _require_consistent(
    of: Range, freelancer: str | None, outside: Head | None, *, jobs: int | None, selection: Path | None
) -> None:
    """Refuse options that contradict each other."""
    if of.first is not None and of.last is not None and of.last < of.first:
        raise typer.BadParameter(f"--to {of.last} is before --from {of.first}")
    if outside is not None and not of.is_all:
        raise typer.BadParameter("--against-head compares the whole ledger with a head: leave --from and --to out")
    if freelancer is not None and not (outside is None and of.is_all and jobs is None):
        raise typer.BadParameter("--freelancer goes with neither --against-head, --from, --to nor --jobs")
    if of.first is not None and (selection is not None or jobs is not None):
        raise typer.BadParameter("--selection and --jobs are of deciding again, which --from leaves out")


def _end(verified: Verified) -> None:
    if verified.count:
        raise typer.Exit(FOUND_SOMETHING)


def print_head(*, as_json: bool) -> None:
    """Print the head of the ledger now."""
    found = answer_from_ledger(lambda connection, _settings: head(connection))
    if as_json:
        print_json({"head": str(found), "size": found.size, "root": found.root.hex()})
    else:
        typer.echo(str(found))
