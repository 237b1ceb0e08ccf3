"""A worker's price list in memory: what an amount buys, looked up for every order that it confirms."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Sequence


class PriceCache:
    """Cold until `fill`; `drop` makes it cold again, and `restore` takes that back.

    The dropping and the using thread may differ.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cents: list[int] = []
        self._products: list[int] = []
        self._dropped: tuple[list[int], list[int]] = [], []

    @property
    def warm(self) -> bool:
        """Whether it holds a price list."""
        return bool(self._products)

    def fill(self, prices: Sequence[tuple[int, int]]) -> None:
        """Take over (product, price in cents), cheapest first. Raises ValueError for an empty list."""
        if not prices:
            raise ValueError("a price list has products")
        with self._lock:
            self._products, self._cents = [product for product, _ in prices], [cents for _, cents in prices]
            self._dropped = [], []

    def drop(self) -> None:
        """Use it no longer."""
        with self._lock:
            if self._products:
                self._dropped = self._products, self._cents
            self._products, self._cents = [], []

    def restore(self) -> None:
        """Use again what was dropped, unless the cache has been filled since."""
        with self._lock:
            if not self._products:
                self._products, self._cents = self._dropped

    def product(self, amount_cents: int) -> int | None:
        """The dearest product that the amount pays for, or else the cheapest; None while cold."""
        with self._lock:
            if not self._products:
                return None
            return self._products[max(0, bisect_right(self._cents, amount_cents) - 1)]
