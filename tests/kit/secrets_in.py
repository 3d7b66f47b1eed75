"""Whether a text holds a part of a password."""

PARTS = ("Wq7", "Zk9")
"""The two ends of the passwords of these tests: nothing else has a run of letters and digits like them."""
SHORTEST_RUN = 3


def password_with(odd: str) -> str:
    """A password with these characters in its middle."""
    return odd.join(PARTS)


def runs_of(password: str) -> set[str]:
    """Every run of three characters or more that could give a password away."""
    return {
        password[start : start + SHORTEST_RUN]
        for start in range(len(password) - SHORTEST_RUN + 1)
        if any(character.isalnum() for character in password[start : start + SHORTEST_RUN])
    }


def shown_of(password: str, text: str) -> list[str]:
    """The runs of the password that the text holds."""
    return sorted(run for run in runs_of(password) if run in text)
