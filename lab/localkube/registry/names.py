"""Names: their syntax, and how generateName makes one.

Source: k8s.io/apimachinery/pkg/util/validation, k8s.io/apiserver/pkg/storage/names.
"""

from __future__ import annotations

import random
import re

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX = 5
_MAX_BASE = 63 - _SUFFIX

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
_SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?\Z")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]\Z")
_PORT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")

CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+\Z")
CONFIG_KEY_MESSAGE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
    "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_LABEL_MESSAGE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_DOTS_MESSAGE = "must not contain dots"
_SERVICE_MESSAGE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
    "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for "
    "validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_MESSAGE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)

_NAME_MESSAGE = (
    " must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_PREFIX_MESSAGE = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
_WILDCARD_MESSAGE = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must "
    "consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. "
    "'*.example.com', regex used for validation is "
    "'\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)

_LABEL_NAMED = frozenset({"namespaces"})
_PATH_NAMED = frozenset(
    f"{plural}.rbac.authorization.k8s.io"
    for plural in ("roles", "rolebindings", "clusterroles", "clusterrolebindings")
)


def generate_name(base: str, chance: random.Random) -> str:
    """The base, cut to 58 characters, and five characters without vowels."""
    return base[:_MAX_BASE] + "".join(chance.choice(_ALPHABET) for _ in range(_SUFFIX))


def label_problem(name: str) -> str:
    """Why a name is not an RFC 1123 label; empty when it is."""
    if len(name) > 63:
        return "must be no more than 63 characters"
    if _LABEL.match(name):
        return ""
    return _DOTS_MESSAGE if _SUBDOMAIN.match(name) else _LABEL_MESSAGE


def service_name_problem(name: str) -> str:
    """Why a name is not a DNS-1035 label; empty when it is."""
    if len(name) > 63:
        return "must be no more than 63 characters"
    return "" if _SERVICE.match(name) else _SERVICE_MESSAGE


def subdomain_problem(name: str) -> str:
    """Why a name is not an RFC 1123 subdomain; empty when it is."""
    if len(name) > 253:
        return "must be no more than 253 characters"
    return "" if _SUBDOMAIN.match(name) else _SUBDOMAIN_MESSAGE


def wildcard_problem(name: str) -> str:
    """Why a name is not `*.` and an RFC 1123 subdomain; empty when it is."""
    if len(name) > 253:
        return "must be no more than 253 characters"
    return "" if name.startswith("*.") and _SUBDOMAIN.match(name[2:]) else _WILDCARD_MESSAGE


def qualified_name_problems(key: str) -> list[str]:
    """Why a key is not `name` or `prefix/name`; empty when it is."""
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        return [f"a qualified name{_NAME_MESSAGE}{_PREFIX_MESSAGE}"]
    problems = []
    if slash and not prefix:
        problems.append("prefix part must be non-empty")
    elif slash and subdomain_problem(prefix):
        problems.append(f"prefix part {subdomain_problem(prefix)}")
    if not name:
        problems.append("name part must be non-empty")
    elif len(name) > 63:
        problems.append("name part must be no more than 63 characters")
    if not _QUALIFIED.match(name):
        problems.append(f"name part{_NAME_MESSAGE}")
    return problems


def path_segment_problem(name: str) -> str:
    """Why a name cannot be one segment of a path; empty when it can."""
    if name in (".", ".."):
        return f"may not be '{name}'"
    return next((f"may not contain '{c}'" for c in "/%" if c in name), "")


def name_problem(resource_key: str, name: str) -> str:
    """Why a resource's object cannot have this name; empty when it can."""
    if resource_key in _PATH_NAMED:
        return path_segment_problem(name)
    if resource_key in _LABEL_NAMED:
        return label_problem(name)
    if resource_key == "services":
        return service_name_problem(name)
    return subdomain_problem(name)


def port_name_problem(name: str) -> str:
    """Why a name is not an IANA service name; empty when it is."""
    if len(name) > 15:
        return "must be no more than 15 characters"
    if not _PORT_NAME.match(name):
        return (
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-), "
            "and must start and end with an alphanumeric character"
        )
    if not any(c.isalpha() for c in name):
        return "must contain at least one letter (a-z)"
    return "must not contain consecutive hyphens" if "--" in name else ""
