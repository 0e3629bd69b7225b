"""kill -9 in the middle of everything, again and again. A few cycles run with `make test`; see README.md."""

import pytest

from conftest import cycles
from world import kill_cycles


@pytest.mark.parametrize("flush", ["ASYNC_FLUSH", "SYNC_FLUSH"])
def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path, seed, say, flush):
    count = cycles(60)
    counted = kill_cycles(tmp_path, count, flush, seed, say=say)
    assert counted["cycles"] == count and counted["acknowledged"] > 10 * count
