from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import arch
from arch.nodes import Node, chain, conv
from arch.registry import BLOCKS, Definition, Registry, Width
from search.engines.base import EngineConfig
from search.engines.choose import make_engine
from search.engines.user_modules import REGISTRIES, import_user_module, user_modules


def mine(out: Width) -> Node:
    """A block of a test's own."""
    return chain(conv(out, 1))


def test_only_what_is_not_ours_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert user_modules() == []
    monkeypatch.setitem(BLOCKS._entries, "mine", Definition("mine", mine))
    assert user_modules() == [__name__]
    with pytest.raises(arch.InputError, match=r"nodes of a cluster do not know what .* registers"):
        make_engine(EngineConfig(name="ray"), tmp_path, print)


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_every_registry_that_a_training_needs_is_looked_through(
    registry: Registry[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._entries, "mine", mine)
    assert user_modules() == [__name__]


def test_a_script_is_known_by_its_path_and_a_prompt_not_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(mine, "__module__", "__main__")
    monkeypatch.setitem(BLOCKS._entries, "mine", Definition("mine", mine))
    with pytest.raises(arch.InputError, match="block 'mine' was typed in here"):
        user_modules()
    main.__file__ = str(tmp_path / "script.py")
    Path(main.__file__).touch()
    assert user_modules() == [main.__file__]


def test_what_a_script_does_under_main_is_not_done_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "a_script_of_mine.py"
    script.write_text(
        "from __future__ import annotations\n"
        "from arch.nodes import Node, chain, conv\n"
        "from arch.registry import BLOCKS, Width\n\n\n"
        "@BLOCKS.register\n"
        "def from_a_script(out: Width) -> Node:\n"
        "    return chain(conv(out, 1))\n\n\n"
        "if __name__ == '__main__':\n"
        "    raise SystemExit('started')\n"
    )
    monkeypatch.setattr(BLOCKS, "_entries", dict(BLOCKS._entries))
    import_user_module(str(script))
    monkeypatch.delitem(sys.modules, "a_script_of_mine")
    assert BLOCKS.get("from_a_script").validate({"out": 8}, "here") == {"out": 8}
