"""The HTML table that a notebook shows for a spec, a cost or a run, with its text escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_SCROLLING = "max-height:26em;overflow:auto"  # long networks scroll


def table(title: str, rows: Sequence[Mapping[str, Any]], lines: Sequence[str] = ()) -> str:
    """Return HTML with a title in bold, lines of text and a table; columns are the first row's keys."""
    columns = [(str(key), any(_is_number(row[key]) for row in rows)) for key in rows[0]] if rows else []
    head = "".join(_cell("th", key, right) for key, right in columns)
    body = "".join(f"<tr>{''.join(_cell('td', row[key], right) for key, right in columns)}</tr>" for row in rows)
    text = "".join(f"<br>{escape(line)}" for line in lines)
    grid = f'<div style="{_SCROLLING}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    return f"<div><b>{escape(title)}</b>{text}{grid if rows else ''}</div>"


def _cell(tag: str, value: Any, right: bool) -> str:
    return f'<{tag} style="text-align:{"right" if right else "left"}">{escape(_text(value))}</{tag}>'


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if value is None or value != value:
        return "-"
    if not _is_number(value):
        return str(value)
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}"
