"""A group whose commands are imported when they are called: to list them, none of their modules is needed."""

from collections import UserDict
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

from worker.cli._commands import COMMANDS, Entry
from worker.cli._local import require_local

if TYPE_CHECKING:
    from typer._click import Command, Context, HelpFormatter

_ROOM: Final = "worker.cli"


class LazyGroup(TyperGroup):
    """The commands of `entries`, each in the module of its name below `module`."""

    def __init__(
        self,
        *,
        entries: Mapping[str, Entry] = COMMANDS,
        module: str = _ROOM,
        **attributes: Any,  # noqa: ANN401 - they are typer's
    ) -> None:
        super().__init__(**attributes)
        self._entries = entries
        self.commands = _Commands(entries, module)

    def list_commands(self, ctx: "Context") -> list[str]:
        """Every name, in the order of the table."""
        del ctx
        return list(self._entries)

    def format_commands(self, ctx: "Context", formatter: "HelpFormatter") -> None:
        """Write the list of commands."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.words) for name, entry in self._entries.items()])


class _Commands(UserDict[str, Any]):
    """The entries by name; what is taken from it is imported."""

    def __init__(self, entries: Mapping[str, Entry], module: str) -> None:
        super().__init__(entries)
        self._module = module

    def __getitem__(self, name: str) -> "Command":
        entry: Entry = self.data[name]
        module = f"{self._module}.{name.replace('-', '_')}"
        if entry.needs_local:
            require_local(f"`connects {name}` needs")
        if not entry.commands:
            return _command(name, entry, module)
        return LazyGroup(
            entries=entry.commands,
            module=module,
            name=name,
            help=entry.words,
            no_args_is_help=True,
            rich_markup_mode=None,
        )


def _command(name: str, entry: Entry, module: str) -> "Command":
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name, short_help=entry.words)(import_module(module).command)
    return get_command(alone)
