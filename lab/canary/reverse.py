"""What an object is to become when the automation's changes are taken back, the newest first: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.canary.merge import follow, overlay, same, take_back, wanted
from lab.canary.undo import Change, Kind
from lab.kube.objects import KubeObject, controller_of

_OF_THE_SERVER = (
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "managedFields",
)


@dataclass(slots=True)
class Work:
    """One object: what is there, what it is to become, and what was found on the way.

    stands_for: the uid that it had for the automation; a new object takes the place of one that is gone.
    """

    was: KubeObject | None
    to_be: KubeObject | None
    stands_for: str
    fields: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    nothing: list[str] = field(default_factory=list)

    @property
    def writes(self) -> bool:
        """Whether anything is to be written."""
        return self.to_be is not self.was

    @property
    def replaces(self) -> bool:
        """Whether the object that is there goes, and another one of that name comes."""
        return bool(self.was and self.to_be) and uid_of(self.was) != uid_of(self.to_be)


def plan_object(now: KubeObject | None, newest_first: Sequence[Change]) -> Work:
    """What an object is to become when these changes, one at least, are taken back: pure."""
    work = Work(now, now, uid_of(now))
    if now is not None and _is_made_anew(now, newest_first):
        work.nothing.append("it is there again, as it was before")
        return work
    row: list[Change] = []  # changes of one and the same object that follow each other
    for change in newest_first:
        if change.kind is Kind.LOST:
            work.lost.append(f"record {change.seq}: {change.reason}")
        elif change.kind is Kind.NOTHING:
            work.nothing.append(change.reason)
        elif change.kind is Kind.MODIFIED and row and uid_of(row[0].image) == uid_of(change.image):
            row.append(change)
        else:
            _modified(work, row)
            row = [change] if change.kind is Kind.MODIFIED else []
            _made_or_gone(work, change)
    _modified(work, row)
    return work


def compose(oldest_first: Sequence[Change]) -> tuple[Any, Any]:
    """Changes that follow each other as one: before and after. What somebody else set in between belongs to
    what was before."""
    before, after, partial = oldest_first[0].before, oldest_first[0].after, oldest_first[0].partial
    for change in oldest_first[1:]:
        its_before, its_after = change.before, change.after
        if change.partial and not partial:
            its_before, its_after = overlay(after, its_before), overlay(after, its_after)
        elif partial and not change.partial:
            before, after, partial = overlay(its_before, before), overlay(its_before, after), False
        before, after = follow(before, after, its_before), its_after
    return before, after


def _made_or_gone(work: Work, change: Change) -> None:
    if change.kind is Kind.CREATED:
        _created(work, change)
    elif change.kind is Kind.DELETED:
        _deleted(work, change)
    elif change.kind is Kind.UNCERTAIN:
        _uncertain(work, change)


def _is_made_anew(now: KubeObject, newest_first: Sequence[Change]) -> bool:
    """Whether it was deleted, and what is there now is what these changes, taken back, would make."""
    if newest_first[0].kind is not Kind.DELETED or uid_of(now) == uid_of(newest_first[0].image):
        return False
    made = plan_object(None, newest_first).to_be
    return made is not None and same(wanted(fresh(now)), wanted(made))


def _modified(work: Work, newest_first: Sequence[Change]) -> None:
    if not newest_first:
        return
    obj, last = work.to_be, newest_first[0]
    if obj is None or work.stands_for != uid_of(last.image):
        gone = "it is gone" if obj is None else "it is another object of the same name"
        work.conflicts.append(f"{gone}: {_whose(obj, last)}")
        return
    merge = take_back(obj, *compose(newest_first[::-1]))
    work.fields += [path for path in merge.restored if path not in work.fields]
    work.conflicts += [f"{path} was changed since: {_whose(obj, last)}" for path in merge.conflicts]
    if merge.restored:
        work.to_be = merge.value


def _created(work: Work, change: Change) -> None:
    obj = work.to_be
    if obj is None or work.stands_for != uid_of(change.after):
        work.nothing.append("what it created is gone already")
    elif change.target.resource != "pods" and not same(wanted(obj), wanted(change.after or {})):
        work.conflicts.append(f"it was created, and changed since: {_whose(obj, change)}")
    else:
        work.to_be, work.stands_for = None, ""


def _deleted(work: Work, change: Change) -> None:
    image, obj = change.image or {}, work.to_be
    owner = controller_of(image)
    if owner is not None:
        work.nothing.append(f"its {owner.get('kind')} {owner.get('name')} makes a new one by itself")
    elif obj is not None and work.stands_for != uid_of(image):
        work.conflicts.append("it was deleted, and somebody made it anew since")
    elif (change.target.group, change.target.resource) == ("batch", "jobs"):
        work.lost.append("a Job that is made anew would run again")
    elif obj is None or obj["metadata"].get("deletionTimestamp"):
        work.to_be, work.stands_for = fresh(image), uid_of(image)
    else:
        work.nothing.append("it was not removed")


def _uncertain(work: Work, change: Change) -> None:
    obj = work.to_be
    if change.before is not None and obj is not None and same(wanted(obj), change.before):
        work.nothing.append(f"record {change.seq} has no answer, and the object is as it was before")
    elif obj is None and change.verb == "delete" and change.image is not None:
        _deleted(work, change)
    else:
        work.lost.append(f"record {change.seq} has no answer, so what it left is not known")


def fresh(image: KubeObject) -> KubeObject:
    """An object to create from the image of one that is gone."""
    made = {key: value for key, value in image.items() if key != "status"}
    made["metadata"] = {k: v for k, v in image.get("metadata", {}).items() if k not in _OF_THE_SERVER}
    if made.get("kind") == "Pod":
        made["spec"] = {key: value for key, value in made.get("spec", {}).items() if key != "nodeName"}
    return made


def uid_of(obj: KubeObject | None) -> str:
    """metadata.uid, or an empty text."""
    return str(((obj or {}).get("metadata") or {}).get("uid") or "")


def _whose(obj: KubeObject | None, change: Change) -> str:
    """Who changed the object after the automation did, by the managers of its fields."""
    managers = {
        str(entry.get("manager"))
        for entry in ((obj or {}).get("metadata") or {}).get("managedFields") or ()
        if not entry.get("subresource")
        and entry.get("manager") != change.agent
        and str(entry.get("time") or "")[:19] >= change.time[:19]
    }
    return f"by {', '.join(sorted(managers))}" if managers else "by somebody else"
