"""Text of others is shown in the line it belongs to, and steers no terminal."""

import pytest

from worker.plain_text import plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SAVE 50% [bold]été[/bold]", "SAVE 50% [bold]été[/bold]"),
        ("\x1b[2J", "\\x1b[2J"),
        ("X\nPaid: 500 Connects granted", "X\\nPaid: 500 Connects granted"),
        ("X\u2028Y\u2029Z", "X\\u2028Y\\u2029Z"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
    ],
)
def test_what_would_steer_a_terminal_or_begin_a_line_is_spelled_out(text: str, shown: str) -> None:
    assert plain(text) == shown
