"""`connects outputs republish`: a consumer lost messages of wallet-updated, and gets them once more, as they were."""

from contextlib import aclosing
from typing import Annotated, Final

import msgspec
import typer

from worker.cli._agreeing import agreed
from worker.cli._asking import answer
from worker.cli._changes import who
from worker.cli._errors import FOUND_SOMETHING, say
from worker.cli._options import Actor, Json, Why, require_reason
from worker.cli._output import print_found
from worker.cli._progress import until_interrupted
from worker.cli._values import instant, require_one_of
from worker.engine.wallet_messages import WALLET_UPDATED
from worker.pace import Pace
from worker.plain_text import plain
from worker.queries.asking import connected
from worker.queries.replays import require_active_worker
from worker.queries.republish import Ordered, Selection, left_of, republish, unfinished, wallets_of
from worker.settings import Settings
from worker.words.phrases import counted
from worker.words.times import when

_NOBODY_ASKED: Final = "nothing was published: add --yes to publish this, as nobody can be asked here"


class Republished(msgspec.Struct):
    """What was found, and what was published once more by this command; `left` is how many wallets are left.

    `run` names the run; `went_on`: an earlier command had begun it.
    """

    messages: int = 0
    freelancers: int = 0
    left: int = 0
    run: str | None = None
    went_on: bool = False


def command(
    *,
    freelancer: Annotated[
        list[str] | None,
        typer.Option("--freelancer", metavar="ID", help="The messages about this wallet. Repeatable."),
    ] = None,
    topic: Annotated[
        str | None,
        typer.Option(metavar="T", help="The messages about all wallets: wallet-updated."),
    ] = None,
    version: Annotated[
        int | None,
        typer.Option("--from", metavar="VERSION", min=1, help="Of each wallet from this version on, to the newest."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="T", help="Of each wallet what was booked then or later, by the wall clock.")
    ] = None,
    why: Why,
    yes: Annotated[bool, typer.Option("--yes", help="Publish what was found without asking.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Begin from the start, also if the same was begun and not finished.")
    ] = False,
    rate: Annotated[
        float | None, typer.Option(min=0.01, metavar="N", help="At most this many messages a second [no limit].")
    ] = None,
    actor: Actor = None,
    as_json: Json = False,
) -> None:
    """Publish messages of wallet-updated once more, as they were, for a consumer that lost them.

    Key, value, event id and version are the same; only the header x-republished is new, with the command that ordered
    it. The relay of the active worker publishes them, of each wallet in order up to its newest message: so the last
    message of each key is still the newest, also in a compacted topic, and who knows versions or event ids sees
    repeats. It shows how many there are, and asks.

    Ctrl-C ends it between two wallets. Run again with the same options it goes on where it stopped, and nothing is
    published a third time. membership-updated and membership-charge-requested are not published once more: a charge
    would be asked for twice.

    Exit 1 if wallets are left, or nothing matches.

    Example: connects outputs republish --topic wallet-updated --since 2026-03-14T09:00:00Z --why "topic was deleted"
    """
    require_reason(why)
    selection = _selection(freelancer, topic, version, since)

    async def publish(settings: Settings) -> Republished:
        return await _republish(settings, selection, (who(actor), why), rate, yes=yes, again=again)

    done = answer(publish)
    print_found(done, _page, as_json=as_json)
    if done.left or not done.run:
        raise typer.Exit(FOUND_SOMETHING)


def _selection(freelancers: list[str] | None, topic: str | None, version: int | None, since: str | None) -> Selection:
    """What these options name.

    Raises:
        typer.BadParameter: they name nothing, or contradict one another.
    """
    if topic is not None:
        require_one_of("--topic", topic, (WALLET_UPDATED,))
    if bool(freelancers) == (topic is not None):
        raise typer.BadParameter(f"of which wallets? Give either --freelancer, or --topic {WALLET_UPDATED}")
    if version is not None and since is not None:
        raise typer.BadParameter("--from VERSION and --since T exclude each other: give one of them")
    if topic is not None and version is None and since is None:
        raise typer.BadParameter("of all wallets, from where? Give --since T, or --from VERSION (1: everything)")
    return Selection(tuple(sorted(set(freelancers or ()))), version or 1, instant("--since", since))


async def _republish(
    settings: Settings, selection: Selection, by: tuple[str, str], rate: float | None, *, yes: bool, again: bool
) -> Republished:
    async with connected(settings.database_url) as connection:
        await require_active_worker(connection)
        last = None if again else await unfinished(connection, selection)
        wallets = left_of(await wallets_of(connection, selection), last)
        if not wallets and last is None:
            say("nothing matches: no change was booked from there on")
            return Republished()
        say(_found(sum(one.messages for one in wallets), len(wallets), last))
        if not await agreed("Publish these once more? [y/N] ", _NOBODY_ASKED, yes=yes):
            return Republished(left=len(wallets))
        done, pace, stopping = Republished(went_on=last is not None), Pace(), until_interrupted()
        async with aclosing(republish(settings, connection, selection, last, by, stopping, rate)) as parts:
            async for part in parts:
                done.run, done.left = part.run, part.left
                done.messages, done.freelancers = part.messages, part.freelancers
                if pace.is_due():
                    say(f"{counted(part.messages, 'message')} so far, {counted(part.left, 'wallet')} left")
    return done


def _found(messages: int, wallets: int, last: Ordered | None) -> str:
    found = f"{counted(messages, 'message')} of {counted(wallets, 'wallet')}"
    if last is None:
        return f"{found} would be published once more."
    return plain(
        f"Goes on with what {last.actor} began and did not finish ({when(last.asked_at)} UTC): {found} at most. "
        "--again begins from the start."
    )


def _page(done: Republished) -> str:
    if done.run is None:
        return "Nothing was published."
    messages, wallets = counted(done.messages, "message"), counted(done.freelancers, "wallet")
    words = f"{messages} of {wallets} handed to the relay, to be published once more."
    if done.left:
        return f"{words} {counted(done.left, 'wallet')} left: run this again with the same options, and it goes on."
    return words
