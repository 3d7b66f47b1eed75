"""Plans compared with the commands that began, stopped and closed them."""

from worker.proof.replays_check import PlanCommand, StoredPlan, compared, expected_plans

BEGUN = PlanCommand(1, "plan-begun", "one", "ana", "lost", 3)


def test_the_first_command_names_the_plan_and_the_last_one_its_state() -> None:
    stopped, closed = (
        PlanCommand(seq, f"plan-{what}", "one", "bo", "x", None) for seq, what in ((2, "stopped"), (4, "closed"))
    )
    again = PlanCommand(3, "plan-begun", "one", "bo", "again", 3)
    states = [expected_plans([BEGUN, stopped, again, closed][:count])["one"] for count in (1, 2, 3, 4)]
    assert [one.state for one in states] == ["open", "stopped", "open", "closed"]
    assert {one._replace(state="") for one in states} == {StoredPlan(3, "ana", "lost", "", 1)}


def test_what_is_not_as_it_was_commanded_is_named() -> None:
    expected = expected_plans([BEGUN])
    assert list(compared(expected, expected)) == []
    assert list(compared({}, expected)) == ["one: the plan is missing"]
    assert list(compared(expected, {})) == ["one: the row should not be there: no command began it"]
    altered = {"one": expected["one"]._replace(why="found", state="closed")}
    assert list(compared(altered, expected)) == [
        "one: why is found, should be lost",
        "one: state is closed, should be open",
    ]
