"""Acting as somebody else: the Impersonate-* headers.

Source: apiserver pkg/endpoints/filters/impersonation.go.
"""

from __future__ import annotations

from urllib.parse import unquote

from multidict import MultiMapping

from lab.kube.status import bad_request
from lab.localkube.api.identity import (
    ANONYMOUS,
    AUTHENTICATED,
    UNAUTHENTICATED,
    User,
    service_account_groups,
    split_service_account,
)
from lab.localkube.api.rbac import Attributes, Authorizer

_EXTRA = "impersonate-extra-"


def impersonate(user: User, headers: MultiMapping[str], authorizer: Authorizer) -> User:
    """The user to go on as: the impersonated one, or the same.

    Raises StatusError 403 when one of the impersonate permissions is missing, 400 without Impersonate-User.
    """
    name = headers.get("Impersonate-User", "")
    groups = [group for group in headers.getall("Impersonate-Group", []) if group]
    uid = headers.get("Impersonate-Uid", "")
    extra: dict[str, list[str]] = {}
    for header, value in headers.items():
        if header.lower().startswith(_EXTRA):
            extra.setdefault(unquote(header[len(_EXTRA) :].lower()), []).append(value)
    if not name:
        if groups or extra or uid:
            raise bad_request(
                "requested impersonation without impersonating a user: Impersonate-User is required"
            )
        return user
    account = split_service_account(name)
    if account:
        authorizer.check(user, Attributes("impersonate", "", "serviceaccounts", "", account[0], account[1]))
    else:
        authorizer.check(user, Attributes("impersonate", "", "users", name=name))
    for group in groups:
        authorizer.check(user, Attributes("impersonate", "", "groups", name=group))
    group = "authentication.k8s.io"
    for key, values in extra.items():
        for value in values:
            authorizer.check(user, Attributes("impersonate", group, "userextras", key, name=value))
    if uid:
        authorizer.check(user, Attributes("impersonate", group, "uids", name=uid))
    kept = {key: tuple(values) for key, values in extra.items()}
    return User(name, tuple(_groups(name, account, groups)), uid, kept)


def _groups(name: str, account: tuple[str, str] | None, groups: list[str]) -> list[str]:
    if account and not groups:
        groups = list(service_account_groups(account[0]))
    if name == ANONYMOUS:
        return groups if UNAUTHENTICATED in groups else [*groups, UNAUTHENTICATED]
    return groups if AUTHENTICATED in groups else [*groups, AUTHENTICATED]
