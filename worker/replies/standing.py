"""The standing answers, by topic. `{name}` is a value; `[...]` is left out where one of its values is not known.

What follows as `{|...}` takes its place then. A topic whose answer depends on the plan or on a switch of the policy has
a text for each, under `topic/value`.
"""

from collections.abc import Mapping
from typing import Final

WALLET: Final[Mapping[str, str]] = {
    "expiry": (
        "Your Connects last {lifetime} from the day you got them, whether they were free, earned or bought. [Your "
        "next {next_expiry} on {next_expiry_on}, unless you use them first. ]Proposals always use the Connects that "
        "expire soonest."
    ),
    "rollover": (
        "Yes, what you do not use stays yours from month to month, and there is no limit to how many you can "
        "collect. [You have {balance} now, and {next_grant} more come on {next_on}. ]The only limit is time: each of "
        "them lasts {lifetime}[; your next {next_expiry} on {next_expiry_on}]."
    ),
    "order": (
        "A proposal uses the Connects that expire soonest, bought or free. [Your next proposal uses those of "
        "{next_expiry_on} first. ]You cannot choose which ones."
    ),
    "buying": (
        "Connects that you buy are added to the ones you have and last {lifetime}, on any plan. [You have {bought} "
        "left of those you bought on {bought_on}, until {bought_until}. ]There is no limit to how many you can hold."
    ),
    "overdrawn": (
        "A proposal counts even if your wallet is short, so a balance can be below zero[; yours is {below_zero}]. The "
        "next Connects that come in pay for that first. [Your next {next_grant} come on {next_on}.]"
    ),
    "overdrawn/decline": (
        "A proposal needs enough Connects in your wallet: one that costs more than you have is not counted. [You "
        "have {balance} now. ]Nothing is taken then, and a balance is never below zero."
    ),
    "charged-twice": (
        "A proposal is charged once, even if it is reported twice. [Yours for {job} cost {spent}: {base} for the "
        "proposal and {boost} for its boost. ]A proposal and its boost are one payment."
    ),
    "transfer": (
        "Connects cannot be given, lent or moved to anybody else, nor between you and an agency. [Your {balance} "
        "stay in your wallet until you use them or they expire. ]An agency has a wallet of its own."
    ),
    "cash": "Connects are not money and cannot be exchanged for cash or paid out. They are for proposals.",
    "courtesy": (
        "Support can add Connects for you in single cases, and every such change has a name and a reason on file. "
        "There is no rule that makes them due."
    ),
}
PLANS: Final[Mapping[str, str]] = {
    "free-plan": (
        "Basic costs nothing and brings {basic} Connects in each monthly cycle[; your next {basic_next} come on "
        "{next_on}]. They add up without limit and last {lifetime} each. What you earn or buy comes on top."
    ),
    "monthly-day": (
        "Basic brings {basic} Connects in each cycle, shortly after 00:00 UTC of the day on which it begins: that is "
        "the day you registered on, or the one your cycle last restarted on; a 29th, 30th or 31st becomes the 1st. "
        "Plus brings {plus} when the {price} asked on the renewal day is paid, as a rule within 24 hours: {paid} that "
        "you pay for and the {free} free ones; there is no separate {free}."
    ),
    "monthly-day/basic": (
        "Your {basic} Connects come once a month, on the day your cycle begins, shortly after 00:00 UTC[: for you "
        "that is the {cycle_day}, next on {next_on}]. That day is the one you registered on, or the one your cycle "
        "last restarted on; a 29th, 30th or 31st becomes the 1st."
    ),
    "monthly-day/plus": (
        "Your renewal day is the day your Plus cycle began[: the {cycle_day}, next on {next_on}]. {price} is asked "
        "that day, and your {plus} Connects come when it is paid, as a rule within 24 hours. The {plus} are {paid} "
        "that you pay for and the {free} free ones; there is no separate {free}."
    ),
    "late/basic": (
        "On Basic your {basic} Connects come once in each cycle, shortly after 00:00 UTC of the day on which it "
        "begins[; your next {basic_next} come on {next_on}]."
    ),
    "late/plus": (
        "On Plus your {plus} Connects come when the charge of the renewal day is paid, as a rule within 24 hours[; "
        "your next renewal is on {renewal_on}]."
    ),
    "month-end": (
        "The 28th is the last monthly renewal day: a cycle that begins later in a month is renewed on the 1st of the "
        "next one, and on the 1st from then on. [Your next cycle begins on {next_on}. ]Each renewal brings the full "
        "amount."
    ),
    "month-end/after-anniversary": (
        "The 28th is the last monthly renewal day: a cycle that begins later in a month is renewed on the 1st one "
        "month later, and on the 1st from then on. [Your next cycle begins on {next_on}. ]Each renewal brings the "
        "full amount."
    ),
    "billing-date": (
        "Choose Basic before [{renewal_on}]{|your renewal day}, then choose Plus again on that day or later: your "
        "new cycle begins on the day you choose it, once it is paid. If you choose Plus again before that day, that "
        "only cancels the change[ and your day stays the {cycle_day}]."
    ),
    "leaving-plus/basic": (
        "You are on Basic, which costs nothing and brings {basic} Connects in each cycle[; your next {basic_next} come "
        "on {next_on}]. Your {balance} Connects and your cycle day stay as they are. You can choose Plus at any time."
    ),
    "leaving-plus/chosen": (
        "You keep Plus until then and are not charged again. Your {balance} Connects and your cycle day stay; after "
        "that you get {basic} each cycle."
    ),
    "leaving-plus/plus": (
        "Choose Basic before 00:00 UTC on [{renewal_on}]{|your renewal day}: you keep Plus until then and are not "
        "charged again. On that day or later, the renewal stands and Plus ends [on {after_next_on}]{|one cycle "
        "later}. Your [{balance} ]Connects and your cycle day stay; from then on you get {basic} each cycle."
    ),
    "upgrade-amount": (
        "An upgrade brings all {paid} paid Connects, and of the {free} free ones the share of your Basic cycle that "
        "has passed, rounded down[: {days} of {length} days, so {prorated}]. From the next renewal on you get the "
        "full {plus} each cycle[, next on {renewal_on}]."
    ),
    "split-payment": (
        "No, each charge is taken whole from one place: from your earnings if they cover the full {price}, else from "
        "your payment method. [Your last one was asked of {source} on {asked_on}.]"
    ),
    "failed-payment": (
        "If a renewal cannot be paid you are on Basic at once, with Basic's {basic} Connects for that cycle. We do not "
        "try again, except once with your payment method if your earnings were asked first. If an upgrade cannot be "
        "paid, you stay on Basic. You can choose Plus again at any time."
    ),
    "paid-late": (
        "A renewal that is not paid before the next cycle begins ends Plus. If it is paid after all, its {plus} "
        "Connects come in that day and your plan stays as it is."
    ),
    "promo": (
        "A code that you give when you choose Plus counts for that charge; a code that you enter as a member counts "
        "for the next one[, on {renewal_on}]. Each code counts once for each person, for a fixed number of charges, "
        "and only between its dates."
    ),
    "suspension/basic": (
        "While your account is suspended, a cycle that begins brings no monthly Connects, and they are not made up "
        "later. Everything else goes on: refunds, rewards, and the Connects you have."
    ),
    "suspension/plus": (
        "While your account is suspended, a cycle that begins brings no monthly Connects, and they are not made up "
        "later. Everything else goes on: refunds, rewards, and the Connects you have. Plus ends with the running "
        "cycle[, on {renewal_on},] and is not charged again, unless the suspension is lifted before."
    ),
    "suspension/billing-method": (
        "While your billing method is suspended, nothing is charged. Your Connects, refunds and rewards go on as ever. "
        "Plus ends with the running cycle[, on {renewal_on}], unless the suspension is lifted before."
    ),
    "new-account": (
        "Every new account gets {registration} Connects once, on the day it registers. [You have {registered} left of "
        "yours, until {registered_until}. ]The monthly {basic} begin one cycle later[; your next "
        "{basic_next} come on {next_on}]."
    ),
}
PROPOSALS: Final[Mapping[str, str]] = {
    "refunds": (
        "Only the end of the job decides. If the client closes it without hiring, or the marketplace removes it with "
        "nobody hired, all Connects come back, boost included. If somebody was hired, if the job expires, or if you "
        "withdrew before, none do."
    ),
    "several": (
        "Each job is judged by itself. If the client closes it without hiring, or the marketplace removes it with "
        "nobody hired, its Connects come back."
    ),
    "declined": (
        "Being declined or not chosen decides nothing about your Connects: only the end of the job counts. "
        "[{open_job} is still open, so your {still} of {spent_on} can still come back. ]Connects come back if the "
        "client closes the job without hiring, or the marketplace removes it with nobody hired."
    ),
    "silence": (
        "There is no number of days after which Connects come back: a silent client or an unread proposal changes "
        "nothing. [Your {still} for {open_job} have been undecided since {spent_on}. ]What counts is how the job "
        "ends."
    ),
    "archived": (
        "Archiving a proposal changes nothing about its Connects; only the end of the job does. [Your {still} for "
        "{open_job} are still undecided.]"
    ),
    "expired": (
        "An expired job is one that the client never closed, and it returns nothing, even if nobody was hired. "
        "[{job} expired on {expired_on}. ]If it is reopened and the client then closes it without hiring, your "
        "Connects do come back."
    ),
    "hired": (
        "If anybody was hired before the job was closed, the Connects of all applicants stay spent, also of those "
        "who were interviewed. [{job}: a hire on {hired_on}, closed on {closed_on}. ]Only a hire that was reported to "
        "us counts."
    ),
    "contract-cancelled": (
        "A contract that is cancelled before it starts still counts as a hire, so nothing comes back. An offer that "
        "you or somebody else declined does not count."
    ),
    "removed": (
        "If the marketplace removes a job and nobody had been hired, all Connects come back by themselves to "
        "everybody who had not withdrawn. You do not have to ask or to prove anything."
    ),
    "withdrawn": (
        "Withdrawing a proposal never returns its Connects, whatever the reason, and the end of the job does not "
        "either after that. [You withdrew on {withdrawn_on}. ]A new proposal costs its own Connects and is judged by "
        "itself."
    ),
    "reopened": (
        "A job that is reopened is judged again when it closes again. Connects that came back once are not returned "
        "to you a second time."
    ),
    "twin-jobs": (
        "Two posts are two jobs, even with the same text: each is judged by its own end. Connects come back if the "
        "client closes that job without hiring, or the marketplace removes it with nobody hired."
    ),
    "refund-time": (
        "You get a refund as soon as we know how the job ended, usually within minutes, and it is dated on the closing "
        "day. Refunded Connects keep their expiry date; if that was less than {ending_days} days away, they last "
        "{grace_days} days from the refund."
    ),
    "refund-time/expire": (
        "You get a refund as soon as we know how the job ended, usually within minutes, and it is dated on the closing "
        "day. Refunded Connects keep their expiry date, also if it is near or over."
    ),
    "refund-meaning": (
        "A refund says nothing about you or your proposal. Everybody who applied and had not withdrawn got theirs back."
    ),
    "boosts": (
        "[You paid {boost} for the boost on top of {base}. ]A boost comes back if you are outbid before the client "
        "does anything with your proposal; after that it stays spent. If the job ends without a hire, closed by the "
        "client or removed, both parts come back."
    ),
    "agencies": (
        "An agency has a wallet of its own, and a proposal is paid from the wallet it was sent with. Refunds go back "
        "to that wallet, and an interview pays the account that it is reported for. Connects cannot be moved between "
        "the two."
    ),
}
REWARDS: Final[Mapping[str, str]] = {
    "interviews": (
        "An interview that you win with a proposal brings Connects once for each job: {tiers}. It counts if the "
        "client had hired and paid somebody before."
    ),
    "weekly-limit": (
        "Interviews bring at most {cap} Connects in any {cap_days}, and an interview above that is not paid later by "
        "itself. [You had {had} in that time, so there is room for {room} now.]"
    ),
    "established-client": (
        "An interview brings Connects only if the client had hired and paid somebody before. A client who has never "
        "hired or paid brings none."
    ),
    "invitations": (
        "Answering an invitation is free, so there is nothing to return. An interview that comes from an invitation "
        "brings no Connects; one that you win with your own proposal does."
    ),
    "badges": (
        "{badges} the first time you earn it. Losing it takes nothing away, and earning it again brings nothing. "
        "Other badges bring none."
    ),
    "certifications": (
        "A skill certification brings you {certification} Connects, once for each. A learning path, for example Upwork "
        "101, brings none."
    ),
}
ELSEWHERE: Final[Mapping[str, str]] = {
    "job-cost": "How many Connects a job costs is not decided by your Connects account; the job's page shows it.",
    "price": (
        "What a Connect costs, and how many you can buy at once, is not decided by your Connects account; the "
        "billing team can tell you."
    ),
    "money-back": (
        "Money back for a purchase or a Plus charge is not decided by your Connects account; the billing team can "
        "tell you."
    ),
    "card-refused": "Why a card was refused is not known to your Connects account; the billing team can tell you.",
    "annual-plan": "There are two plans, Basic and Plus, both by the month. Others are not offered.",
    "ad-credits": "Ad credits are not decided by your Connects account; the advertising team can tell you.",
    "badge-award": (
        "When a badge is awarded or taken is not decided by your Connects account; the talent team can tell you."
    ),
    "profile": (
        "Profile visibility and private jobs are not decided by your Connects account; the talent team can tell you."
    ),
}
TEXTS: Final[Mapping[str, str]] = {**WALLET, **PLANS, **PROPOSALS, **REWARDS, **ELSEWHERE}
TOPICS: Final = tuple(dict.fromkeys(name.partition("/")[0] for name in TEXTS))
"""Every topic, in the order of a list."""
