"""Files that are not bundles, or are damaged, huge or of another format; and heads of other ledgers."""

import os
import struct
import zipfile
from pathlib import Path

import pytest

from tests.kit.bundles import checked, lines_of, tampered
from tests.unit.bundle.conftest import Exported
from worker.bundle import archive
from worker.bundle.format import ENTRIES
from worker.errors import UsageError


@pytest.mark.parametrize("content", [b"", b"PK", b"a text\n", b"\0" * 100_000])
def test_what_is_not_a_bundle_is_wrong_use(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.bundle"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"is not a bundle\. `connects bundle export` writes one"):
        checked(path)


def test_a_pipe_is_wrong_use() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(UsageError, match="is a pipe, and a bundle is read twice"):
            checked(Path(f"/dev/fd/{reading}"))
    finally:
        os.close(reading)
        os.close(writing)


def test_a_bundle_that_is_cut_short_anywhere_is_found(bundles: Exported, tmp_path: Path) -> None:
    whole, path = bundles.job.read_bytes(), tmp_path / "cut.bundle"
    for length in (*range(4, len(whole), len(whole) // 40), *range(len(whole) - 100, len(whole))):
        path.write_bytes(whole[:length])
        (finding,) = checked(path).findings
        assert "cut short" in finding.detail
    path.write_bytes(whole + b"\n")
    assert checked(path).count


def test_another_archive_is_found(tmp_path: Path) -> None:
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w") as other:
        other.writestr("page.txt", "a page")
    assert "its end is not that of a bundle" in checked(path).findings[0].detail


@pytest.mark.parametrize(
    ("names", "compression", "words"),
    [
        (ENTRIES[1:], zipfile.ZIP_STORED, "its list of entries is not that of a bundle, which has 5"),
        ((*ENTRIES, "more"), zipfile.ZIP_STORED, "its list of entries is not that of a bundle, which has 5"),
        ((*ENTRIES[:4], "../bundle.json"), zipfile.ZIP_STORED, "its entries are not those of a bundle"),
        (ENTRIES[::-1], zipfile.ZIP_STORED, "its entries are not those of a bundle"),
        (ENTRIES, zipfile.ZIP_DEFLATED, "it is compressed, which no entry of a bundle is"),
        (ENTRIES, zipfile.ZIP_LZMA, "it is compressed, which no entry of a bundle is"),
    ],
)
def test_nothing_of_another_archive_is_expanded(
    tmp_path: Path, names: tuple[str, ...], compression: int, words: str
) -> None:
    """Ten megabytes of zeros are some kilobytes when they are compressed: not one of them is read."""
    path = tmp_path / "bomb.bundle"
    with zipfile.ZipFile(path, "w", compression) as made:
        for name in names:
            made.writestr(name, bytes(10_000_000 if compression != zipfile.ZIP_STORED else 10))
        made.comment = b"0" * 64
    (finding,) = checked(path).findings
    assert words in finding.detail


def test_entries_that_lie_on_one_another_are_not_read(bundles: Exported, tmp_path: Path) -> None:
    """A small file whose list of entries names the same bytes again and again."""
    whole = bytearray(bundles.job.read_bytes())
    end = len(whole) - 64 - 22
    place = struct.unpack_from("<I", whole, end + 16)[0]
    for _ in ENTRIES:
        struct.pack_into("<2I", whole, place + 20, 2**31, 2**31)
        name, extra, comment = struct.unpack_from("<3H", whole, place + 28)
        place += 46 + name + extra + comment
    path = tmp_path / "overlapping.bundle"
    path.write_bytes(whole)
    assert "its entries are said to be larger than the file is" in checked(path).findings[0].detail


def test_a_line_without_an_end_is_not_kept_in_memory(bundles: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "LONGEST_LINE", 200)
    assert "is longer than a line of a bundle can be" in checked(bundles.job).findings[0].detail


@pytest.mark.parametrize("text", ["[" * 100_000, "{}", "null", "1e999", '{"format": 1}', "\ud800"])
def test_lines_that_are_no_values_of_a_bundle_are_found(bundles: Exported, text: str) -> None:
    for entry in ("decisions.jsonl", "batches.jsonl", "bundle.json", "page.txt"):
        whole = bundles.job.read_bytes()
        line = whole[whole.index(entry.encode()) :].partition(b"\n")[0]
        start = whole.index(line) + len(entry) + 20  # behind the entry's name and its other sizes
        raw = text.encode("utf-8", "surrogatepass")[: len(line) - len(entry) - 20]
        path = bundles.job.with_name("other-lines.bundle")
        path.write_bytes(whole[:start] + raw + whole[start + len(raw) :])
        assert checked(path).count


def test_a_later_format_names_the_release_that_can_check_it(bundles: Exported) -> None:
    later = tampered(bundles.job, lambda lines: lines["bundle.json"][0].update(format=2, exported_by="0.9.0"))
    with pytest.raises(UsageError, match=r"has format 2, and this release knows 1: check it with release 0\.9\.0"):
        checked(later)


def test_a_bundle_of_another_release_is_checked_but_for_its_page(bundles: Exported) -> None:
    other = tampered(bundles.freelancer, lambda lines: lines["bundle.json"][0].update(exported_by="0.2.9"))
    found = checked(other)
    assert found.findings == []
    assert any("The page was written by another release" in remark for remark in found.remarks)


def test_heads_that_are_its_own_or_proved_are_accepted(bundles: Exported) -> None:
    head, first = bundles.bundles["freelancer"].head, bundles.heads[0]
    accepted = {head: None, head.partition(":")[2]: None, str(first): "is the beginning of this one"}
    accepted |= {first.root.hex().upper(): "is the beginning of this one", "0" * 64: "that of an empty ledger"}
    accepted |= {f"0{head}": None, f"0:{'0' * 64}": "that of an empty ledger"}
    for given, words in accepted.items():
        found = checked(bundles.freelancer, given)
        assert found.findings == [], given
        assert words is None or any(words in remark for remark in found.remarks), (given, found.remarks)
    assert any("compared with none" in remark for remark in checked(bundles.freelancer).remarks)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (26, "it is of another ledger, or of one that was rewritten"),
        (3, "an older head is only checked by a bundle that was exported with --since-head 3:"),
        (999, "which is a newer head or one of another ledger: export the bundle again"),
    ],
)
def test_other_heads_are_one_finding_that_says_why(bundles: Exported, size: int, words: str) -> None:
    assert bundles.heads[-1].size == 26
    (finding,) = checked(bundles.freelancer, f"{size}:{'a' * 64}").findings
    assert words in finding.detail
    (finding,) = checked(bundles.freelancer, "a" * 64).findings
    assert "it is of another ledger, or of one that was rewritten" in finding.detail


def test_an_older_head_is_accepted_only_with_its_proof(bundles: Exported) -> None:
    later = bundles.heads[2]
    (finding,) = checked(bundles.freelancer, str(later)).findings
    assert "exported with --since-head" in finding.detail

    def claim(lines: dict[str, list[dict[str, dict[str, str]]]]) -> None:
        lines["bundle.json"][0]["since"]["head"] = str(later)

    found = checked(tampered(bundles.freelancer, claim), str(later))
    assert "is not the beginning of this one" in found.findings[0].detail
    assert lines_of(bundles.freelancer)["bundle.json"][0]["since"]["head"] == str(bundles.heads[0])
