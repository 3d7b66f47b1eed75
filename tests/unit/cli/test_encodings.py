"""Output in the encoding of any terminal: what cannot be shown is replaced, and nothing fails."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.policies import policy_text
from tests.kit.waiting import PATIENCE_SECONDS
from worker import terminal
from worker.terminal import json_for

WITHOUT_UTF_8 = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
"""A locale C that Python takes as it is."""
TERMINALS: dict[str, tuple[dict[str, str], str]] = {
    "ascii": ({"PYTHONIOENCODING": "ascii:strict"}, "ascii"),
    "latin-1": ({"PYTHONIOENCODING": "latin-1:strict"}, "latin-1"),
    "the locale C": (WITHOUT_UTF_8, "ascii"),
    "UTF-8": ({"PYTHONIOENCODING": "utf-8"}, "utf-8"),
}
NAME = "é…🎁"
SHOWN = {
    "ascii": r"\xe9\u2026\U0001f381",
    "latin-1": r"é\u2026\U0001f381",
    "utf-8": NAME,
}


def run(terminal_name: str, arguments: list[str], folder: Path, **more: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error, both decoded as that terminal does, strictly."""
    settings, encoding = TERMINALS[terminal_name]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_", "LANG"))}
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "worker", *arguments],
        env={**kept, **settings, **more},
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A policy whose version has a name that few terminals can show."""
    file = tmp_path / "policy.toml"
    file.write_text(policy_text(version=NAME), encoding="utf-8")
    return file


@pytest.mark.parametrize("name", TERMINALS)
def test_what_a_terminal_cannot_show_is_replaced(name: str, policy: Path, tmp_path: Path) -> None:
    shown = SHOWN[TERMINALS[name][1]]
    more = {"CONNECTS_POLICY": policy.name}
    code, out, err = run(name, ["policy", "show"], tmp_path, **more)
    assert (code, err) == (0, "")
    assert shown in out
    code, out, err = run(name, ["policy", "show", "--json"], tmp_path, **more)
    assert (code, err) == (0, "")
    assert json.loads(out)["version"] == NAME, "JSON stays JSON"


@pytest.mark.parametrize("name", ["ascii", "the locale C"])
def test_what_was_typed_wrongly_is_one_line_in_any_terminal(name: str, tmp_path: Path) -> None:
    code, out, err = run(name, ["explain", "--about", "x…"], tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith(("connects explain --about: no topic is about ", "connects: the argument 'x"))
    assert err.count("\n") == 1
    code, _, err = run(name, [f"--{NAME}"], tmp_path)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("connects: ")


@pytest.mark.parametrize("name", ["ascii"])
def test_log_lines_and_tracebacks_for_debugging_are_shown_in_any_terminal(name: str, tmp_path: Path) -> None:
    missing = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/é…", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    code, _, err = run(name, ["--debug", "history", "f-1"], tmp_path, **missing)
    assert code == 1
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1].startswith("connects: PostgreSQL at postgresql://u@127.0.0.1:1/")


def test_a_stream_that_is_not_there_or_not_the_systems_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", text)
    terminal.show_in_any_encoding()
    assert (sys.stdout, sys.stderr) == (None, text)


TEXT = st.text(max_size=8)
CONTENT = st.lists(TEXT, max_size=3) | st.dictionaries(TEXT, TEXT | st.integers() | st.none(), max_size=3)


@given(CONTENT, st.sampled_from([None, "ascii", "latin-1", "cp1252", "utf-8"]))
def test_json_says_the_same_in_any_encoding(content: object, encoding: str | None) -> None:
    text = json.dumps(content, ensure_ascii=False)
    written = json_for(text, encoding)
    assert json.loads(written) == content
    if encoding != "utf-8":
        assert written.isascii()
