"""How a network's searchable rows divide their channels, as data; as text only in files and tables."""

from __future__ import annotations

import re
from dataclasses import dataclass

from arch.errors import InputError
from arch.registry import Reduced
from arch.specs.edit import Split, searchable, split_of
from arch.specs.spec import Spec

BRANCHES = ("1x1", "3x3", "5x5", "pool")
_TEXT = re.compile(r"(\S+) (\d+) \| (\d+)>(\d+) \| (\d+)>(\d+) \| (\d+)")


@dataclass(frozen=True)
class RowSplit:
    """A row's family and split; its text is `inception_v1 16 | 24>32 | 8>8 | 8`."""

    family: str
    split: Split

    @property
    def channels(self) -> dict[str, int]:
        """The output channels of each branch."""
        out = (self.split.b1x1, self.split.b3x3.out, self.split.b5x5.out, self.split.pool)
        return dict(zip(BRANCHES, out, strict=True))

    def __str__(self) -> str:
        b1x1, b3x3, b5x5, pool = self.split
        return f"{self.family} {b1x1} | {b3x3.reduce}>{b3x3.out} | {b5x5.reduce}>{b5x5.out} | {pool}"

    @classmethod
    def read(cls, text: str) -> RowSplit:
        """Return the split that `str` wrote into a file.

        Raises
        ------
        InputError
            The text is no split.
        """
        if not (found := _TEXT.fullmatch(text)):
            raise InputError(f"'{text}' is no split; one reads `inception_v1 16 | 24>32 | 8>8 | 8`.")
        family, *numbers = found.groups()
        b1x1, reduce3, out3, reduce5, out5, pool = map(int, numbers)
        return cls(family, Split(b1x1, Reduced(reduce3, out3), Reduced(reduce5, out5), pool))


def splits(spec: Spec) -> dict[str, RowSplit]:
    """Return each searchable row's family and split."""
    return {row.name: RowSplit(row.block, split_of(row)) for row in searchable(spec)}
