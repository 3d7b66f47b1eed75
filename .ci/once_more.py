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
MOST = 3  # modules: where a fixture that a module shares fails, all its tests do


def main(options: list[str]) -> int:
    failed = sorted(json.loads(FAILED.read_text())) if FAILED.exists() else []
    if not ENDED.exists() or json.loads(ENDED.read_text()) != TESTS_FAILED:
        print("nothing is tried once more: the tests did not run to their end")
        return 1
    modules = {test.partition("::")[0] for test in failed}
    if not failed or len(modules) > MOST or not all(module.startswith(AT_WORK) for module in modules):
        print(f"{len(failed)} failed: they are not tried once more, being too many or in need of no process")
        return 1
    return max(tried_alone([test for test in failed if test.startswith(module)], options) for module in sorted(modules))


def tried_alone(tests: list[str], options: list[str]) -> int:
    ran = subprocess.run([sys.executable, "-m", "pytest", "--quiet", *options, *tests], check=False)  # noqa: S603
    for test in tests:
        print(f"TRIED ONCE MORE, alone: {test}, {'of which one FAILED' if ran.returncode else 'passed'}", flush=True)
    return ran.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
