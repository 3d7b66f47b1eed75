"""`connects positions list`: where reading goes on, and what is on hold."""

from rich.console import Group, RenderableType
from rich.text import Text

from worker.cli._asking import answer_from_ledger
from worker.cli._options import Json
from worker.cli._output import print_found, table
from worker.plain_text import plain
from worker.queries.positions import Positions, list_positions
from worker.words.times import when


def command(*, as_json: Json = False) -> None:
    """List the next offset to decide of every input partition, and what is on hold.

    Example: connects positions list
    """
    found = answer_from_ledger(lambda connection, _settings: list_positions(connection))
    print_found(found, _page, as_json=as_json)


def _page(positions: Positions) -> RenderableType:
    holds = [Text(f"{plain(hold.in_words)}.") for hold in positions.holds]
    if not positions.positions:
        return Group("Nothing was read yet.", *holds)
    page = table("topic", "partition", "next offset", "incarnation", "its clock (UTC)", "on hold")
    for row in positions.positions:
        place = (row.topic, str(row.partition), str(row.next_offset), str(row.incarnation), when(row.clock))
        page.add_row(*place, "yes" if row.on_hold else "")
    return Group(page, *([""] if holds else []), *holds)
