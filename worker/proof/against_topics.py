"""What `connects verify --against topics` counts: what was compared, and what cannot be compared, each by its name."""

import msgspec

from worker.words.phrases import counted


class AgainstTopics(msgspec.Struct):
    """How many records and messages were compared with the ledger, and how many could not be."""

    records: int = 0
    """Records of input topics that were compared with their decisions."""
    messages: int = 0
    """Messages of wallet-updated that were compared with their changes."""
    republished: int = 0
    """Of these, messages that `connects outputs republish` published once more."""
    skipped: int = 0
    """Records that an operator had skipped with `connects positions set`."""
    earlier_incarnations: int = 0
    """Decisions on records of a topic that was recreated since."""
    below_retention: int = 0
    """Decisions on records that the topic does not have any more."""
    without_content: int = 0
    """Records whose content the ledger does not have: of batches that were too large, or of releases before 0.2.0."""
    compacted: int = 0
    """Decisions on records that a compacted topic may have lost."""
    messages_below_retention: int = 0
    """Changes whose messages the topic does not have any more."""
    in_the_outbox: int = 0
    """Changes that are not known as published."""
    hidden: int = 0
    """Changes whose messages may be behind an open transaction of another producer."""
    of_other_ledgers: int = 0
    """Messages that another ledger published."""
    replaced: int = 0
    """Events whose content plans replaced: their records say what they said first, and were compared with that."""
    not_compared: list[str] = []
    """Partitions that cannot be read, or whose log is not the one that was decided, each with the reason."""

    def in_words(self) -> str:
        """For people, in one line; what is 0 is left out."""
        left_out = {
            "skipped by `connects positions set`": self.skipped,
            "of earlier incarnations": self.earlier_incarnations,
            "below retention": self.below_retention,
            "whose content is not stored": self.without_content,
            "that compaction may have removed": self.compacted,
            "messages below retention": self.messages_below_retention,
            "still in the outbox": self.in_the_outbox,
            "behind an open transaction": self.hidden,
            "messages of other ledgers": self.of_other_ledgers,
        }
        named = [f"{count} {name}" for name, count in left_out.items() if count]
        named += self.not_compared
        rest = f" Not compared: {'; '.join(named)}." if named else ""
        records, messages = counted(self.records, "record"), counted(self.messages, "message")
        replaced = ""
        if self.replaced:
            events = counted(self.replaced, "event")
            replaced = f" {events} got other content by plans; their records were compared with what they said first."
        again = f" ({self.republished:,} of them published once more)" if self.republished else ""
        return f"Compared: {records} of input topics, {messages} of wallet-updated{again}.{replaced}{rest}"
