"""Whether a run goes on as the same run."""

from dataclasses import asdict

import pytest

from fer_hub import UserError
from fer_hub.recipes import RECIPES
from fer_hub.training.resume import require_same_run


@pytest.mark.parametrize("recipe", ["small", "paper-plus"])
def test_a_forgotten_recipe_is_named_without_what_follows_from_it(recipe, tmp_path):
    before, now = (
        {
            "config": asdict(RECIPES[name]),
            "global_batch_size": RECIPES[name].global_batch_size,
            "data": {"fingerprints": {}},
            "teachers": ["0123456789abcdef"] * len(RECIPES[name].teacher),
        }
        for name in (recipe, "paper")
    )
    with pytest.raises(UserError, match=rf"cannot be resumed so: --recipe was {recipe}, is paper\. Resume with"):
        require_same_run(before, now, tmp_path)
