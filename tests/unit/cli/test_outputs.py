"""Output, also where it cannot be printed: one line, or no line, and never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.waiting import PATIENCE_SECONDS

REPOSITORY = Path(__file__).parents[3]
FULL = Path("/dev/full")
COMMANDS = [
    ["settings"],
    ["settings", "--json"],
    ["explain", "--about", "sharing"],
    ["policy", "show"],
    ["schemas", "catalogue"],
    ["--help"],
]


def connects(folder: Path, *words: str, **streams: object) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    environment = {**kept, "PYTHONPATH": str(REPOSITORY), **streams.pop("environment", {})}
    arguments = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **streams}
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "worker", *words],
        cwd=folder,
        env=environment,
        check=False,
        timeout=PATIENCE_SECONDS,
        **arguments,
    )


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_output_on_a_full_disk_is_one_line(command: list[str], tmp_path: Path) -> None:
    with FULL.open("w") as full:
        done = connects(tmp_path, *command, stdout=full)
    assert done.returncode == 1
    assert done.stderr == (
        "connects: the output cannot be written (No space left on device). Make room, or write it elsewhere\n"
    )


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_refusal_that_cannot_be_written_keeps_its_exit_code(tmp_path: Path) -> None:
    with FULL.open("w") as full:
        assert connects(tmp_path, "settings", environment={"LOG_LEVEL": "loud"}, stderr=full).returncode == 2
        assert connects(tmp_path, "sing", stderr=full).returncode == 2


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_pipe_that_nobody_reads_is_quiet(command: list[str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        done = connects(tmp_path, *command, stdout=closed)
    assert done.stderr == ""
    assert done.returncode == 1


@pytest.mark.parametrize("closed", [1, 2])
def test_streams_that_are_closed_are_done_without(closed: int, tmp_path: Path) -> None:
    done = connects(tmp_path, "settings", preexec_fn=lambda: os.close(closed))
    assert done.returncode == 0
    assert "Traceback" not in done.stdout + done.stderr


def test_a_terminal_that_lacks_a_letter_is_shown_its_number(tmp_path: Path) -> None:
    done = connects(tmp_path, "settings", environment={"KAFKA_GROUP_ID": "a→b", "PYTHONIOENCODING": "latin-1"})
    assert done.returncode == 0
    assert "KAFKA_GROUP_ID=a\\u2192b\n" in done.stdout


@pytest.mark.parametrize(
    ("folder", "code", "words"),
    [
        ("/proc/contract", 2, "/proc/contract cannot be used (No such file or directory). Name another place"),
        ("x" * 300, 2, "(File name too long). Name another place"),
        ("/dev/null/contract", 2, "/dev/null/contract cannot be used (Not a directory). Name another place"),
        ("file", 2, "connects schemas export: Invalid value for 'DIR': dir 'file' is a file"),
    ],
)
def test_a_folder_that_cannot_be_written_is_one_line(folder: str, code: int, words: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = connects(tmp_path, "schemas", "export", folder)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
