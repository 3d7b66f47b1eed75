"""The rules of the release that checks: what differs is a finding, and a remark if another release decided."""

import pytest

from tests.kit.bundles import Lines, checked, tampered
from tests.property.test_deciding_again import more_each_month
from tests.unit.bundle.conftest import Exported
from worker.bundle import history
from worker.release import release


def test_a_rule_that_decides_otherwise_is_a_finding_of_the_same_release(
    bundles: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    more_each_month(monkeypatch)
    found = checked(bundles.freelancer)
    (finding,) = found.findings
    assert (finding.entry, finding.seq) == ("decisions.jsonl", 18)
    assert "changes[0].delta was 10, is 11 now" in finding.detail


def test_a_rule_that_decides_otherwise_is_a_remark_if_another_release_decided(
    bundles: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "release", lambda: "9.9.9")
    found = checked(bundles.freelancer)
    assert f"What release {release()} decided, release 9.9.9 decides the same." in found.remarks
    assert (found.count, found.decided_again, found.decided_otherwise) == (0, 11, 0)
    more_each_month(monkeypatch)
    found = checked(bundles.freelancer)
    assert (found.count, found.decided_again, found.decided_otherwise) == (0, 11, 1)
    (remark,) = [remark for remark in found.remarks if "9.9.9" in remark]
    assert remark.startswith(f"Release 9.9.9 takes 1 decision of release {release()} otherwise: no fault. The first is")


def test_what_no_hash_is_over_is_compared_by_deciding_again(bundles: Exported) -> None:
    def other_end(lines: Lines) -> None:
        lines["decisions.jsonl"][0]["lots"][0]["expires_at"] = "2029-01-05T12:00:00Z"

    (finding, *_) = checked(tampered(bundles.freelancer, other_end)).findings
    assert (finding.seq, "lot f-1:1" in finding.detail) == (2, True)

    def no_charge(lines: Lines) -> None:
        for line in lines["decisions.jsonl"]:
            line["charge"] = None

    (finding, *_) = checked(tampered(bundles.freelancer, no_charge)).findings
    assert (finding.seq, "charge" in finding.detail) == (11, True)
