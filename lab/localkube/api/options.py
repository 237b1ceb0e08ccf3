"""Reading and checking the options of a request: dry run, field manager, validation, deletion, lists.

Source: apimachinery pkg/apis/meta/v1/validation and apiserver pkg/endpoints/handlers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from multidict import MultiMapping

from lab.kube.objects import KubeObject
from lab.kube.request import truthy
from lab.kube.status import StatusError, bad_request, invalid
from lab.localkube.api.identity import User
from lab.localkube.protocols import DeleteOptions, WriteOptions

APPLY = "application/apply-patch+yaml"
_META = "meta.k8s.io"
_VALIDATIONS = ("Ignore", "Strict", "Warn")
_POLICIES = ("Background", "Foreground", "Orphan")
_KINDS = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}
_MANAGER_LENGTH = 128
_INTEGER = re.compile(r"[+-]?[0-9]{1,400}")

Cause = tuple[str, str, str]


def write_options(
    query: MultiMapping[str], verb: str, user: User, user_agent: str, content_type: str = ""
) -> WriteOptions:
    """The options of a create, update or patch. Raises StatusError 422 when one makes no sense."""
    dry_run, manager = query.getall("dryRun", []), query.get("fieldManager", "")
    validation = query.get("fieldValidation", "")
    causes = _dry_run_causes(dry_run)
    if len(manager) > _MANAGER_LENGTH:
        causes.append(_invalid("fieldManager", manager, f"must be no more than {_MANAGER_LENGTH} bytes"))
    if validation and validation not in _VALIDATIONS:
        causes.append(_unsupported("fieldValidation", validation, ("", *_VALIDATIONS)))
    if verb == "patch":
        if content_type == APPLY and not manager:
            causes.append(
                ("fieldManager", "FieldValueRequired", "Required value: is required for apply patch")
            )
        if content_type != APPLY and "force" in query:
            causes.append(_forbidden("force", "may not be specified for non-apply patch"))
    if causes:
        raise invalid(_KINDS.get(verb, "CreateOptions"), _META, "", causes)
    return WriteOptions(
        dry_run=bool(dry_run),
        field_manager=manager or default_manager(user_agent),
        field_validation=validation or "Warn",
        force=truthy(query.get("force")),
        user=user.info(),
    )


def default_manager(user_agent: str) -> str:
    """The field manager when none is named: the first part of the user agent."""
    name = "".join(c for c in user_agent.split("/")[0] if c.isprintable())
    return name[:_MANAGER_LENGTH] or "unknown"


def delete_options(body: Any, query: MultiMapping[str], user: User) -> tuple[DeleteOptions, WriteOptions]:
    """The options of a delete. A body counts alone: with one, the query is not looked at, as upstream.

    Raises StatusError 400 for a body of another kind and 422 for a value that makes no sense.
    """
    given = _options_of_body(body) if body is not None else _options_of_query(query)
    dry_run = [str(value) for value in given.get("dryRun") or ()]
    policy, orphan = given.get("propagationPolicy"), given.get("orphanDependents")
    causes = _dry_run_causes(dry_run)
    if policy is not None and policy not in _POLICIES:
        causes.append(
            _unsupported("propagationPolicy", str(policy), ("Foreground", "Background", "Orphan", "nil"))
        )
    if policy is not None and orphan is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        causes.append(_invalid("propagationPolicy", str(policy), why))
    if causes:
        raise invalid("DeleteOptions", _META, "", causes)
    if policy is None and orphan is not None:
        policy = "Orphan" if orphan else "Background"
    grace = given.get("gracePeriodSeconds")
    if grace is not None and (isinstance(grace, bool) or not isinstance(grace, int)):
        raise bad_request("gracePeriodSeconds must be an integer")
    conditions = {key: str(value) for key, value in (given.get("preconditions") or {}).items() if value}
    delete = DeleteOptions(
        grace_period_seconds=grace,
        propagation_policy=policy,
        preconditions=conditions,
        dry_run=bool(dry_run),
    )
    return delete, WriteOptions(dry_run=bool(dry_run), user=user.info())


def _options_of_body(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise bad_request("the body of a delete must be DeleteOptions")
    if body.get("kind", "DeleteOptions") != "DeleteOptions":
        raise bad_request(f"decoded object cannot be converted to DeleteOptions: {body.get('kind')}")
    return body


def _options_of_query(query: MultiMapping[str]) -> KubeObject:
    out: KubeObject = {"dryRun": query.getall("dryRun", [])}
    if query.get("gracePeriodSeconds"):
        out["gracePeriodSeconds"] = integer(query, "gracePeriodSeconds")
    if query.get("propagationPolicy"):
        out["propagationPolicy"] = query["propagationPolicy"]
    if query.get("orphanDependents"):
        out["orphanDependents"] = truthy(query["orphanDependents"])
    return out


def integer(query: MultiMapping[str], name: str) -> int | None:
    """An integer parameter; None when it is absent or empty. Raises StatusError 400."""
    text = query.get(name, "")
    if not text:
        return None
    if not _INTEGER.fullmatch(text):
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if not -(1 << 63) <= int(text) < 1 << 63:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
    return int(text)


def check_list_options(query: MultiMapping[str], *, watch: bool) -> None:
    """The rules between the parameters of lists and watches. Raises StatusError 422."""
    match, version = query.get("resourceVersionMatch", ""), query.get("resourceVersion", "")
    initial = query.get("sendInitialEvents")
    causes: list[Cause] = []
    if watch:
        causes = _watch_causes(match, initial)
    else:
        if initial is not None:
            causes.append(_forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
        if match:
            causes += _match_causes(match, version, query)
    if causes:
        raise invalid("ListOptions", _META, "", causes)


def _watch_causes(match: str, initial: str | None) -> list[Cause]:
    field = "resourceVersionMatch"
    if initial is None:
        return (
            [_forbidden(field, f"{field} is forbidden for watch unless sendInitialEvents is provided")]
            if match
            else []
        )
    if not match:
        return [_forbidden(field, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")]
    return [] if match == "NotOlderThan" else [_unsupported(field, match, ("NotOlderThan",))]


def _match_causes(match: str, version: str, query: MultiMapping[str]) -> list[Cause]:
    field = "resourceVersionMatch"
    causes = []
    if not version:
        causes.append(_forbidden(field, f"{field} is forbidden unless resourceVersion is provided"))
    if query.get("continue"):
        causes.append(_forbidden(field, f"{field} is forbidden when continue is provided"))
    if match not in ("Exact", "NotOlderThan"):
        causes.append(_unsupported(field, match, ("Exact", "NotOlderThan", "")))
    elif match == "Exact" and version == "0":
        causes.append(_forbidden(field, f'{field} "exact" is forbidden for resourceVersion "0"'))
    return causes


def resource_version(query: MultiMapping[str], name: str = "") -> int | None:
    """The resourceVersion to watch from; None when there is none. Raises StatusError 422."""
    text = query.get("resourceVersion", "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) < 1 << 64):
        why = f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise StatusError(400, "BadRequest", f"Invalid value for resourceVersion: {why}")
    return int(text)


def _dry_run_causes(values: Sequence[str]) -> list[Cause]:
    if all(value == "All" for value in values):
        return []
    shown = orjson.dumps(list(values)).decode()
    return [("dryRun", "FieldValueNotSupported", f'Unsupported value: {shown}: supported values: "All"')]


def _unsupported(field: str, value: str, supported: Sequence[str]) -> Cause:
    allowed = ", ".join(f'"{choice}"' for choice in supported)
    return field, "FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {allowed}'


def _invalid(field: str, value: str, why: str) -> Cause:
    return field, "FieldValueInvalid", f'Invalid value: "{value}": {why}'


def _forbidden(field: str, why: str) -> Cause:
    return field, "FieldValueForbidden", f"Forbidden: {why}"
