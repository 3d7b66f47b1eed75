"""Every topic of the contract: its message, and the field that producers use as its key."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from schemas.base import InputEvent
from schemas.credits import ConnectsAdjusted, ConnectsPurchased
from schemas.earning import BadgeEarned, CertificationCompleted, FreelancerRegistered, InterviewWon
from schemas.jobs import HireMade, JobClosed
from schemas.memberships import (
    AccountReinstated,
    AccountSuspended,
    EarningsBalanceUpdated,
    MembershipChargeSettled,
    MembershipPlanChosen,
    PromoCodeEntered,
)
from schemas.outputs import MembershipChargeRequested, MembershipUpdated, OutputEvent, WalletUpdated
from schemas.proposals import BoostOutbid, ProposalSubmitted, ProposalWithdrawn

INPUT_TOPICS: Final[Mapping[str, type[InputEvent]]] = MappingProxyType(
    {
        "job-closed": JobClosed,
        "hire-made": HireMade,
        "interview-won": InterviewWon,
        "certification-completed": CertificationCompleted,
        "proposal-submitted": ProposalSubmitted,
        "proposal-withdrawn": ProposalWithdrawn,
        "boost-outbid": BoostOutbid,
        "freelancer-registered": FreelancerRegistered,
        "badge-earned": BadgeEarned,
        "connects-purchased": ConnectsPurchased,
        "connects-adjusted": ConnectsAdjusted,
        "membership-plan-chosen": MembershipPlanChosen,
        "promo-code-entered": PromoCodeEntered,
        "membership-charge-settled": MembershipChargeSettled,
        "earnings-balance-updated": EarningsBalanceUpdated,
        "account-suspended": AccountSuspended,
        "account-reinstated": AccountReinstated,
    }
)

OUTPUT_TOPICS: Final[Mapping[str, type[OutputEvent]]] = MappingProxyType(
    {
        "wallet-updated": WalletUpdated,
        "membership-updated": MembershipUpdated,
        "membership-charge-requested": MembershipChargeRequested,
    }
)

# Only the body of an input counts: its key is a producer's convention. An output's key is a promise.
_KEYED_BY_JOB: Final = frozenset({"job-closed", "hire-made"})
KEY_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {topic: "job_id" if topic in _KEYED_BY_JOB else "freelancer_id" for topic in (*INPUT_TOPICS, *OUTPUT_TOPICS)}
)
