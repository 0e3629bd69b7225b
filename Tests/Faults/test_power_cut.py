"""True power cuts: the file system is shut down without another write, and mounted again."""

import pytest

from conftest import cycles
from world import power_cycles


@pytest.mark.parametrize("flush", ["SYNC_FLUSH", "ASYNC_FLUSH"])
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_power_cut_loses_only_what_may_be_lost(tmp_path, seed, say, kind, flush):
    count = cycles(20)
    counted = power_cycles(tmp_path, kind, count, flush, seed, say=say)
    assert counted["cycles"] == count and counted["acknowledged"] > count
    assert flush == "ASYNC_FLUSH" or counted["lost"] == 0
