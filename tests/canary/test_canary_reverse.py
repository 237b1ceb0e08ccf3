"""Taking many changes of one object back, with other people's changes in between: properties."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lab.canary.reverse import plan_object
from lab.canary.undo import Change, Kind, Target

TARGET = Target("", "configmaps", "shop", "x")
STEP = st.tuples(st.booleans(), st.sampled_from("abc"), st.none() | st.integers(0, 2))
START = st.dictionaries(st.sampled_from("abc"), st.integers(0, 2), max_size=3)


def obj(data: dict[str, int]) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": "x", "uid": "u"}, "data": dict(data)}


def written(data: dict[str, int], key: str, value: int | None) -> dict[str, int]:
    return {k: v for k, v in (data | {key: value}).items() if v is not None}  # type: ignore[dict-item]


def story(start: dict[str, int], steps: list[tuple[bool, str, int | None]]):
    """The changes of the automation and the end. There is always one, of a key that nothing else touches."""
    data, changes = dict(start), []
    for seq, (automation, key, value) in enumerate([(True, "z", 0), *steps], 1):
        after = written(data, key, value)
        if automation and after != data:
            images = {"before": obj(data), "after": obj(after), "image": obj(data)}
            changes.append(Change(seq, "2030-01-01T00:00:00Z", "patch", TARGET, Kind.MODIFIED, **images))
        data = after
    return changes, data


def expected(changes: list[Change], end: dict[str, int], key: str) -> int | None:
    """By the book: as at the start, or as others set it in between; and as it is when others spoke last."""
    seen = [((c.before or {})["data"].get(key), (c.after or {})["data"].get(key)) for c in changes]
    base = seen[0][0]
    for (_, left), (found, _) in pairwise(seen):
        if found != left:
            base = found
    return base if end.get(key) == seen[-1][1] else end.get(key)


@given(START, st.lists(STEP, max_size=12))
def test_every_field_is_as_before_the_automation_or_as_others_set_it(start, steps):
    changes, end = story(start, steps)
    made = plan_object(obj(end), changes[::-1]).to_be
    assert made is not None
    assert {key: made["data"].get(key) for key in "abcz"} == {
        key: expected(changes, end, key) for key in "abcz"
    }


@given(START, st.lists(STEP, max_size=12))
def test_what_nobody_else_touched_is_exactly_as_at_the_start(start, steps):
    changes, end = story(start, [(True, key, value) for _, key, value in steps])
    work = plan_object(obj(end), changes[::-1])
    assert work.to_be == obj(start)
    assert work.conflicts == []


@given(START, st.lists(STEP, max_size=12))
def test_twice_is_once(start, steps):
    changes, end = story(start, steps)
    once = plan_object(obj(end), changes[::-1])
    again = plan_object(once.to_be, changes[::-1])
    assert again.to_be == once.to_be
    assert again.fields == []
    assert again.conflicts == once.conflicts


def test_a_scale_between_other_changes_is_taken_back_with_them():
    def whole(replicas: int, image: str) -> dict[str, Any]:
        return {"metadata": {"uid": "u"}, "spec": {"replicas": replicas, "image": image}}

    def change(seq: int, before: Any, after: Any, partial: bool = False) -> Change:
        image = {"metadata": {"uid": "u"}}
        more = {"before": before, "after": after, "image": image, "partial": partial}
        return Change(seq, "2030-01-01T00:00:00Z", "patch", TARGET, Kind.MODIFIED, **more)

    def scale(replicas: int) -> dict[str, Any]:
        return {"spec": {"replicas": replicas}}

    for steps in (
        [change(1, whole(3, "a"), whole(3, "b")), change(2, scale(3), scale(5), True)],
        [change(1, scale(3), scale(5), True), change(2, whole(5, "a"), whole(5, "b"))],
        [
            change(1, scale(3), scale(4), True),
            change(2, whole(4, "a"), whole(4, "b")),
            change(3, scale(4), scale(5), True),
        ],
    ):
        work = plan_object(whole(5, "b"), steps[::-1])
        assert work.to_be == whole(3, "a")
        assert work.conflicts == []
        assert plan_object(work.to_be, steps[::-1]).fields == []
