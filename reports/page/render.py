"""Pages that are one file: their style and script are inside, and a policy lets nothing else run or load."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

_HERE = Path(__file__).parent / "template"


def render(template: str, /, *, library: str = "", **values: Any) -> str:
    """Return a page from a template: escaped, and with a content-security policy.

    The policy allows this style and these scripts by their hashes, and no request at all.

    Parameters
    ----------
    library : another script, which the page unpacks and runs when it is needed.
    """
    style, script = (Markup((_HERE / f"page.{ending}").read_text(encoding="utf-8")) for ending in ("css", "js"))
    # plotly writes styles of its own, whose text is not known here
    styles = "'unsafe-inline'" if library else _hashed(style)
    scripts = " ".join(map(_hashed, filter(None, (script, library))))
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; img-src data: blob:; base-uri 'none'; "
        "form-action 'none'"
    )
    packed = Markup(_packed(library)) if library else ""
    page = _environment().get_template(template)
    return page.render(policy=Markup(policy), style=style, script=script, library=packed, **values)


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@functools.lru_cache(1)
def _packed(text: str) -> str:
    """Return a text compressed, as letters: plotly's 4.8 MB become 1.9."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
