"""`connects log releases`: which release decided from where to where."""

from rich.console import RenderableType

from worker.cli._asking import answer_from_ledger
from worker.cli._options import Json
from worker.cli._output import print_found, table
from worker.plain_text import plain
from worker.queries.log_query import BEFORE_NAMES
from worker.queries.releases import Releases, list_releases
from worker.words.times import when


def command(*, as_json: Json = False) -> None:
    """Show which release decided, from which decision and time to which. The oldest release is first.

    Example: connects log releases --json
    """
    print_found(answer_from_ledger(lambda connection, _settings: list_releases(connection)), _page, as_json=as_json)


def _page(found: Releases) -> RenderableType:
    if not found.releases:
        return "Nothing was decided yet."
    page = table("release", "decisions", "batches", "from (UTC)", "to (UTC)")
    for row in found.releases:
        decisions = "none" if row.last_seq < row.first_seq else f"{row.first_seq} to {row.last_seq}"
        batches = f"{row.first_batch} to {row.last_batch}"
        release = BEFORE_NAMES if row.release is None else plain(row.release)
        page.add_row(release, decisions, batches, when(row.first_recorded_at), when(row.last_recorded_at))
    return page
