"""The targets, and how figures stand to them.

A figure has a bound of its own, or is held against the other server's: no slower, no less, or a share of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench_kube.figures import Figures

AT_MOST: dict[str, float] = {
    "start to ready, s": 0.84,  # a fifth of what kube-apiserver with etcd needs
    "memory when idle, MiB": 80,
    "memory after the benchmark, MiB": 120,
    "pod created to running and ready, p50 ms": 100,
    "50 pods created at once to all ready, s": 2,
    "Deployment to 100 pod objects, s": 1,
    "5000 configmaps, the last fifth as multiples of the first": 1.2,
    "1000 pods, the last fifth as multiples of the first": 1.2,
}
AT_LEAST: dict[str, float] = {"pods running at last": 200}

_COMPARED = (
    "create a",
    "get a",
    "patch a",
    "list of",
    "create of a",
    "8 writers",
    "Deployment to",
    "100 replicas",
)
_MORE_IS_BETTER = "a second"
_NOT_COMPARED = ("processor time", "answered")


@dataclass(frozen=True)
class Row:
    """One figure, of one server or of two, and what is said about it: met, MISSED or nothing."""

    name: str
    value: float
    other: float | None = None
    said: str = ""

    @property
    def ratio(self) -> float | None:
        """As multiples of the other server's."""
        return self.value / self.other if self.other else None


def judge(figures: Figures, others: Figures, ratios: Figures, *, quick: bool = False) -> list[Row]:
    """A row for each figure. `ratios` are the medians of each round's own ratio: they outlast a machine whose
    speed moves, as both sides of one are measured in one round. A quick run says too little to be judged."""
    return [
        Row(name, value, others.get(name), "" if quick else _said(name, value, ratios.get(name)))
        for name, value in figures.items()
    ]


def _said(name: str, value: float, ratio: float | None) -> str:
    words = []
    if name in AT_MOST:
        words.append(_word(value <= AT_MOST[name], f"at most {AT_MOST[name]:g}"))
    if name in AT_LEAST:
        words.append(_word(value >= AT_LEAST[name], f"at least {AT_LEAST[name]:g}"))
    if ratio is not None and name.startswith(_COMPARED) and not any(part in name for part in _NOT_COMPARED):
        more = _MORE_IS_BETTER in name
        what = f"{ratio:.2f} times the other's"
        words.append(_word(ratio >= 1 if more else ratio <= 1, what))
    return "; ".join(words)


def _word(met: bool, what: str) -> str:
    return f"{'met' if met else 'MISSED'}: {what}"
