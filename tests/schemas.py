"""A checker for the part of JSON Schema that our schemas use; an unknown keyword is an error, not a pass."""

from __future__ import annotations

from typing import Any

_KINDS = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
_KNOWN = {"$schema", "title", "$defs", "type", "required", "properties", "additionalProperties", "items", "enum"}
_KNOWN |= {"const", "$ref"}


def violations(value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None, at: str = "$") -> list[str]:
    """Where a value departs from a schema, in words."""
    root = schema if root is None else root
    assert set(schema) <= _KNOWN, f"this checker does not know {set(schema) - _KNOWN}"
    if "$ref" in schema:
        return violations(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root, at)
    found = []
    if "const" in schema and value != schema["const"]:
        found.append(f"{at} is {value!r}")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at} is {value!r}")
    kinds = schema.get("type", [])
    if kinds and not any(_is(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return [*found, f"{at} is a {type(value).__name__}, not {kinds}"]
    if isinstance(value, dict):
        found += [f"{at} lacks {key}" for key in schema.get("required", []) if key not in value]
        for key, item in value.items():
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            if inner is not None:
                found += violations(item, inner, root, f"{at}.{key}")
    if isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value):
            found += violations(item, schema["items"], root, f"{at}[{i}]")
    return found


def _is(value: Any, kind: str) -> bool:
    if kind in ("number", "integer"):
        return isinstance(value, int | float if kind == "number" else int) and not isinstance(value, bool)
    return isinstance(value, _KINDS[kind])
