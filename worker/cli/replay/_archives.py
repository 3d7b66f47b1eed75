"""Archives as they are typed: files, standard input, and topics."""

import re
from typing import Final

import typer

from worker.cli._values import instant, require_order
from worker.kafka.records import LARGEST_PARTITION
from worker.plain_text import plain
from worker.repair.topic_archives import SCHEME, ArchiveTopic

_TOPIC: Final = re.compile(r"([A-Za-z0-9._-]{1,249})(?:/([0-9]{1,10}))?(?:@(.*))?")
_OFFSET: Final = re.compile(r"[0-9]{1,18}")
_FORM: Final = f"{SCHEME}TOPIC[/PARTITION][@FROM..TO]"


def archive_of(option: str, text: str) -> str | ArchiveTopic:
    """What an option names to read events from: a file or `-` as it is, or a topic with what is asked for of it.

    Raises:
        typer.BadParameter: it should be a topic, and is none.
    """
    if not text.startswith(SCHEME):
        return text
    found = _TOPIC.fullmatch(text.removeprefix(SCHEME))
    if found is None or int(found[2] or 0) > LARGEST_PARTITION:
        raise typer.BadParameter(f"{option}: {plain(text)!r} is no topic. Write {_FORM}")
    archive = ArchiveTopic(found[1], None if found[2] is None else int(found[2]))
    return archive if found[3] is None else _bounded(option, archive, found[3])


def _bounded(option: str, archive: ArchiveTopic, span: str) -> ArchiveTopic:
    start, dots, end = span.partition("..")
    if not dots or not (start or end):
        raise typer.BadParameter(f"{option}: {plain(span)!r} is no span. Write {_FORM}, with instants or offsets")
    if any(_OFFSET.fullmatch(one) for one in (start, end)):
        return _of_offsets(option, archive, start, end)
    since, until = (instant(option, one or None) for one in (start, end))
    require_order(f"FROM of {option}", since, "TO", until)
    return archive._replace(since=since, until=until)


def _of_offsets(option: str, archive: ArchiveTopic, start: str, end: str) -> ArchiveTopic:
    if not all(_OFFSET.fullmatch(one) for one in (start, end) if one):
        raise typer.BadParameter(f"{option}: {plain(start)} and {plain(end)} are not both offsets, or both instants")
    if archive.partition is None:
        raise typer.BadParameter(
            f"{option}: offsets are of one partition: write {SCHEME}{archive.name}/0@{start}..{end}"
        )
    first, last = (int(one) if one else None for one in (start, end))
    if first is not None and last is not None and first > last:
        raise typer.BadParameter(f"{option}: nothing is from offset {first} to {last}: the first has to be smaller")
    return archive._replace(first=first, last=last)
