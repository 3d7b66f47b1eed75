"""Record the decisions about the corpus as they are now: `python -m tests.golden.record`. Then read what git says."""

import asyncio
import json
import sys

from tests.golden.deciding import DECISIONS, decide_corpus, differences, read_lines
from worker.ledger.memory_store import MemoryStore


def main() -> None:
    decided = asyncio.run(decide_corpus(MemoryStore()))
    before = read_lines(DECISIONS) if DECISIONS.exists() else []
    changed = differences(before, decided)
    lines = [json.dumps(line, ensure_ascii=False) for line in decided]
    DECISIONS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(decided)} decisions recorded, {len(changed)} of them changed\n")


if __name__ == "__main__":
    main()
