"""Every command, with its line in the list. `connects topics create` is the function `command` of topics/create.py."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Entry(NamedTuple):
    """A command, or a group of them: `words` are its line in the list of commands."""

    words: str
    commands: "Mapping[str, Entry]" = MappingProxyType({})
    needs_local: bool = False
    """Whether it needs the extra `local`, which a production install does not have."""


def _group(words: str, *, needs_local: bool = False, **commands: str) -> Entry:
    entries = {name.replace("_", "-"): Entry(line) for name, line in commands.items()}
    return Entry(words, MappingProxyType(entries), needs_local=needs_local)


COMMANDS: Final[Mapping[str, Entry]] = MappingProxyType(
    {
        "run": Entry("Work: lead the ledger, or stand by to take over."),
        "demo": Entry("Watch it work: questions answered, then a marketplace, live.", needs_local=True),
        "migrate": Entry("Upgrade the database schema to this release."),
        "settings": Entry("Print every setting, secrets masked."),
        "doctor": Entry("Look at everything that a worker needs, and say what is wrong."),
        "history": Entry("Show a wallet: balance, lots, membership and every change."),
        "explain": Entry("Answer what became of Connects and why, in words to paste."),
        "answer": Entry("Print the rule behind a question: expiry, refunds, why 73."),
        "console": Entry("Serve pages for support agents, and the same as JSON."),
        "status": Entry("Show how the ledger and its workers are."),
        "verify": Entry("Check that the ledger is what was written, and print its head."),
        "balances": Entry("Add up what all wallets hold, now or at another time."),
        "owed": Entry("Compare what closures owe with what was returned."),
        "log": _group(
            "The record of what was decided.",
            find="List the decisions that match what is known of them.",
            releases="Show which release decided from where to where.",
            export="Write all decisions as JSON lines, for a data warehouse.",
        ),
        "bundle": _group(
            "Proofs of decisions, in a file that needs no ledger to be checked.",
            export="Write what was decided about a freelancer, an event or a job, with proofs.",
            check="Check such a file: hashes, proofs, completeness, the rules.",
        ),
        "local": _group(
            "A real Kafka and a real PostgreSQL on 127.0.0.1, without containers.",
            needs_local=True,
            up="Start both unless they run, and print their addresses.",
            down="Stop both in order.",
            status="Show whether both run.",
        ),
        "topics": _group(
            "The topics that the worker reads and writes.",
            create="Create the output topics that do not exist yet.",
        ),
        "parked": _group(
            "Wallets and jobs stopped by a failure.",
            list="List what is stopped, why, and how much waits.",
            release="Decide what waits behind a stopped wallet or job.",
        ),
        "positions": _group(
            "Where reading goes on.",
            list="List the next offset to decide of every input partition.",
            set="Set where reading of a partition goes on.",
            hold="Decide nothing of a topic or a partition until it is resumed.",
            resume="Go on with what is on hold, where it stopped.",
        ),
        "replay": _group(
            "Repair: add, void, settle or decide again, as a plan to read first.",
            plan="Decide what a repair would bring, and write that as a plan.",
            show="Show what a plan brings, in numbers or for one wallet.",
            apply="Have the active worker carry out a plan.",
            status="Show which plans were begun, and what became of them.",
            log="List the plans that were ever applied, with when, by whom and why.",
            stop="Take no further chunk of a plan.",
            undo="Decide what reversing a plan would bring, and write that as a plan.",
        ),
        "relay": _group(
            "What was published.",
            show="Compare the ledger with Kafka's marker of what was published.",
            adopt="Go on after the database was restored from a backup.",
        ),
        "outputs": _group(
            "What consumers read.",
            republish="Publish messages of wallet-updated once more, as they were.",
        ),
        "dead-letters": _group(
            "Records that can never be decided.",
            list="List the last dead letters, newest first.",
            show="Show one dead letter with its key, headers and value.",
            export="Write dead letters as lines to mend, and to add by a plan.",
            redrive="Put dead letters before the worker again, as they came.",
        ),
        "schemas": _group(
            "The contract's messages, as JSON Schema.",
            export="Write one JSON Schema for each topic.",
            check="Compare a folder with what `export` would write.",
            catalogue="Print the event catalogue as Markdown.",
        ),
        "policy": _group(
            "What is granted, charged and given back.",
            show="Show the policy version in force now, or at another time.",
            check="Check that a policy file can be used.",
            what_if="Show what another policy would have given.",
        ),
    }
)
