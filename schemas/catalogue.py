"""Every topic of the contract: its message, and the field that producers use as its key."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from schemas.inputs import INPUT_TOPICS, TOPICS
from schemas.outputs import MembershipChargeRequested, MembershipUpdated, OutputEvent, WalletUpdated

__all__ = ["INPUT_TOPICS", "KEY_FIELDS", "OUTPUT_TOPICS"]

OUTPUT_TOPICS: Final[Mapping[str, type[OutputEvent]]] = MappingProxyType(
    {
        "wallet-updated": WalletUpdated,
        "membership-updated": MembershipUpdated,
        "membership-charge-requested": MembershipChargeRequested,
    }
)

# Only the body of an input counts: its key is a producer's convention. An output's key is a promise.
KEY_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {**{topic.name: topic.key for topic in TOPICS}, **dict.fromkeys(OUTPUT_TOPICS, "freelancer_id")}
)
