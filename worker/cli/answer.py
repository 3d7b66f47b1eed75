"""`connects answer`: the rule behind a question that no event is about, with a person's own values."""

from functools import partial
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Group

from worker.cli._asking import answer_from_ledger
from worker.cli._errors import FOUND_SOMETHING, WRONG_USE, refusals, say
from worker.cli._options import Json
from worker.cli._output import print_json, print_page, table
from worker.cli._replies import reply_page
from worker.ledger.connections import Connection
from worker.plain_text import plain
from worker.queries.answers import asking_of
from worker.queries.policies import policies
from worker.queries.questions import about_nobody
from worker.replies.answers import answer_about
from worker.replies.finding import WORDS, find_topic
from worker.replies.reply import Reply
from worker.replies.topics import Asking
from worker.settings import Settings

_MOST_WORDS: Final = 3


def command(
    topic: Annotated[
        list[str] | None, typer.Argument(metavar="[TOPIC]", help="A topic, or words about it. Without one: all topics.")
    ] = None,
    *,
    freelancer: Annotated[str | None, typer.Option(help="With this freelancer's own dates and numbers.")] = None,
    as_json: Json = False,
) -> None:
    """Print the rule behind a question, in words to paste, with the person's own dates where one is named.

    Words find a topic, typing errors included: expire, roll over, why 73, two dates. Exit 2 if none is found.

    Example: connects answer expiry --freelancer f-1
    """
    if not topic:
        _list_topics(as_json=as_json)
    else:
        show_answer(" ".join(topic), freelancer, called="connects answer", as_json=as_json)


def show_answer(words: str, freelancer: str | None, *, called: str, as_json: bool) -> None:
    """Print the standing answer that words are about; `called` is the command, for its refusal."""
    found = find_topic(words)
    if found.topic is None:
        _refuse(words, found.guesses, called)
    reply = _reply(freelancer, found.topic)
    if as_json:
        # `decisions` is from before there was a reply: a program that reads explain --about expects it.
        print_json({"reply": reply, "about": found.topic, "explanation": reply.reply, "decisions": []})
    else:
        print_page(Group(reply_page(reply)))
    if reply.verdict == "unknown":
        raise typer.Exit(FOUND_SOMETHING)


def _reply(freelancer: str | None, topic: str) -> Reply:
    """The answer with somebody's values; without a freelancer no ledger is needed."""
    if freelancer is None:
        return answer_about(topic, _of_the_policy())
    return answer_from_ledger(partial(_of_freelancer, freelancer, topic))


def _of_the_policy() -> Asking:
    with refusals():
        settings = Settings.read()
        return Asking(policies(settings).in_force(settings.wall_clock().now()))
    raise AssertionError("refusals end the command")


async def _of_freelancer(freelancer: str, topic: str, connection: Connection, settings: Settings) -> Reply:
    book = policies(settings)
    asking = await asking_of(connection, freelancer, book, topic)
    return await about_nobody(connection, freelancer, book) if asking is None else answer_about(topic, asking)


def _refuse(words: str, guesses: list[str], called: str) -> NoReturn:
    may_be = f"It may be {', '.join(guesses)}. " if guesses else ""
    say(f"{called}: no topic is about {words!r}. {may_be}`connects answer` lists all topics")
    raise typer.Exit(WRONG_USE)


def _list_topics(*, as_json: bool) -> None:
    if as_json:
        print_json({"topics": [{"topic": topic, "words": words} for topic, words in WORDS.items()]})
        return
    page = table("topic", "also found by")
    for topic, words in WORDS.items():
        page.add_row(topic, plain(", ".join(words[:_MOST_WORDS])))
    print_page(page)
