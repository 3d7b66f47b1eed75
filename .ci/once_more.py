"""Try what failed once more, with the machine to itself: python .ci/once_more.py [pytest's options].

Why, and which tests: docs/decisions/0034. Ends with 0 if all of them pass now.
"""

import json
import subprocess
import sys
from pathlib import Path

CACHE = Path(".pytest_cache/v")
FAILED = CACHE / "cache/lastfailed"
ENDED = CACHE / "connects/exit-status"
TESTS_FAILED = 1  # pytest's exit status when all tests were run; others: interrupted, an error of its own
AT_WORK = tuple(f"tests/{folder}/" for folder in ("integration", "chaos", "upgrade", "containers", "guide"))
MOST = 4


def main(options: list[str]) -> int:
    failed = sorted(json.loads(FAILED.read_text())) if FAILED.exists() else []
    if not ENDED.exists() or json.loads(ENDED.read_text()) != TESTS_FAILED:
        print("nothing is tried once more: the tests did not run to their end")
        return 1
    if not failed or len(failed) > MOST or not all(test.startswith(AT_WORK) for test in failed):
        print(f"{len(failed)} failed: they are not tried once more, being too many or in need of no process")
        return 1
    return max(tried_alone(test, options) for test in failed)


def tried_alone(test: str, options: list[str]) -> int:
    ran = subprocess.run([sys.executable, "-m", "pytest", "--quiet", *options, test], check=False)  # noqa: S603
    print(f"TRIED ONCE MORE, alone: {test} {'FAILED' if ran.returncode else 'passed'}", flush=True)
    return ran.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
