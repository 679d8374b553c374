"""The committed gallery is the one that the project writes."""

from __future__ import annotations

import re
from pathlib import Path

import arch
from reports.gallery import BLOCKS, gallery, text

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_up_to_date_and_names_every_network() -> None:
    page = (DOCS / "networks.md").read_text()
    assert page == text()
    assert all(f"| `{name}` " in page for name in arch.list_networks())


def test_every_block_is_drawn_from_a_row_that_has_it() -> None:
    for block, (network, row) in BLOCKS.items():
        assert arch.load(network).row(row).block == block


def test_the_page_finds_its_drawings(tmp_path: Path) -> None:
    page = gallery(tmp_path)
    drawings = re.findall(r"\]\((networks/[^)]+)\)", page.read_text())
    assert len(drawings) == len(set(drawings)) >= len(BLOCKS)
    for drawing in drawings:
        assert (tmp_path / drawing).read_text() == (DOCS / drawing).read_text()
