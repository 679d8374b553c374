"""What a person asks for in a YAML file: the reading that studies and ablations share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from arch.errors import InputError, from_validation
from arch.files.safe_yaml import load_yaml


class ConfigFile(BaseModel):
    """The content of such a file; `kind` is what it is called, `needs` says what it has at least."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str]
    needs: ClassVar[str]

    name: str
    _file: str = PrivateAttr("")

    @property
    def where(self) -> str:
        """What errors call it: its file, where it has one, and its name."""
        return f"{self._file}: {self.kind} {self.name}" if self._file else f"{self.kind} {self.name}"

    @classmethod
    def read(cls, given: str | Path | Mapping[str, Any], file: str = "") -> Self:
        """Return what a file or a mapping asks for; `file` is the one that a mapping was made of.

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
        """Return the values with files of networks found from the folder of the file."""
        return values

    @classmethod
    def _keys_allowed(cls, error: ValidationError) -> Iterable[str]:
        """Return the keys that an unknown one may have been meant for."""
        return cls.model_fields


def network_path(folder: Path, name: Any) -> Any:
    """Return a network's file as found from a folder; anything else, a network's name too, as it is."""
    return str((folder / name).resolve()) if isinstance(name, str) and name.endswith((".yaml", ".yml")) else name
