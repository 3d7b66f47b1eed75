"""What every command prints the same way: JSON for programs, pages for people, words first."""

import csv
import io
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.table import Table

from worker.plain_text import plain
from worker.terminal import json_for

Found = TypeVar("Found")

_PIPED_WIDTH: Final = 120


def print_found(found: Found, page: Callable[[Found], RenderableType], *, as_json: bool) -> None:
    """Print what was found, as JSON or as a page."""
    if as_json:
        print_json(found)
    else:
        print_page(page(found))


def print_json(value: object) -> None:
    """Print a value as JSON, for programs and for people."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    typer.echo(json_for(text, getattr(sys.stdout, "encoding", None)))


def print_page(page: RenderableType) -> None:
    """Print a page for people."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    console.print(page)


def csv_line(cells: Iterable[object]) -> str:
    """A line of CSV (RFC 4180), with its end."""
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()


def pairs(values: Mapping[str, object]) -> str:
    """Names and values in a line; those without a value are left out."""
    return ", ".join(f"{name} {plain(value)}" for name, value in values.items() if value is not None)


def table(*columns: str, header: bool = True) -> Table:
    """An empty table without lines."""
    made = Table(*columns, box=None, show_header=header, pad_edge=False, header_style="dim")
    for column in made.columns:
        column.overflow = "fold"
    return made


def mapping_page(rows: Mapping[str, object]) -> RenderableType:
    """A line for each name, with its value."""
    page = table("", "", header=False)
    for name, value in rows.items():
        page.add_row(plain(name), plain(value))
    return page
