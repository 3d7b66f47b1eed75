"""What a line drew from lots, and taking part of it off again."""

from collections.abc import Container, Sequence

from worker.domain.model import Draw, LotId


def split_draws(
    draws: Sequence[Draw], connects: int, lots: Container[LotId] | None = None
) -> tuple[list[Draw], list[Draw]]:
    """Take up to so many Connects off draws, the last ones first; returns what is left of them, and what was taken.

    Both are in the order of the draws. With `lots` only off draws on these lots.
    """
    kept, taken = list[Draw](), list[Draw]()
    for lot, drawn in reversed(draws):
        part = min(drawn, connects) if lots is None or lot.lot_id in lots else 0
        connects -= part
        if part:
            taken.append(Draw(lot, part))
        if part < drawn:
            kept.append(Draw(lot, drawn - part))
    return kept[::-1], taken[::-1]
