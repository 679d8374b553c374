"""A figure as part of a page: an SVG without styles, scripts and names of its own."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from markupsafe import Markup

_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_ASIDE = (f"{_SVG}metadata", f"{_SVG}style", f"{_SVG}title")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FRACTION = re.compile(r"\d+\.\d{3,}")


def inline(svg: str, name: str) -> Markup:
    """Return matplotlib's SVG for a page that holds many, under a content-security policy.

    Styles become attributes, which no policy forbids. Names that something refers to begin with `name`, so that no two
    figures share one; the others, comments and metadata go. Figures keep two decimals, a hundredth of a point.

    Examples
    --------
    >>> inline('<svg xmlns="http://www.w3.org/2000/svg"><g id="a"/><path style="fill: none" d="M 0.1234 0"/></svg>', "f")
    Markup('<svg><g /><path d="M 0.12 0" fill="none" /></svg>')
    """
    root = ElementTree.fromstring(svg)
    for parent in root.iter():
        for child in [child for child in parent if child.tag in _ASIDE]:
            parent.remove(child)
    named = {reference for element in root.iter() for reference in _references(element)}
    for element in root.iter():
        _simplify(element, f"{name}-", named)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _references(element: ElementTree.Element) -> list[str]:
    values = " ".join(value for key, value in element.attrib.items() if key != _LINK)
    link = element.get(_LINK, element.get("href", ""))
    return _REFERENCE.findall(values) + ([link[1:]] if link.startswith("#") else [])


def _simplify(element: ElementTree.Element, prefix: str, named: set[str]) -> None:
    element.tag = element.tag.removeprefix(_SVG)
    element.text = element.tail = None if not (element.text or "").strip() else element.text
    for part in element.attrib.pop("style", "").split(";"):
        key, colon, value = part.partition(":")
        if colon:
            element.set(key.strip(), value.strip())
    if (own := element.attrib.pop("id", None)) in named:
        element.set("id", f"{prefix}{own}")
    link = element.attrib.pop(_LINK, "")
    if link:
        element.set("href", f"#{prefix}{link[1:]}" if link.startswith("#") else link)
    for key, value in element.attrib.items():
        if "url(#" in value:
            element.set(key, _REFERENCE.sub(rf"url(#{prefix}\1)", value))
    for key in ("d", "x", "y", "points"):
        if key in element.attrib:
            element.set(key, " ".join(_FRACTION.sub(_rounded, element.attrib[key]).split()))


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number.group()):.2f}"
