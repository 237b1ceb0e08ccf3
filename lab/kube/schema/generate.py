"""Make `definitions.json.xz` from the schemas that the kubernetes-validate package carries.

    python -m lab.kube.schema.generate

Needs the `dev` extra. The package widens optional fields to `[type, null]` and pins apiVersion and kind of
top-level types by `enum`; both are undone, and references get their OpenAPI v3 form. Its source is the
OpenAPI document that Kubernetes publishes.
"""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

from lab.kube.schema import REFERENCE, TABLE

VERSION = "v1.32.0-local"
_SOURCE_REFERENCE = "#/$defs/"
_SPECIAL: dict[str, dict[str, Any]] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {
        "format": "int-or-string",
        "oneOf": [{"type": "integer"}, {"type": "string"}],
    },
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
}


def _schema(source: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in source.items():
        if key == "$ref":
            out["allOf"] = [{"$ref": REFERENCE + value.removeprefix(_SOURCE_REFERENCE)}]
        elif key == "type":
            out["type"] = next(t for t in value if t != "null") if isinstance(value, list) else value
        elif key == "properties":
            out["properties"] = {name: _schema(prop) for name, prop in sorted(value.items())}
            for name in {"apiVersion", "kind"} & set(out["properties"]):
                out["properties"][name].pop("enum", None)
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            out[key] = _schema(value)
        else:
            out[key] = value
    return out


def convert(source: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The table, from the package's `$defs`."""
    table = {name: _schema(definition) for name, definition in sorted(source.items())}
    for name, special in _SPECIAL.items():
        table[name] = special | {k: v for k, v in table[name].items() if k == "description"}
    return table


def main() -> None:
    """Read the installed package and write the table beside this file."""
    import kubernetes_validate

    root = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / VERSION
    source = json.loads((root / "_definitions.json").read_text())["$defs"]
    text = json.dumps(convert(source), separators=(",", ":"), sort_keys=True).encode()
    packed = lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)
    (Path(__file__).parent / TABLE).write_bytes(packed)


if __name__ == "__main__":
    main()
