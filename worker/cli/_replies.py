"""How a reply is printed: the words to paste first, then answers for when they object, then what is for the agent."""

from typing import NoReturn

import msgspec
import typer
from rich.console import Group, RenderableType
from rich.text import Text

from worker.cli._errors import FOUND_SOMETHING
from worker.cli._output import print_json, print_page
from worker.plain_text import plain
from worker.replies.reply import Reply


def print_reply_as_json(reply: Reply, found: msgspec.Struct | None = None) -> None:
    """Print a reply before the fields of what was found, which stay as they are."""
    print_json({"reply": reply, **({} if found is None else msgspec.to_builtins(found))})


def refuse_unknown(reply: Reply, nothing: msgspec.Struct | None = None, *, as_json: bool) -> NoReturn:
    """Print the reply about an id that the ledger does not know, and end; `nothing` has the fields of what is known."""
    if as_json:
        print_reply_as_json(reply, nothing)
    else:
        print_page(reply_page(reply))
    raise typer.Exit(FOUND_SOMETHING)


def reply_page(reply: Reply) -> RenderableType:
    """The same for people, from the same object, so that the two cannot differ."""
    parts: list[RenderableType] = [Text(plain(reply.headline), style="bold")]
    parts += [Text(plain(line)) for line in reply.reply[len(reply.headline) :].strip().split("\n") if line]
    if reply.if_they_object:
        parts += ["", Text("If they object", style="dim")]
        for standing in reply.if_they_object:
            parts += [Text(f"  {standing.topic}: {plain(standing.text.replace(chr(10), ' '))}", style="dim")]
    if reply.agent_only:
        parts += ["", Text("For the agent only", style="dim")]
        parts += [Text(f"  {plain(line)}", style="dim") for line in reply.agent_only]
    return Group(*parts)
