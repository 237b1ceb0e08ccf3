"""What the lab's plain namespaces are on the wire of a cluster that holds several labs.

Requests are renamed on their way to the API server, answers on their way back, so that nobody between has to
know. Renamed are paths, field selectors, every field `namespace`, and host names of Services
(`api.shop.svc`). Maps whose keys and values are people's own (labels, annotations, data) are not touched.
Without a prefix nothing is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from lab.core.namespaces import NO_PREFIX, PLAIN, Namespaces

_FREE = frozenset(
    {
        "labels",
        "annotations",
        "matchLabels",
        "nodeSelector",
        "data",
        "stringData",
        "binaryData",
        "managedFields",
    }
)
_NAMES = "|".join(PLAIN)
_PATH = re.compile(r"(/(?:api/[^/]+|apis/[^/]+/[^/]+)(?:/watch|/proxy)?/namespaces/)([^/?]+)")
_SELECTED = re.compile(rf"(\bnamespace(?:==|!=|=))({_NAMES})(?=,|$)")
_HOST = re.compile(rf"(?<=[a-z0-9]\.)(?:{_NAMES})(?=\.svc(?![-a-z0-9]))")
_SELECTOR = "fieldSelector"
_LISTED = ("namespaces", "matchNames")


class Renaming:
    """Both ways for one lab. Names that are real already stay, so renaming twice does no harm."""

    def __init__(self, namespaces: Namespaces) -> None:
        self.namespaces = namespaces
        self.active = bool(namespaces.prefix)
        prefix = re.escape(namespaces.prefix.encode()) + b"-"
        names = _NAMES.encode()
        self._field = re.compile(
            b'(?:(?<="namespace":")|(?<="namespace": "))' + prefix + b"(?=(?:" + names + b')")'
            rb"|(?<=[a-z0-9]\.)" + prefix + b"(?=(?:" + names + rb")\.svc(?![-a-z0-9]))"
        )
        self._word = re.compile(b"(?<![-a-z0-9])" + prefix + b"(?=(?:" + names + b")(?![-a-z0-9]))")
        self._group = f"toil-lab:{namespaces.prefix}:".encode()

    def path(self, path: str) -> str:
        """A path of the API, with its query if there is one, as the cluster understands it."""
        if not self.active:
            return path
        path, mark, query = path.partition("?")
        path = self._at(path, self.namespaces.real)
        if mark and _SELECTOR in query:
            pairs = parse_qsl(query, keep_blank_values=True)
            query = urlencode(
                [(key, self.selector(value) if key == _SELECTOR else value) for key, value in pairs]
            )
        return path + mark + query

    def plain_path(self, path: str) -> str:
        """A path without a query, as the lab says it."""
        return self._at(path, self.namespaces.plain) if self.active else path

    def query(self, query: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Query parameters, as the cluster understands them."""
        if not self.active or not query or not query.get(_SELECTOR):
            return query
        return {**query, _SELECTOR: self.selector(str(query[_SELECTOR]))}

    def selector(self, selector: str) -> str:
        """A field selector, as the cluster understands it."""
        if not self.active:
            return selector
        return _SELECTED.sub(lambda found: found[1] + self.namespaces.real(found[2]), selector)

    def body(self, value: Any) -> Any:
        """An object, a patch or options, as the cluster understands them: a copy, where something differs."""
        if not self.active:
            return value
        if isinstance(value, dict):
            return {key: self._field_of(value, key) for key in value}
        if isinstance(value, list):
            return [self.body(item) for item in value]
        return self.text(value) if isinstance(value, str) else value

    def text(self, text: str) -> str:
        """A text in which Services are named."""
        return _HOST.sub(lambda found: self.namespaces.real(found[0]), text) if self.active else text

    def answer(self, content: bytes) -> bytes:
        """A JSON answer, or a part of it that ends between two fields, as the lab says it."""
        return self._field.sub(b"", content) if self.active else content

    def complaint(self, content: bytes) -> bytes:
        """A Status that says what went wrong, as the lab says it."""
        return self._word.sub(b"", content).replace(self._group, b"toil-lab:") if self.active else content

    def _at(self, path: str, name: Any) -> str:
        found = _PATH.match(path)
        return found[1] + name(found[2]) + path[found.end() :] if found else path

    def _field_of(self, fields: dict[str, Any], key: str) -> Any:
        value = fields[key]
        if key in _FREE:
            return value
        if key == "namespace" and isinstance(value, str):
            return self.namespaces.real(value)
        if key in _LISTED and isinstance(value, list):
            return [self.namespaces.real(item) if isinstance(item, str) else item for item in value]
        if key == "value" and isinstance(value, str) and str(fields.get("path", "")).endswith("/namespace"):
            return self.namespaces.real(value)  # of a JSON patch
        if key == "selector" and isinstance(value, dict) and all(isinstance(v, str) for v in value.values()):
            return value
        return self.body(value)


AS_IT_IS = Renaming(NO_PREFIX)
"""For a cluster of one lab."""
