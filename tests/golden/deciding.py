"""Deciding the corpus with the real writer, and writing decisions down so that people can read what differs."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.kit.deciding import WALL_CLOCK, Place, deciding, ledger_at
from tests.kit.policies import later_version, policies, policy_text, with_promo_codes
from worker.domain.decisions import Subject
from worker.domain.policy import PolicyBook
from worker.domain.rule_catalogue import RULES
from worker.kafka.input.reading import RecordReader
from worker.kafka.records import InputRecord, TopicPartition
from worker.wall_clock import SimulatedClock
from worker.words.explanations import explain

FOLDER = Path(__file__).parent
CORPUS, DECISIONS = FOLDER / "corpus.jsonl", FOLDER / "decisions.jsonl"
PROMO_CODES = """
WELCOME = { percent_off = 50, charges = 2, valid_from = 2031-11-01T00:00:00Z, valid_until = 2032-07-01T00:00:00Z }
FIVEOFF = { cents_off = 500, charges = 1, valid_from = 2031-11-01T00:00:00Z, valid_until = 2032-07-01T00:00:00Z }
FREE = { percent_off = 100, charges = 1, valid_from = 2031-11-01T00:00:00Z, valid_until = 2032-07-01T00:00:00Z }
ENDED = { percent_off = 10, charges = 1, valid_from = 2031-01-01T00:00:00Z, valid_until = 2031-11-01T00:00:00Z }
"""
POLICIES = (
    policy_text()
    + later_version("2028-01-01", overdraft="decline", registration=50)
    + later_version("2029-06-01", refund_to_ending_lot="expire", late_hire="claw-back")
    + with_promo_codes(later_version("2031-11-01"), PROMO_CODES)
    + later_version("2032-04-01", late_cycle_start="after-anniversary")
)
Line = dict[str, Any]


def read_lines(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def the_policies() -> PolicyBook:
    return policies(POLICIES)


async def decide_corpus(place: Place, *, batch_size: int = 1_000, restart_every: int = 10**9) -> list[Line]:
    """Decide the corpus in an empty ledger; returns its decisions as they are written down."""
    reader = _Reader()
    read: list[InputRecord] = []
    async with deciding(place, the_policies(), batch_size=batch_size) as decides:
        for number, entry in enumerate(read_lines(CORPUS), 1):
            if "until" not in entry:
                read.append(reader.read(entry))
            if "until" in entry or number % restart_every == 0:
                await decides.decide(read)
                read = []
            if "until" in entry:
                reader.now = max(reader.now, datetime.fromisoformat(entry["until"]))
                await decides.until(reader.now)
            if number % restart_every == 0:
                await decides.commit()
                await decides.restart()
        await decides.decide(read)
        await decides.commit()
    ledger = await ledger_at(place)
    triggers = {row["seq"]: _trigger(row) for row in ledger.decisions}
    return _in_short([_written(row, reader.stories, triggers) for row in ledger.decisions])


def differences(recorded: Sequence[Line], decided: Sequence[Line]) -> list[str]:
    """The differences that a reviewer has to read, decision by decision, in words."""
    before, after = _by_trigger(recorded), _by_trigger(decided)
    found = []
    for key in sorted(before.keys() | after.keys(), key=lambda key: _place(key, before, after)):
        old, new = before.get(key), after.get(key)
        shown = f"{(new or old or {})['story']}: {key[0]}"
        if old is None:
            found.append(f"{shown}\n    is new: {_short(new)}")
        elif new is None:
            found.append(f"{shown}\n    is gone: {_short(old)}")
        elif old != new:
            names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
            found.append(
                "\n".join([shown, *(f"    {name}: {old.get(name)}\n      now: {new.get(name)}" for name in names)])
            )
    if not found and [*before] != [*after]:
        first = next(new for old, new in zip(before, after, strict=True) if old != new)
        found.append(f"the same decisions in another order, from here on: {first[0]}")
    return found


class _Reader:
    """Reads the corpus as the intake reads topics: all of a topic in one partition, business time never going back."""

    def __init__(self) -> None:
        self.now = datetime.min.replace(tzinfo=UTC)
        self.stories: dict[tuple[str, int], str] = {}
        self._reader = RecordReader(SimulatedClock(WALL_CLOCK, 0), timedelta(minutes=5))
        self._offsets: Counter[str] = Counter()
        self._running_max: dict[str, datetime] = {}

    def read(self, entry: Line) -> InputRecord:
        topic, offset = entry["topic"], self._offsets[entry["topic"]]
        self._offsets[topic] += 1
        self.stories[topic, offset] = entry["story"]
        text = entry["raw"] if "raw" in entry else json.dumps(entry["value"])
        value = None if text is None else text.encode()
        record = SimpleNamespace(offset=offset, timestamp=0, key=None, value=value, headers=())
        (read,) = self._reader.read(TopicPartition(topic, 0), 0, [record])
        if read.event is not None:
            self.now = max(self.now, read.event.occurred_at)
            self._running_max[topic] = max(self._running_max.get(topic, self.now), read.event.occurred_at)
        read.running_max = self._running_max.get(topic)
        read.business_time = self.now if self.now.year > 1 else None
        return read


def _written(row: Line, stories: dict[tuple[str, int], str], triggers: dict[int, str]) -> Line:
    """A decision without what differs from run to run: seq, batch, when it was recorded."""
    facts = {name: fact for name, fact in json.loads(row["facts"]).items() if name != "first_seq"}
    subject = Subject(row["freelancer_id"], row["job_id"], row["proposal_id"])
    return {
        "story": stories.get((row["topic"], row["offset"]), "the clock"),
        "trigger": triggers[row["seq"]],
        **({"follows": triggers[row["follows"]]} if row["follows"] else {}),
        "occurred_at": _instant(row["occurred_at"]),
        "business_time": _instant(row["business_time"]),
        "late_by_seconds": row["late_by_seconds"],
        **{name: part for name, part in subject._asdict().items() if part is not None},
        "outcome": row["outcome"],
        "reason": row["reason"],
        "rule": row["rule"],
        "policy_version": row["policy_version"],
        "facts": facts,
        "explanation": explain(row["reason"], row["outcome"], subject, facts, row["rule"]),
        "changes": [_change(change) for change in row["changes"]],
    }


def _in_short(lines: list[Line]) -> list[Line]:
    """One line at the end for all plain months of a freelancer whose membership no story is about.

    A plain month is Basic's Connects at a cycle start, or their expiry, untouched, a year later.
    """
    topics = {topic for topic, card in RULES.items() if card.then == "membership-moves"}
    told_of = {entry["value"]["freelancer_id"] for entry in read_lines(CORPUS) if entry.get("topic") in topics}
    months: dict[str, Line] = {}
    kept = []
    for line in lines:
        change = line["changes"][0] if line["changes"] else None
        if change is None or change["freelancer_id"] in told_of or (kind := _plain_month(line, change)) is None:
            kept.append(line)
            continue
        nothing: Line = {"story": "the clock", "trigger": f"plain months of {change['freelancer_id']}"}
        short = months.setdefault(change["freelancer_id"], {**nothing, "outcome": "applied", "reason": "cycle-started"})
        year, day = change["occurred_at"][:4], change["occurred_at"][5:10]
        days = short.setdefault(kind, {})
        days[year] = f"{days[year]} {day}" if year in days else day
    return [*kept, *({**month, "changes": []} for _, month in sorted(months.items()))]


def _plain_month(line: Line, change: Line) -> str | None:
    if (line["outcome"], len(line["changes"]), abs(change["delta"])) != ("applied", 1, 10):
        return None
    if line["trigger"].startswith("clock of cycle:") and line["reason"] == "cycle-started":
        return "granted 10 on"
    return "expired 10 on" if line["facts"].get("source") == "monthly" and line["reason"] == "lot-expired" else None


def _change(change: Line) -> Line:
    names = ("freelancer_id", "version", "rule", "reason", "policy_version", "delta", "debt_delta", "balance_after")
    moved = [[lot_id, "/".join(line) if line else None, delta] for lot_id, line, delta in change["movements"]]
    return {
        **{name: change[name] for name in names},
        "occurred_at": _instant(change["occurred_at"]),
        "movements": moved,
        "explanation": change["explanation"],
    }


def _trigger(row: Line) -> str:
    place = f"{row['topic']} {row['offset']}, {row['event_id']}" if row["topic"] else row["event_id"]
    about = f", proposal {row['proposal_id']}" if row["kind"] == "settlement" else ""
    return f"{row['kind']} of {place}{about}"


def _instant(at: datetime | None) -> str | None:
    return at and at.isoformat().replace("+00:00", "Z")


def _by_trigger(lines: Sequence[Line]) -> dict[tuple[str, int], Line]:
    seen: Counter[str] = Counter()
    found = {}
    for line in lines:
        found[line["trigger"], seen[line["trigger"]]] = line
        seen[line["trigger"]] += 1
    return found


def _place(key: tuple[str, int], before: dict[Any, Line], after: dict[Any, Line]) -> tuple[str, str]:
    line = after.get(key) or before[key]
    return (line.get("business_time") or "", key[0])


def _short(line: Line | None) -> str:
    assert line is not None
    changes = ", ".join(f"{change['freelancer_id']} {change['delta']:+}" for change in line["changes"])
    return f"{line['outcome']}/{line['reason']} {changes}".rstrip()
