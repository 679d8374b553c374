"""Text as LaTeX, Markdown and HTML read it: what they would take for commands is escaped."""

from __future__ import annotations

import html
from typing import Any

from arch.errors import printable

_TEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "`": r"\textasciigrave{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    ">": r"$>$",
    "<": r"$<$",
    "±": r"$\pm$",
    "\u00d7": r"$\times$",
    "\n": " ",
}


def tex(text: Any) -> str:
    """Return text with what LaTeX reads as commands escaped."""
    return "".join(_TEX.get(letter, letter) for letter in printable(str(text), "\n"))


def markdown(text: Any) -> str:
    """Return text for a cell of a Markdown table; backticks stay, as they mark names as code."""
    escaped = str(text).replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")
    return printable(" ".join(escaped.splitlines()))


def attribute(name: str, value: Any) -> str:
    """Return an HTML attribute with its value escaped."""
    return f' {name}="{html.escape(str(value), quote=True)}"'
