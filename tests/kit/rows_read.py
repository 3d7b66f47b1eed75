"""How much a statement reads: by what PostgreSQL says of its plan, once it has carried it out."""

import json
from typing import Any

from worker.ledger.connections import Connection


async def rows_read(connection: Connection, statement: str, *arguments: Any) -> int:  # noqa: ANN401 - the statement's
    """How many rows of tables and indexes a statement reads, those that it then leaves out included."""
    plan = await connection.fetchval(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}", *arguments)
    return _read(json.loads(plan)[0]["Plan"])


def _read(node: dict[str, Any]) -> int:
    below = sum(_read(child) for child in node.get("Plans", []))
    if "Scan" not in node["Node Type"] or node["Node Type"] == "Subquery Scan":
        return below
    left_out = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return below + round((node["Actual Rows"] + left_out) * node["Actual Loops"])
