"""The committed gallery is the one that the project writes."""

from __future__ import annotations

import re
from pathlib import Path

import arch
from reports.drawings.gallery import BLOCKS, NETWORKS, gallery, text
from tests.support import DOCS


def test_the_page_is_up_to_date_and_names_every_network() -> None:
    page = (DOCS / "networks.md").read_text()
    assert page == text()
    assert all(f"| `{name}` " in page for name in arch.list_networks())


def test_the_page_says_what_each_block_is_and_where_to_read_on() -> None:
    page = text()
    assert "`inception_v1` (googlenet, row 3a): Inception module with dimension reductions" in page
    pages = re.findall(r"\]\(([^)/]+\.md)\)", page)
    assert len(pages) == 3
    assert all((DOCS / name).is_file() for name in pages)


def test_sums_in_a_note_are_no_emphasis() -> None:
    """`7*7*3*8` in Markdown reads 7738, partly in italics."""
    assert r"7\*7\*3\*8 + 24\*64 = 2,712" in text()
    assert not re.search(r"\d\*\d", text())


def test_every_block_is_drawn_from_a_row_that_has_it() -> None:
    for block, (network, row) in BLOCKS.items():
        assert arch.load(network).row(row).block == block


def test_the_page_finds_its_drawings(tmp_path: Path) -> None:
    """Each block's and each network's, of which two share a name, and nothing else lies beside the page."""
    page = gallery(tmp_path)
    drawings = re.findall(r"\]\(((?:blocks|networks)/[^)]+)\)", page.read_text())
    assert len(drawings) == len(set(drawings)) == len(BLOCKS) + len(NETWORKS)
    assert {"blocks/inception_v3.svg", "networks/inception_v3.svg"} <= set(drawings)
    for drawing in drawings:
        assert (tmp_path / drawing).read_text() == (DOCS / drawing).read_text()
    for folder in (tmp_path, DOCS):
        found = [f"{kind}/{path.name}" for kind in ("blocks", "networks") for path in (folder / kind).iterdir()]
        assert sorted(found) == sorted(drawings)


def test_a_drawing_shows_what_its_caption_names() -> None:
    block, network = ((DOCS / kind / "inception_v3.svg").read_text() for kind in ("blocks", "networks"))
    assert "inception_v3_cifar_small, row 3a: inception_v3" in block
    assert "inception_v3_a" in network
    assert "inception_v3_a" not in block
