"""A workspace's cache from its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from freehold import Workspace
from freehold.errors import SettingsError


@pytest.mark.parametrize("strategy", ["exact", "threshold"])
def test_a_judge_that_would_judge_nothing_is_refused(strategy: str, tmp_path: Path) -> None:
    """Protects from hits that their owner takes for judged."""
    with (
        Workspace(tmp_path, cache_judge=True, cache_strategy=strategy) as workspace,
        pytest.raises(SettingsError, match=f"CACHE_STRATEGY is '{strategy}'. Set the strategy to 'verified'"),
    ):
        _ = workspace.cache
