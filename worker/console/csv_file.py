"""A wallet's history as a file for spreadsheets."""

import csv
import io
from typing import Final

from starlette.responses import Response

from schemas.fields import rfc3339
from worker.console.views import Page

_COLUMNS: Final = ("version", "occurred_at", "connects", "balance_after", "rule", "reason", "job", "proposal", "why")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""A text that begins with one of these would be executed by a spreadsheet."""


def history_as_csv(freelancer_id: str, page: Page) -> Response:
    """The changes, newest first; a last line says how to get earlier ones, if there are more than a file holds."""
    written = io.StringIO()
    lines = csv.writer(written)
    lines.writerow(_COLUMNS)
    for change in page.changes:
        numbers = (change.version, rfc3339(change.occurred_at), change.delta, change.balance_after)
        texts = (change.rule, change.reason, *(change.subject.get(name, "") for name in ("job_id", "proposal_id")))
        lines.writerow([*numbers, *(_cell(text) for text in (*texts, change.explanation))])
    if page.before is not None:
        lines.writerow([f"earlier changes: the same address with before={page.before}"])
    headers = {"Content-Disposition": f'attachment; filename="{freelancer_id.replace(":", "_")}.csv"'}
    return Response(written.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
