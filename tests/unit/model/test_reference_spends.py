from tests.model.story import DAY, Decided, adjusted, bought, outbid, policy_with, proposed, registered, withdrawn


def test_a_proposal_costs_its_base_and_its_boost() -> None:
    decided = Decided(registered(0), proposed(1, "p-1", 12, 5))
    assert decided.answers("proposal-submitted") == ["applied/proposal-submitted"]
    assert decided.balance() == 23


def test_a_second_event_about_the_same_proposal_costs_nothing() -> None:
    decided = Decided(
        registered(0), proposed(1, "p-1", 12), proposed(2, "p-1", 12), proposed(3, "p-1", 9, who="f-2", job="j-2")
    )
    assert decided.answers("proposal-submitted")[1:] == ["declined/already-spent"] * 2
    assert (decided.balance(), decided.balance("f-2")) == (28, 0)


def test_a_proposal_from_an_invitation_is_free_whatever_its_fields_say() -> None:
    decided = Decided(registered(0), proposed(1, "p-1", 12, 5, origin="invite"), proposed(2, "p-1", 12))
    assert decided.answers("proposal-submitted") == ["recorded/free-from-invitation", "declined/already-spent"]
    assert decided.balance() == 40


def test_a_proposal_for_nothing_is_recorded() -> None:
    assert Decided(proposed(0, "p-1", 0)).answers("proposal-submitted") == ["recorded/cost-nothing"]


def test_what_expires_first_is_drawn_first_and_the_base_before_the_boost() -> None:
    decided = Decided(bought(DAY, "b-2", 10), bought(0, "b-1", 10), proposed(2 * DAY, "p-1", 12, 5))
    assert decided.changes[-1]["movements"] == [("f-1:2", None, -10), ("f-1:1", None, -2), ("f-1:1", None, -5)]
    assert decided.left() == {"f-1:1": 3}


def test_lots_of_one_age_are_drawn_by_their_ids() -> None:
    decided = Decided(registered(0), adjusted(0, "a-1", 5), proposed(1, "p-1", 6))
    assert decided.changes[-1]["movements"] == [("f-1:1", None, -5), ("f-1:2", None, -1)]


def test_an_expired_lot_is_not_drawn_even_before_its_expiry_is_booked() -> None:
    decided = Decided(bought(0, "b-0", 40), proposed(365 * DAY, "p-1", 5))
    assert decided.changes[1]["movements"] == [(None, ("p-1", "base"), -5)]
    assert decided.balance() == -5


def test_what_no_lot_covers_becomes_a_debt() -> None:
    decided = Decided(bought(0, "b-1", 10), proposed(1, "p-1", 12, 5))
    spent = decided.changes[-1]
    assert spent["movements"] == [("f-1:1", None, -10), (None, ("p-1", "base"), -2), (None, ("p-1", "boost"), -5)]
    assert (spent["delta"], spent["debt_delta"], spent["balance_after"]) == (-17, 7, -7)


def test_a_credit_enters_whole_and_then_pays_the_oldest_line_first() -> None:
    decided = Decided(proposed(0, "p-2", 3, 2), proposed(1, "p-1", 4), bought(2, "b-1", 6))
    credit = decided.changes[-1]
    assert credit["movements"] == [
        ("f-1:3", None, 6),
        ("f-1:3", None, -3),
        (None, ("p-2", "base"), 3),
        ("f-1:3", None, -2),
        (None, ("p-2", "boost"), 2),
        ("f-1:3", None, -1),
        (None, ("p-1", "base"), 1),
    ]
    assert (credit["delta"], credit["debt_delta"], credit["balance_after"]) == (6, -6, -3)
    assert decided.left() == {}


def test_the_age_of_a_debt_is_that_of_its_spend_not_of_its_arrival() -> None:
    decided = Decided(proposed(10, "p-1", 4), proposed(5, "p-2", 4), bought(20, "b-1", 5))
    assert decided.changes[-1]["movements"][2:] == [
        (None, ("p-2", "base"), 4),
        ("f-1:3", None, -1),
        (None, ("p-1", "base"), 1),
    ]


def test_where_policy_declines_overdrafts_nothing_is_spent_and_the_proposal_may_come_again() -> None:
    policy = policy_with(overdraft="decline")
    decided = Decided(
        proposed(0, "p-1", 12),
        outbid(1, "p-1"),
        registered(2),
        proposed(3, "p-1", 12, 5),
        proposed(4, "p-2", 29),
        policy=policy,
    )
    assert decided.answers("proposal-submitted") == [
        "declined/insufficient-balance",
        "applied/proposal-submitted",
        "declined/insufficient-balance",
    ]
    assert decided.answers("boost-outbid") == ["recorded/unknown-proposal"]
    assert decided.answers("boost-outbid", "follow-up") == ["applied/boost-outbid"]
    assert decided.balance() == 28


def test_an_outbid_returns_the_boost_alone_and_once() -> None:
    decided = Decided(registered(0), proposed(1, "p-1", 12, 5), outbid(2, "p-1"), outbid(3, "p-1"))
    assert decided.answers("boost-outbid") == ["applied/boost-outbid", "declined/already-refunded"]
    assert decided.changes[-1]["rule"] == "refund.boost-outbid"
    assert decided.balance() == 28


def test_an_outbid_of_a_proposal_without_boost_returns_nothing() -> None:
    decided = Decided(registered(0), proposed(1, "p-1", 12), outbid(2, "p-1"))
    assert decided.answers("boost-outbid") == ["declined/no-boost"]


def test_an_outbid_read_before_its_proposal_counts_when_that_arrives() -> None:
    decided = Decided(registered(0), outbid(1, "p-1"), outbid(2, "p-1"), proposed(60, "p-1", 12, 5))
    assert decided.answers("boost-outbid") == ["recorded/unknown-proposal"] * 2
    followed = decided.of("follow-up")
    assert decided.answers("boost-outbid", "follow-up") == ["applied/boost-outbid", "declined/already-refunded"]
    assert [row["follows"] for row in followed] == [row["seq"] for row in decided.of("first", "boost-outbid")]
    assert followed[0]["seq"] == decided.of("first", "proposal-submitted")[0]["seq"] + 1
    assert followed[0]["changes"][0]["occurred_at"] == decided.of("first", "boost-outbid")[0]["occurred_at"]
    assert decided.balance() == 28


def test_an_outbid_that_waited_for_somebody_elses_proposal_has_no_effect() -> None:
    decided = Decided(outbid(0, "p-1", who="f-2"), proposed(1, "p-1", 12, 5))
    assert decided.answers("boost-outbid", "follow-up") == ["recorded/proposal-mismatch"]


def test_a_withdrawal_or_outbid_naming_another_freelancer_or_job_has_no_effect() -> None:
    decided = Decided(
        proposed(0, "p-1", 1, 1),
        outbid(1, "p-1", who="f-2"),
        outbid(2, "p-1", job="j-2"),
        withdrawn(1, "p-1", who="f-2"),
        withdrawn(2, "p-1", job="j-2"),
    )
    assert decided.answers("boost-outbid") == ["recorded/proposal-mismatch"] * 2
    assert decided.answers("proposal-withdrawn") == ["recorded/proposal-mismatch"] * 2
    assert decided.balance() == -2


def test_a_wallet_opens_at_zero_with_the_first_event_that_names_the_freelancer() -> None:
    decided = Decided(withdrawn(0, "p-1", who="f-7"))
    assert decided.driver.model.state.wallets["f-7"].version == 0
    assert decided.balance("f-7") == 0
