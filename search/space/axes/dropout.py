"""The axis of the classifier's dropout."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from arch.errors import InputError, within
from arch.specs.spec import FINAL, Spec
from search.space.axes.base import Axis, Decisions, Draft, Range, Setting, axis, check_names
from search.space.choosers import Chooser


@axis
class Dropout(Axis, Range):
    """The dropout probability of the final head."""

    key: ClassVar = "dropout"
    title: ClassVar = "dropout probabilities"
    turn: ClassVar = 65

    def check(self, setting: Setting, where: str) -> None:
        """Refuse heads without dropout, and what is no probability."""
        head = setting.base.heads[FINAL]
        if "dropout" not in head.definition.parameters:
            raise InputError(
                f"{where}: the final head {head.head} has no dropout; use head classifier or remove the key."
            )
        for end in self.ends:
            with within(where):
                _with_dropout(setting.base, end)
        check_names(self.ends, where)

    def drawn(self, setting: Setting, draft: Draft, chooser: Chooser) -> Draft:
        """Draw the probability."""
        return draft._replace(spec=_with_dropout(draft.spec, self.draw("dropout", chooser)))

    def decisions(self, setting: Setting, draft: Draft, wanted: Draft, where: str) -> Decisions:
        """Return the wanted network's probability."""
        head = wanted.spec.heads[FINAL]
        return {"dropout": head.args.get("dropout", head.definition.parameters["dropout"].default)}


def _with_dropout(spec: Spec, p: float) -> Spec:
    """Return a spec with another dropout probability in its final head."""
    head = spec.heads[FINAL]
    checked = head.definition.validate(
        dict(head.args) | {"dropout": p, "classes": spec.classes}, f"{spec.name}, {FINAL}"
    )
    del checked["classes"]
    return replace(spec, heads={**spec.heads, FINAL: replace(head, args=checked)})
