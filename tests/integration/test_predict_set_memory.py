"""A data set that is larger than the memory of who scores it."""

import pytest
from tests.data_set_memory import FILES, make, measure

GROWTH_BYTES = 25_000_000


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_data_set_takes_no_more_memory_than_one_of_its_files(tmp_path):
    """The whole is more than four times what a process ever has, and a twelfth of it takes as much."""
    make(tmp_path / "two", files=2)
    make(tmp_path / "all", files=FILES)
    few = measure(tmp_path / "two", tmp_path / "out-two", "--workers", "2")
    many = measure(tmp_path / "all", tmp_path / "out-all", "--workers", "2")
    assert many.processes == 2
    assert many.data_bytes > 4 * many.most_bytes
    assert many.most_bytes < few.most_bytes + GROWTH_BYTES
