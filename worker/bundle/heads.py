"""The heads of a bundle: its own, an older one that it proves to be a beginning, and the one that its reader has."""

from typing import Final

from worker.bundle.format import BUNDLE, Bundle, Since
from worker.bundle.result import Checked, Found
from worker.ledger.merkle import is_consistent
from worker.proof.heads import Head, is_root


def compare_heads(bundle: Bundle, head: Head, given: str | None, checked: Checked) -> None:
    """Check the older head that a bundle names, and that the given one is one of them; `given` is SIZE:HEX or HEX."""
    older = [] if bundle.since is None else _proved(bundle.since, bundle, head, checked)
    if given is None:
        checked.remarks.append("The head was compared with none: pass one that you trust with --head.")
        return
    if _is(head, given):
        return
    for one in older:
        if _is(one, given):
            checked.remarks.append(f"The log of the given head, with {one.size} leaves, is the beginning of this one.")
            return
    if given.lower().removeprefix("0:") == bundle.first_leaf.chain_head:
        checked.remarks.append(_OF_CHAIN if given.strip("0:") else _OF_NOTHING)
        return
    checked.add(Found(_words(head, given), BUNDLE))


_OF_CHAIN: Final = "The given head is the last one of the hash chain of 0.1.0, which the log begins with."
_OF_NOTHING: Final = "The given head is that of an empty ledger, which every new ledger begins with: it proves nothing."


def is_head(text: str) -> bool:
    """Whether this is a head, SIZE:HEX, or the HEX of one."""
    if is_root(text):
        return True
    try:
        Head.parsed(text)
    except ValueError:
        return False
    return True


def _proved(since: Since, bundle: Bundle, head: Head, checked: Checked) -> list[Head]:
    """The older head, if its proof is right."""
    try:
        older = Head.parsed(since.head)
    except ValueError as error:
        checked.add(Found(f"its older head is not one: {error}", BUNDLE))
        return []
    proof = [bytes.fromhex(one) for one in since.proof if is_root(one)]
    if older.size == 0:
        is_beginning = not since.proof and older.root.hex() == bundle.first_leaf.chain_head
    else:
        is_beginning = len(proof) == len(since.proof) and is_consistent(older, head, proof)
    if not is_beginning:
        checked.add(Found(f"the log of its older head, {since.head}, is not the beginning of this one", BUNDLE))
    return [older] if is_beginning else []


def _is(head: Head, given: str) -> bool:
    return Head.parsed(given) == head if ":" in given else given.lower() == head.root.hex()


def _words(head: Head, given: str) -> str:
    """Why the given head is none of the bundle's."""
    size = given.partition(":")[0] if ":" in given else None
    what = f"its head is {head}, not {given}"
    if size is None or int(size) == head.size:
        return f"{what}: it is of another ledger, or of one that was rewritten"
    if int(size) < head.size:
        return f"{what}: an older head is only checked by a bundle that was exported with --since-head {given}"
    return f"{what}, which is a newer head or one of another ledger: export the bundle again"
