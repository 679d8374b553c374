"""Writing: from a spec to a mapping, or to the text of a network file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from arch.specs.spec import Spec


def to_mapping(spec: Spec) -> dict[str, Any]:
    """Return the spec as a network file holds it; `from_mapping` takes it back."""
    return {
        "name": spec.name,
        "source": spec.source,
        **({"note": spec.note} if spec.note else {}),
        "input": list(spec.input),
        "classes": spec.classes,
        "style": spec.style.model_dump(exclude_defaults=True),
        "rows": [
            {"name": row.name, "block": row.block}
            | ({"style": dict(row.style)} if row.style else {})
            | _plain(row.args)
            for row in spec.rows
        ],
        "heads": {after: {"head": head.head} | _plain(head.args) for after, head in spec.heads.items()},
    }


def to_yaml(spec: Spec) -> str:
    """Return the text of a network file, one line a row, columns aligned."""
    mapping = to_mapping(spec)
    keys = [key for key in ("name", "source", "note", "input", "classes", "style") if key in mapping]
    lines = [f"{key}: {_flow(mapping[key])}" for key in keys]
    lines += ["rows:", *(f"  - {row}" for row in _aligned(mapping["rows"]))]
    lines += ["heads:", *(f"  {_flow(after)}: {_flow(head)}" for after, head in mapping["heads"].items())]
    return "\n".join(lines) + "\n"


def _plain(args: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in args.items()}


def _flow(value: Any) -> str:
    """Return a value as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _aligned(rows: list[dict[str, Any]]) -> list[str]:
    """Return each row as a flow mapping; rows with the same keys have their columns under each other."""
    cells = [[f"{key}: {_flow(value)}" for key, value in row.items()] for row in rows]
    widths: dict[tuple[str, ...], list[int]] = {}
    for row, texts in zip(rows, cells, strict=True):
        before = widths.setdefault(tuple(row), [0] * len(texts))
        widths[tuple(row)] = [max(a, len(b)) for a, b in zip(before, texts, strict=True)]
    result = []
    for row, texts in zip(rows, cells, strict=True):
        padded = [f"{text}, ".ljust(width + 2) for text, width in zip(texts[:-1], widths[tuple(row)], strict=False)]
        result.append("{" + "".join(padded) + texts[-1] + "}")
    return result
