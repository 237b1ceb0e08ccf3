"""The world as intended: reads of an automation that asked to see its shadow intents as if they had happened.

A client asks by the path: `/view/intended` before every other path, as part of its server URL. That needs no
trust: it changes only what this client itself is shown, never what is stored, decided or recorded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lab.core.audit import Mode
from lab.core.clock import Clock
from lab.gateway.exchange import Exchange
from lab.gateway.image import changes
from lab.gateway.target import Target
from lab.kube.objects import KubeObject, labels_of, name_of, namespace_of
from lab.kube.patch import PatchError, json_patch
from lab.kube.request import RequestInfo
from lab.kube.selectors import SelectorError, parse_label_selector
from lab.kube.status import not_found

Operations = tuple[dict[str, Any], ...]
REPLICAS = "/spec/replicas"
_MOST = 1000


@dataclass(frozen=True, slots=True)
class Intent:
    """What shadow recorded for one object: its removal, its creation, or a change, the latter two in the form
    of one version.
    """

    until: float
    group: str
    version: str
    resource: str
    namespace: str
    name: str
    uid: str = ""
    gone: bool = False
    made: KubeObject | None = None
    operations: Operations = ()

    def is_about(self, info: RequestInfo, obj: KubeObject) -> bool:
        """Is it this object, and still the same one?"""
        if (self.group, self.resource) != (info.group, info.resource) or self.name != name_of(obj):
            return False
        uid = str(obj.get("metadata", {}).get("uid") or "")
        return self.namespace == (namespace_of(obj) or info.namespace) and (not self.uid or self.uid == uid)


class Intents:
    """The intents of every actor, for `settle_seconds` real seconds each; forgotten when the gateway ends."""

    def __init__(self, clock: Clock, settle_seconds: float) -> None:
        self._clock = clock
        self._settle = settle_seconds
        self._of: dict[str, deque[Intent]] = {}

    def note(self, exchange: Exchange, before: KubeObject | None, after: KubeObject) -> None:
        """Remember what a shadowed request would have done."""
        assert exchange.target is not None
        target, info = exchange.target, exchange.target.info
        found = self._of.setdefault(exchange.actor, deque(maxlen=_MOST))
        now = self._clock.monotonic()
        while found and found[0].until <= now:
            found.popleft()
        if info.verb == "deletecollection":
            found.extend(self._gone(info, item) for item in (before or {}).get("items") or ())
        elif before is not None and (target.is_delete or target.is_eviction):
            found.append(self._gone(info, before))
        elif after.get("kind") == "Status" or not name_of(after):
            return
        elif info.verb == "create" and not info.subresource:
            found.append(self._intent(info, after, made=after))
        elif before is not None and info.subresource in ("", "status", "scale"):
            operations = tuple(changes(before, after))
            if info.subresource == "scale":
                operations = tuple(op for op in operations if op["path"] == REPLICAS)
            found.append(self._intent(info, before, operations=operations))

    def current(self, actor: str) -> list[Intent]:
        """The actor's intents that have not settled yet, oldest first."""
        now = self._clock.monotonic()
        return [intent for intent in self._of.get(actor, ()) if intent.until > now]

    def shown_to(self, exchange: Exchange) -> list[Intent]:
        """The intents that an answer to this request has to show; empty when it passes as it is."""
        target = exchange.target
        if target is None or not target.intended or exchange.control.mode is Mode.LIVE:
            return []
        info = target.info
        if info.verb not in ("get", "list") or info.subresource not in ("", "status", "scale"):
            return []
        kind = (info.group, info.resource)
        return [
            intent
            for intent in self.current(exchange.actor)
            if (intent.group, intent.resource) == kind and (intent.gone or intent.version == info.version)
        ]

    def _gone(self, info: RequestInfo, obj: KubeObject) -> Intent:
        return self._intent(info, obj, gone=True)

    def _intent(self, info: RequestInfo, obj: KubeObject, **what: Any) -> Intent:
        uid = str(obj.get("metadata", {}).get("uid") or "")
        if what.get("made") or info.subresource == "scale":
            uid = ""
        until = self._clock.monotonic() + self._settle
        namespace = namespace_of(obj) or info.namespace
        kind = (info.group, info.version, info.resource)
        return Intent(until, *kind, namespace, name_of(obj), uid, **what)


def show_object(target: Target, obj: KubeObject, intents: Iterable[Intent]) -> KubeObject:
    """One object as intended. Raises StatusError 404 when it would be gone."""
    scale = target.info.subresource == "scale"
    for intent in intents:
        if intent.is_about(target.info, obj):
            if intent.gone:
                raise not_found(target.info.resource, target.info.group, target.info.name)
            operations = intent.operations
            obj = _changed(
                obj, tuple(op for op in operations if op["path"] == REPLICAS) if scale else operations
            )
    return obj


def show_missing(target: Target, intents: Iterable[Intent]) -> KubeObject | None:
    """An object that is not there and would be: made by an intent, and not taken away since."""
    shown: KubeObject | None = None
    for intent in intents:
        if (intent.namespace, intent.name) != (target.info.namespace, target.info.name):
            continue
        if intent.made is not None:
            shown = intent.made
        elif intent.gone:
            shown = None
    return shown


def show_list(target: Target, listed: KubeObject, intents: list[Intent]) -> KubeObject:
    """A list as intended: without what would be gone, with what would be changed or new."""
    info = target.info
    shown = []
    for item in listed.get("items") or ():
        mine = [intent for intent in intents if intent.is_about(info, item)]
        if not any(intent.gone for intent in mine):
            for intent in mine:
                item = _changed(item, intent.operations)
            shown.append(item)
    return listed | {"items": shown + _new_items(target, shown, intents)}


def _new_items(target: Target, shown: list[KubeObject], intents: list[Intent]) -> list[KubeObject]:
    """New ones go to the first page of a list, when its selectors can be told to choose them."""
    if any(value for key in ("continue", "fieldSelector") for value in target.values(key)):
        return []
    try:
        selector = parse_label_selector(",".join(target.values("labelSelector")))
    except SelectorError:
        return []
    there = {(namespace_of(item), name_of(item)) for item in shown}
    found: dict[tuple[str, str], KubeObject] = {}
    for intent in intents:
        key = (intent.namespace, intent.name)
        if intent.gone:
            found.pop(key, None)
        elif intent.made is not None and key not in there and target.info.namespace in ("", intent.namespace):
            found[key] = intent.made
    return [obj for obj in found.values() if selector.matches(labels_of(obj))]


def _changed(obj: KubeObject, operations: Operations) -> KubeObject:
    """The object with the operations on it; one that no longer fits is left out."""
    for operation in operations:
        try:
            obj = json_patch(obj, [operation])
        except PatchError:
            continue
    return obj
