"""Reading the YAML file of a study or an ablation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from arch.errors import InputError, from_validation
from arch.files.safe_yaml import load_yaml


class ConfigFile(BaseModel):
    """The content of such a file; `kind` names it in errors, `needs` says which keys it must have."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str]
    needs: ClassVar[str]

    name: str
    _file: str = PrivateAttr("")

    @property
    def where(self) -> str:
        """How errors name it: its file, where it has one, and its name."""
        return f"{self._file}: {self.kind} {self.name}" if self._file else f"{self.kind} {self.name}"

    @classmethod
    def read(cls, given: str | Path | Mapping[str, Any], file: str = "") -> Self:
        """Return the checked content of a file or a mapping; `file` is the one that a mapping was read from.

        Raises
        ------
        InputError
            A key is unknown or a value out of range; names file, key and near names.
        """
        where, values = file or cls.kind, given
        if not isinstance(given, Mapping):
            where = file = str(given)
            values = load_yaml(given)
        if not isinstance(values, Mapping):
            raise InputError(f"{where}: {cls.needs}.")
        values = dict(values)
        if isinstance(values.get("data"), str):
            values["data"] = {"name": values["data"]}
        if not isinstance(given, Mapping):
            values = cls._with_network_paths(values, Path(given).parent)
        try:
            config = cls.model_validate(values)
        except ValidationError as error:
            raise from_validation(error, where, cls._keys_allowed(error)) from None
        config._file = file
        return config

    @classmethod
    def _with_network_paths(cls, values: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Return the values with the paths of network files resolved from the folder of the file."""
        return values

    @classmethod
    def _keys_allowed(cls, error: ValidationError) -> Iterable[str]:
        """Return the keys that are allowed where an unknown one stands."""
        return cls.model_fields


def network_path(folder: Path, name: Any) -> Any:
    """Return the path of a network file resolved from a folder; anything else, a network's name too, as it is."""
    return str((folder / name).resolve()) if isinstance(name, str) and name.endswith((".yaml", ".yml")) else name
