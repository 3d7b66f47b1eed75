"""Commands and their output as a document shows them, in its ```console blocks.

A line that begins with `$ ` is a command; a comment may follow it. The lines below it are the output, compared word by
word: `...` stands for anything, and a date or a time of day for any other. Without such lines, the command only has to
succeed. A block that cannot run is preceded by a comment that says why: `<!-- not run: the reason -->`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent
from typing import Final

from tests.kit.worker_process import ROOT

_FENCE: Final = re.compile(
    r"(?ms)^(?P<marker> *<!-- [^\n]* -->\n)?(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$"
)
_MARKER: Final = re.compile(r" *<!-- not run: (?P<reason>\S.*) -->\n")
_FILE: Final = re.compile(r"(?ms)^Save this as `(?P<name>[^`]+)`:\n\n```\w+\n(?P<text>.*?)^```$")
_COMMENT: Final = re.compile(r"\s+# .*$")
_LOOKS_LIKE_A_COMMAND: Final = re.compile(r"(?m)^(\$ |(connects|make|docker|pip|export) )")
_MONTHS: Final = "January|February|March|April|May|June|July|August|September|October|November|December"
_VARIES: Final = {
    re.compile(r"\s*\.\.\.\s*"): ".*?",
    re.compile(r"\d{4}-\d\d-\d\d"): r"\d{4}-\d\d-\d\d",
    re.compile(r"\d\d:\d\d:\d\d"): r"\d\d:\d\d:\d\d",
    re.compile(rf"\d\d? (?:{_MONTHS}) \d{{4}}"): rf"\d\d? (?:{_MONTHS}) \d{{4}}",
}
_ANY_OF_THEM: Final = re.compile("|".join(f"({pattern.pattern})" for pattern in _VARIES))


@dataclass(frozen=True)
class Command:
    """A command as its readers type it, and the output that the document shows; "" if it shows none."""

    line: str
    shown: str
    place: str

    def is_answered_by(self, output: str) -> bool:
        """Whether the output is the one that is shown, wherever its lines are broken."""
        return not self.shown or re.fullmatch(_pattern(self.shown), _in_a_line(output)) is not None

    def is_in(self, log: str) -> bool:
        """Whether a log has what is shown."""
        return re.search(_pattern(self.shown), _in_a_line(log)) is not None


@dataclass(frozen=True)
class Block:
    """The commands of one block. `not_run` is the reason for which it does not run."""

    commands: tuple[Command, ...]
    not_run: str | None


def blocks_of(document: str) -> list[Block]:
    """All blocks of a document, named from the repository's root.

    Raises:
        AssertionError: a block is not as it has to be, or commands are in a block of another kind.
    """
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = []
    for fence in _FENCE.finditer(text):
        place = f"{document}:{text.count(chr(10), 0, fence.start('text')) + 1}"
        marker = _MARKER.fullmatch(fence["marker"] or "")
        if fence["language"] == "console":
            assert (marker is None) == (fence["marker"] is None), f"{place}: write <!-- not run: the reason -->"
            blocks.append(Block(_commands_of(dedent(fence["text"]), place), marker and marker["reason"]))
        elif _LOOKS_LIKE_A_COMMAND.search(fence["text"]):
            assert marker is not None, f"{place}: commands belong in a block that begins with ```console"
            blocks.append(Block((), marker["reason"]))
    return blocks


def files_of(document: str) -> dict[str, str]:
    """The files that the document's readers save, by name."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return {file["name"]: file["text"] for file in _FILE.finditer(text)}


def _commands_of(text: str, place: str) -> tuple[Command, ...]:
    document, line = place.rsplit(":", 1)
    assert text.startswith("$ "), f"{place}: the first line of a block is a command: it begins with `$ `"
    return tuple(_each_command(text.splitlines(), document, int(line)))


def _each_command(lines: list[str], document: str, first: int) -> Iterator[Command]:
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        line = _COMMENT.sub("", lines[start].removeprefix("$ "))
        yield Command(line, "\n".join(lines[start + 1 : end]).strip(), f"{document}:{first + start}")


def _in_a_line(text: str) -> str:
    return " ".join(text.split())


def _pattern(shown: str) -> str:
    parts, end, shown = [], 0, _in_a_line(shown)
    for varying in _ANY_OF_THEM.finditer(shown):
        kind = list(_VARIES.values())[(varying.lastindex or 1) - 1]
        parts += [re.escape(shown[end : varying.start()]), kind]
        end = varying.end()
    return "".join([*parts, re.escape(shown[end:])])
