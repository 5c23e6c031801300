"""What a recipe's task is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch comes with the extra train")

from heatstream.models.pose.distillation import DistillationCriterion
from heatstream.models.training.recipe import read_recipe
from heatstream.models.training.tasks import make_criterion

RECIPE = Path(__file__).resolve().parents[3] / "heatstream" / "recipes" / "swahr-small.toml"
START = ("model.init=swahr-small", "teacher.checkpoint=swahr-small")


@pytest.mark.parametrize(
    ("changes", "shared"),
    [
        (START, True),
        ((*START, 'model.frozen=["backbone", "fpn"]'), False),
        (("model.init=other.pt", "teacher.checkpoint=swahr-small"), False),
        ((*START, "model.fresh_heads=true"), False),
        (("model.name=swahr-tiny", *START), False),
    ],
)
def test_a_teacher_that_the_student_started_from_shares_what_is_frozen(changes: tuple[str, ...], shared: bool) -> None:
    criterion = make_criterion(read_recipe(RECIPE, changes))
    assert isinstance(criterion, DistillationCriterion)
    assert criterion.shared is shared
