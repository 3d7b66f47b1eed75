"""Record the decisions about the corpus as they are now: `python -m tests.golden.record`. Then read what git says."""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from tests.golden.deciding import DECISIONS, Line, decide_corpus, differences, read_lines
from worker.ledger.migrate import migrate
from worker.local.stack import LocalStack


async def decide(database_url: str) -> list[Line]:
    await migrate(database_url)
    return await decide_corpus(database_url)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        stack = LocalStack(Path(folder) / "stack")
        stack.up()
        try:
            decided = asyncio.run(decide(stack.create_database("golden")))
        finally:
            stack.down(delete=True)
    before = read_lines(DECISIONS) if DECISIONS.exists() else []
    changed = differences(before, decided)
    lines = [json.dumps(line, ensure_ascii=False) for line in decided]
    DECISIONS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(decided)} decisions recorded, {len(changed)} of them changed\n")


if __name__ == "__main__":
    main()
