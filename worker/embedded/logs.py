from pathlib import Path

_LARGEST_BYTES = 50_000_000
_TAIL_BYTES = 20_000


def keep_small(log: Path) -> None:
    """Set a large log aside, replacing the one that was set aside before."""
    if log.exists() and log.stat().st_size > _LARGEST_BYTES:
        log.replace(log.with_name(log.name + ".1"))


def last_line(log: Path, word: str = "") -> str | None:
    """Return the last line of the log that holds the word; None if no line does."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    return next((line.strip() for line in reversed(lines) if word in line and line.strip()), None)


def holds(log: Path, words: str) -> bool:
    """Whether the words are anywhere in the log."""
    try:
        return words in log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return False
