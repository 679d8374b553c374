"""The verdict on a printed figure, derived from the printed text, its convention, the exact value and ours.

The rules, in order:

1.  `ours differs`: our own count is not the exact value. This is a fault of ours, not of the paper.
2.  `unreproducible`: there is no exact value, since the paper does not define the network.
3.  `agrees`: the printed value is the exact one. Grids and shapes must be equal; `<25 million` must be true.
4.  `agrees by rounding`: the exact value rounds to the printed digits (K = 1000, M = 10^6; a half may go either way).
    Words that say equal or roughly equal stand for 1, a tenth up or down.
5.  `agrees by truncation`: cutting the exact value after the printed digits gives the print. In tables only: a claim
    of two digits would let 10 % pass.
6.  `convention (K = 1024)`: 4 or 5 holds where the column's K is 1024 (and its M 1024^2).
7.  What is left does not agree. In a table it is a `misprint` if it is a shape or a whole number without a unit (a width,
    a depth, a grid: nothing was rounded), or if it lies more than 2 % from the exact value under the column's own
    convention. It is `unreproducible` if it is nearer: no rounding gives it, yet a slightly other way of
    counting could. In a claim, where the way of counting is not said, it is `unreproducible`, unless it is more than
    twice the exact value or less than half of it: no way of counting explains that, and it is a `misprint`.

The 2 % are for GoogLeNet's Table 1, the only one that prints costs a row. Where its parameters are merely low they lie
within 1.8 % of the exact weights at K = 1024; the next figures are 5.3 %, 5.7 % and 6.9 % away. Any threshold from 2 to
5 % gives the same verdicts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Literal

from arch.errors import InputError
from arch.ledger.quantity import Value, channels_last
from arch.nodes import Shape, dims

FigureKind = Literal["table", "claim"]
MISPRINT = Fraction(2, 100)
CONTRADICTED = 2  # the factor beyond which a claim is a misprint
EQUAL = Fraction(1, 10)  # how far from 1 a ratio may be that words call equal

_POWERS = {"K": 1, "M": 2, "MB": 2, "G": 3}  # of 1000, or of 1024 where the column says so
_WORDS = {"%": Fraction(1, 100), "million": 10**6, "millions": 10**6, "billion": 10**9, "Bn": 10**9}
_NUMBER = re.compile(
    r"(?:about )?(?P<less><)?(?P<more>\+)?(?P<one>1/)?(?P<digits>\d[\d,]*(?:\.\d+)?)(?:e(?P<e>\d+))?"
    r"\s*(?P<unit>K|MB|M|G|%|millions?|billion|Bn)?(?:x?(?: [a-zA-Z].*)?)?"
)
_SHAPE = re.compile(r"\d+(?:x\d+)+")
_TORCH_SIZE = re.compile(r"\[(?:\d+|batch)((?:, \d+)+)\]|N((?: x \d+)+)")
_EQUAL = re.compile(r"(?:roughly|matches) .+")


class Verdict(StrEnum):
    """Whether a printed figure agrees with the exact value, and how."""

    AGREES = "agrees"
    ROUNDING = "agrees by rounding"
    TRUNCATION = "agrees by truncation"
    CONVENTION = "convention (K = 1024)"
    MISPRINT = "misprint"
    UNREPRODUCIBLE = "unreproducible"
    OURS = "ours differs"

    @property
    def agreeing(self) -> bool:
        """Whether the print and the exact value are the same figure."""
        return self in (Verdict.AGREES, Verdict.ROUNDING, Verdict.TRUNCATION, Verdict.CONVENTION)


@dataclass(frozen=True)
class Printed:
    """A printed number: its digits, the value (`step`) of the last one, and the unit after them.

    `+25 %` is the factor 1.25; `1/20` is 20, inverted.
    """

    digits: Fraction
    step: Fraction
    unit: str = ""
    less: bool = False
    plus_one: bool = False
    inverse: bool = False
    is_integer: bool = False

    def scale(self, thousand: int) -> Fraction:
        """Return the value of one unit."""
        return Fraction(_WORDS.get(self.unit, thousand ** _POWERS.get(self.unit, 0)))

    def value(self, thousand: int = 1000) -> Fraction:
        """Return the printed number."""
        value = self.digits * self.scale(thousand) + self.plus_one
        return 1 / value if self.inverse else value

    def in_digits(self, exact: Fraction, thousand: int) -> Fraction:
        """Return the exact value in the form of the printed digits, but unrounded."""
        exact = 1 / exact if self.inverse else exact
        return (exact - self.plus_one) / self.scale(thousand)


def shape_of(text: str) -> Shape | None:
    """Return `28x28x256`, torch's `[1, 256, 28, 28]` or `N x 256 x 28 x 28` as (28, 28, 256); None for anything else."""
    if match := _TORCH_SIZE.fullmatch(text):
        return channels_last(tuple(map(int, re.findall(r"\d+", match[1] or match[2]))))
    return tuple(map(int, text.split("x"))) if _SHAPE.fullmatch(text) else None


