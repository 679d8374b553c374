"""The errors of the project: one paragraph with the rule, what came, where, and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pydantic import ValidationError

_PASSWORD = re.compile(r"(://[^/\s:@]*):\S+@")  # to the last @, as one in the password need not be escaped
_IN_QUERY = re.compile(r"([?&]\w*password=)[^&\s'\"]+", re.IGNORECASE)
_MAX_LENGTH = 2_000  # characters of an error: the wrong input that it quotes may be a large file


class InputError(ValueError):
    """Wrong input. The text is one paragraph: the rule, what came, where, and what to do.

    Unprintable characters are escaped, passwords in URLs hidden, and the middle of a long text is left out.
    """

    def __init__(self, text: str) -> None:
        super().__init__(_paragraph(text))


class SpecError(InputError):
    """A spec that cannot be a network."""


class ShapeError(SpecError):
    """A node that does not fit the shape it is applied to; each enclosing part adds its name to `path`."""

    def __init__(self, message: str, path: tuple[str, ...] = ()) -> None:
        self.message, self.path = message, path
        super().__init__(f"{', '.join(path)}: {message}" if path else message)

    def within(self, *parts: str) -> ShapeError:
        """Return the same error with enclosing parts in front of its path, e.g. `row 4c, branch b5x5`."""
        return ShapeError(self.message, (*parts, *self.path))


def masked(text: str) -> str:
    """Return a text with the passwords of URLs in it hidden."""
    return _IN_QUERY.sub(r"\1hidden", _PASSWORD.sub(r"\1:***@", text))


def printable(text: str, also: str = "") -> str:
    """Return a text with what cannot be printed in it escaped, as commands to a terminal; `also` stays as it is."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in also else c.encode("unicode_escape").decode() for c in text)


def _paragraph(text: str) -> str:
    text = masked(text)
    if len(text) > _MAX_LENGTH:
        text = f"{text[: _MAX_LENGTH - 500]} ... {text[-400:]}"
    return printable(text)


@contextmanager
def within(where: str) -> Iterator[None]:
    """Put `where` in front of every InputError that is raised inside, unless its text starts so already."""
    try:
        yield
    except InputError as error:
        text = str(error)
        if text.startswith(where):
            raise
        raise (SpecError if isinstance(error, SpecError) else InputError)(f"{where}: {text}") from None


def near(name: object, names: Iterable[str]) -> str:
    """Return ` Did you mean a or b?` for the names closest to `name`, or an empty string."""
    matches = difflib.get_close_matches(str(name), list(names), n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(matches)}?" if matches else ""


def from_validation(error: ValidationError, where: str, keys: Iterable[str]) -> InputError:
    """Turn pydantic's first error into one sentence that names the key and a near one of `keys`."""
    detail = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in detail["loc"]) or "value"
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = sorted(keys)
        hint = near(str(detail["loc"][-1]), known)
        return SpecError(f"{where}: unknown key '{key}'.{hint} Known keys: {', '.join(known) or 'none'}.")
    if detail["type"].startswith("missing"):
        return SpecError(f"{where}: '{key}' is missing; add it.")
    return SpecError(f"{where}: '{key}' is {detail['input']!r}, but it must satisfy: {detail['msg']}.")
