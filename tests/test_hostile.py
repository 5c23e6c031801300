"""A part of the hostile files of ``tests/hostile.py``; ``python -m tests.hostile FOLDER`` tries them all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="onnx, which makes the model files, comes with the extra test")
pytest.importorskip("torch", reason="torch, which training needs, comes with the extra test")
if sys.platform != "linux":
    # The limit of memory that each process gets is Linux's.
    pytest.skip("limits of memory are set as on Linux", allow_module_level=True)

from tests.hostile import Case, cases, try_case

EVERY = 24


@pytest.mark.parametrize("case", cases()[::EVERY], ids=lambda case: case.name)
def test_it_holds(case: Case, tmp_path: Path) -> None:
    outcome = try_case(case, tmp_path / "case")
    assert outcome.held, (outcome.code, outcome.seconds, outcome.error[-2000:])


def test_there_are_300_in_five_kinds() -> None:
    every = cases()
    assert len(every) >= 300
    assert {case.command[0] for case in every} == {"run", "eval", "train"}
    assert len({case.name for case in every}) == len(every)
