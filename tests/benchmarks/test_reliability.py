from __future__ import annotations

from benchmarks.reliability import PAGE, faults, outcomes, page, records

ABOUT = {"processor": "a chip", "python": "3.11", "time": "2026-11-21T00:00:00", "commit": "abc"}
KILLS = {"fault": "SIGKILL of the driver", "injected": 200, "lost": 0, "environment": ABOUT}
FUZZ = KILLS | {"fault": "wrong files", "injected": 30, "lost": 2, "seconds_each": 20, "memory_gib": 8}


def test_the_page_is_made_of_its_records() -> None:
    assert PAGE.read_text() == page(records())


def test_counts_by_hand() -> None:
    fuzz = FUZZ | {"counts": {"recipe": {"valid": 3, "refused": 25, "KeyError": 2}}}
    assert outcomes(fuzz).frame.iloc[0].tolist() == ["recipe", 30, 3, 25, 2]
    assert faults([KILLS, fuzz]).frame["lost"].tolist() == ["nothing", 2]
    assert "20 s without an end" in page([fuzz])
    assert "Wrong files" not in page([KILLS])
