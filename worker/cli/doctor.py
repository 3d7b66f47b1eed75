"""`connects doctor`: one look at everything that a worker needs, before and after it is deployed."""

import asyncio

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from worker.cli._asking import silence_library_logs
from worker.cli._errors import FOUND_SOMETHING, refusals
from worker.cli._local import is_installed, local_stack
from worker.cli._options import Json
from worker.cli._output import print_found, table
from worker.doctor.examine import examine
from worker.doctor.looks import Examined, Look, all_of, wrong
from worker.errors import LocalStackError, SettingsError
from worker.plain_text import plain
from worker.settings import Settings
from worker.words.phrases import counted

_WORDS = {"ok": "ok", "wrong": "wrong", "unknown": "cannot be told"}
_STYLES = {"ok": "", "wrong": "bold red", "unknown": "yellow"}


def command(*, as_json: Json = False) -> None:
    """Look at all that a worker needs, and change nothing: settings, policy, PostgreSQL, Kafka, ledger, this host.

    Each thing is ok, wrong or cannot be told, with what to do. It works before the first `connects migrate` and beside
    workers, and ends within a minute whatever is away. Exit 1 if something is wrong.

    Example: connects doctor --json
    """
    with refusals():
        silence_library_logs()
        found = _examined()
    print_found(found, _page, as_json=as_json)
    if found.wrong:
        raise typer.Exit(FOUND_SOMETHING)


def _examined() -> Examined:
    try:
        settings = _on_what_runs(Settings.read())
    except SettingsError as error:
        return all_of([wrong("settings", "values", error)])
    if isinstance(settings, Look):
        return all_of([settings])
    return asyncio.run(examine(settings))


def _on_what_runs(settings: Settings) -> Settings | Look:
    """The settings, with the embedded stack's addresses if it is meant and runs: it is not started by a look."""
    if not settings.embedded:
        return settings
    missing = "KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL are not set"
    if not is_installed():
        return wrong("settings", "values", f"{missing}, and the embedded stack is not installed here", "Set both")
    try:
        addresses = local_stack().status().addresses
    except LocalStackError as error:
        return wrong("settings", "embedded stack", error)
    if addresses is None:
        what = f"{missing}, and the embedded stack does not run"
        return wrong("settings", "embedded stack", what, "Set both, or start it with `connects local up`")
    return settings.on_stack(addresses.kafka_bootstrap, addresses.database_url)


def _page(found: Examined) -> RenderableType:
    """A line for each thing, then how many are wrong."""
    page = table("", "", "", header=False)
    for look in found.checks:
        page.add_row(
            Text(_WORDS[look.verdict], style=_STYLES[look.verdict]), f"{look.area}: {look.name}", plain(_sentence(look))
        )
    if not found.wrong and not found.unknown:
        return Group(page, "", "All is well.")
    things = counted(found.wrong, "thing is wrong", "things are wrong")
    untold = counted(found.unknown, "cannot be told", "cannot be told")
    return Group(page, "", f"{things}, {untold}." if found.unknown else f"{things}.")


def _sentence(look: Look) -> str:
    """What was found, and what to do unless that is in it already."""
    to_do = "" if look.next.lower() in look.what.lower() else f" {look.next}."
    return f"{look.what}.{to_do}"
