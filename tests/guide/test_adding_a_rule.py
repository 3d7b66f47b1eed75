"""docs/add-a-rule.md, followed word for word: its code makes a rule that works, in the files that it lists."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.stacks import FOLDER

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "add-a-rule.md"
COPIED = ("docs", "policies", "schemas", "tests", "worker", "pyproject.toml")
GUARDS = "tests/unit/domain/test_every_rule_is_complete.py"
MOST_FILES = 8
STEP = re.compile(r"^(Create|Add at the end of) `([^`]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^Run:\n\n<!-- .*? -->\n```console\n\$ (.*?)\n```$", re.MULTILINE | re.DOTALL)
BLANK_LINES = "\n\n"
"""Between what is at the end of a file and what is added there."""
BEING_WRITTEN = "*.pyc.*"
"""How a compiled file is called until all of it is there."""
LISTED = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".hypothesis" not in path.parts
    }


def run(folder: Path, *words: str, limit_seconds: float = 300, **settings: str) -> str:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "CONNECTS_CACHE_DIR") if name in os.environ}
    done = subprocess.run(  # noqa: S603 - our own commands
        [sys.executable, *words],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **settings},
        capture_output=True,
        text=True,
        timeout=limit_seconds,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-6_000:]}\n{done.stderr[-4_000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy") / "repository"
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            # With what was compiled: a file that keeps its content and its time is not compiled again in the copy.
            shutil.copytree(
                source, folder / name, ignore=shutil.ignore_patterns("*.pyc.*")
            )  # one that is being written
        else:
            shutil.copy(source, folder / name)
    return folder


@pytest.fixture(scope="module")
def changed(copy: Path) -> set[str]:
    """The files that are not as they were, once the guide was followed."""
    before, text = files_in(copy), GUIDE.read_text(encoding="utf-8")
    steps = STEP.findall(text)
    assert len(steps) == 5
    for what, name, code in steps:
        path = copy / name
        assert path.exists() == (what != "Create"), name
        above = f"{path.read_text(encoding='utf-8')}{BLANK_LINES}" if path.exists() else ""
        path.write_text(above + code, encoding="utf-8")
    (command,) = COMMAND.findall(text)
    name, *words = command.split()
    assert name == "connects"
    run(copy, "-m", "worker", *words)
    after = files_in(copy)
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_the_guide_opens_with_the_files_that_it_touches(changed: set[str]) -> None:
    listed = LISTED.findall(GUIDE.read_text(encoding="utf-8").partition("## 1.")[0])
    assert sorted(listed) == sorted(changed)
    assert len(listed) <= MOST_FILES


@pytest.mark.in_turn
def test_all_guards_of_the_copy_hold_and_its_own_test_passes(copy: Path, changed: set[str]) -> None:
    assert changed
    tests = [
        "tests/unit/domain/test_ratings.py",
        GUARDS,
        "tests/unit/domain/test_no_prose_in_the_domain.py",
        "tests/unit/domain/test_policy_file.py",
        "tests/unit/domain/test_policy_that_grows.py",
        "tests/unit/words",
        "tests/unit/schemas/test_generated_contract_files.py",
        "tests/golden/test_golden_decisions.py::test_the_corpus_has_every_reason_and_every_outcome",
    ]
    assert " passed" in run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)


@pytest.mark.in_turn
def test_the_code_of_the_guide_is_as_clean_as_ours(copy: Path, changed: set[str]) -> None:
    python = [name for name in sorted(changed) if name.endswith(".py")]
    run(copy, "-m", "ruff", "check", "--no-cache", *python)
    run(copy, "-m", "ruff", "format", "--no-cache", "--check", *python)
    run(copy, "-m", "mypy", "--cache-dir", str(copy.parent / "mypy"), "-p", "schemas", "-p", "worker")


def test_the_rule_works_in_the_real_worker(copy: Path, changed: set[str]) -> None:
    assert changed
    test = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/guide/rated_in_the_worker.py")
    assert "1 passed" in run(copy, *test, **{FOLDER: os.environ[FOLDER]})  # on the stack of this run


WORDS, CARD, EVENT = "worker/words/ratings.py", "worker/domain/rules/ratings.py", "schemas/earning.py"
FORGOTTEN = [
    (
        WORDS,
        '        "fewer-than-five-stars": _fewer_than_five_stars,\n',
        "no words for the reason",
    ),
    (
        WORDS,
        '        "already-granted": repeats("the rating of contract", "contract_id"),\n',
        "no words for the reason",
    ),
    (CARD, "    needs=(Need.WALLET,),\n", "does not say 'needs'"),
    (CARD, '    once_per=OncePer(("contract_id",)),\n', "does not say 'once_per'"),
    (EVENT, ', InSubject("The contract that was rated.")', "mark the field of the event with InSubject"),
]


def test_a_default_that_puts_the_rule_in_force_is_noticed(copy: Path, changed: set[str]) -> None:
    assert CARD in changed
    path, guard = copy / CARD, "test_a_rule_that_brings_a_policy_key_books_nothing_under_a_version_from_before_it"
    whole = path.read_text(encoding="utf-8")
    assert "default=0" in whole
    try:
        path.write_text(whole.replace("default=0", "default=5"), encoding="utf-8")
        with pytest.raises(AssertionError, match=r"the default of the key of grant\.rating does not mean"):
            run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{GUARDS}::{guard}")
    finally:
        path.write_text(whole, encoding="utf-8")


@pytest.mark.parametrize(("name", "line", "words"), FORGOTTEN)
def test_what_is_forgotten_is_said_at_import(copy: Path, changed: set[str], name: str, line: str, words: str) -> None:
    assert name in changed
    path = copy / name
    whole = path.read_text(encoding="utf-8")
    assert line in whole
    try:
        path.write_text(whole.replace(line, ""), encoding="utf-8")
        with pytest.raises(AssertionError, match="CardError") as failed:
            run(copy, "-c", "import worker.words.explanations")
        assert words in str(failed.value)
    finally:
        path.write_text(whole, encoding="utf-8")