def read(text: str, unit: str = "") -> Printed:
    """Read a printed number; `unit` is that of the column's heading.

    Raises
    ------
    InputError
        The text is not a printed number.

    Examples
    --------
    >>> from arch.ledger.verdict import read
    >>> read("2.7K").value()
    Fraction(2700, 1)
    """
    if _EQUAL.fullmatch(text):
        return Printed(Fraction(1), 2 * EQUAL)
    match = _NUMBER.fullmatch(text)
    if not match:
        raise InputError(
            f"'{text}' is not a printed number or shape; write it as 2.7K, 1.5 billion, +25% or 28x28x256."
        )
    digits, power = match["digits"].replace(",", ""), 10 ** int(match["e"] or 0)
    unit = match["unit"] or unit
    return Printed(
        Fraction(digits) * power,
        Fraction(power, 10 ** len(digits.partition(".")[2])),
        unit,
        less=bool(match["less"]),
        plus_one=bool(match["more"]) and unit == "%",
        inverse=bool(match["one"]),
        is_integer=not unit and power == 1 and "." not in digits,
    )


def verdict(
    text: str,
    exact: Value | None,
    ours: Value | None = None,
    *,
    kind: FigureKind = "table",
    unit: str = "",
    thousand: Literal[1000, 1024] = 1000,
) -> Verdict:
    """Return the verdict on a printed text by the rules above.

    Parameters
    ----------
    exact, ours : numbers, or shapes (H, W, C); None where there is none.
    unit : the unit in the column's heading, where the text has none.
    thousand : the K of the column's convention.
    """
    # The order of the rules: first our own count, then what can be compared at all, then from equal to less and less so.
    if ours is not None and ours != exact:
        return Verdict.OURS
    if exact is None:
        return Verdict.UNREPRODUCIBLE
    if isinstance(exact, tuple):
        wrong = Verdict.MISPRINT if kind == "table" else Verdict.UNREPRODUCIBLE
        return Verdict.AGREES if shape_of(text) == exact else wrong
    printed = read(text, unit)
    # `<25 million` agrees if it is true. Other figures agree exactly only with K = 1000; K = 1024 is a convention.
    if exact < printed.value(thousand) if printed.less else exact == printed.value():
        return Verdict.AGREES
    if by_digits := _by_digits(printed, exact, 1000, kind):
        return by_digits
    if thousand == 1024 and _by_digits(printed, exact, 1024, kind):
        return Verdict.CONVENTION
    return Verdict.MISPRINT if _impossible(printed, exact, thousand, kind) else Verdict.UNREPRODUCIBLE


def _impossible(printed: Printed, exact: Fraction, thousand: int, kind: FigureKind) -> bool:
    """Return whether no way of counting explains a figure that does not agree (rule 7)."""
    value = printed.value(thousand)
    if kind == "claim":
        return value > CONTRADICTED * exact or exact > CONTRADICTED * value
    return printed.is_integer or abs(value - exact) > MISPRINT * exact


def _by_digits(printed: Printed, exact: Fraction, thousand: int, kind: FigureKind) -> Verdict | None:
    """Return the verdict if the exact value, rounded or cut, gives the printed digits; `<` has none to give."""
    if printed.less:
        return None
    excess = printed.in_digits(exact, thousand) - printed.digits
    if abs(excess) <= printed.step / 2:
        return Verdict.ROUNDING
    return Verdict.TRUNCATION if kind == "table" and 0 < excess < printed.step else None


def ratio(text: str, exact: Value | None, unit: str = "", thousand: int = 1000) -> float | None:
    """Return exact over printed under the column's own convention, to four decimals; None for shapes and a printed 0."""
    if not isinstance(exact, Fraction):
        return None
    value = read(text, unit).value(thousand)
    return round(float(exact / value), 4) if value else None


def plain_value(value: Value | None) -> int | float | str | None:
    """Return a value as plain data: a whole number, a number of four decimals, or a shape as `28x28x256`."""
    if value is None:
        return None
    if isinstance(value, tuple):
        return dims(value)
    return int(value) if value.denominator == 1 else round(float(value), 4)
