"""Packed volumes: what comes out of the files is what a plain array in memory would give."""

import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braincase.cohort.cohort import Cohort
from braincase.cohort.shards import PackedVolumes, open_shards, write_shards
from braincase.errors import CohortError

SHAPE = (3, 4, 5)
COUNT = 11


@pytest.fixture(scope="module")
def in_memory() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="module")
def packed(in_memory, tmp_path_factory) -> PackedVolumes:
    return write_shards(tmp_path_factory.mktemp("packed"), iter(in_memory), SHAPE, shard_scans=4)


def test_shards_are_numpy_files_of_at_most_the_asked_size(packed, in_memory):
    assert packed.counts == (4, 4, 3)
    together = np.concatenate([np.load(path) for path in packed.paths])
    np.testing.assert_array_equal(together, in_memory)


@settings(deadline=None)
@given(st.lists(st.integers(-COUNT, COUNT - 1)))
def test_any_rows_in_any_order_and_more_than_once(packed, in_memory, rows):
    found = packed[rows]
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, in_memory[np.array(rows, int)])


@settings(deadline=None)
@given(st.slices(COUNT))
def test_any_slice(packed, in_memory, rows):
    np.testing.assert_array_equal(packed[rows], in_memory[rows])


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=COUNT, max_size=COUNT))
def test_any_mask(packed, in_memory, mask):
    np.testing.assert_array_equal(packed[mask], in_memory[np.array(mask)])


def test_one_row_gives_one_volume(packed, in_memory):
    np.testing.assert_array_equal(packed[-2], in_memory[-2])
    assert len(packed) == COUNT


@pytest.mark.parametrize("rows", [COUNT, -COUNT - 1, [0, COUNT]])
def test_a_row_that_does_not_exist_is_an_index_error(packed, rows):
    with pytest.raises(IndexError):
        packed[rows]


def test_the_result_can_be_written_without_touching_the_files(packed, in_memory):
    packed[[0, 1]][:] = 0
    packed[0][:] = 0
    np.testing.assert_array_equal(packed[[0, 1]], in_memory[:2])


def test_a_worker_process_gets_paths_and_not_the_volumes(packed, in_memory):
    packed[[0]]  # memory maps are open now
    sent = pickle.dumps(packed)
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent)[[7, 3]], in_memory[[7, 3]])


def test_one_volume_at_a_time_is_in_memory(tmp_path):
    shape = (40, 48, 40)
    volumes = (np.full(shape, i % 256, np.uint8) for i in range(300))
    tracemalloc.start()
    packed = write_shards(tmp_path, volumes, shape, shard_scans=200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * np.prod(shape)
    assert packed[299].flat[0] == 299 % 256


def test_ctrl_c_leaves_whole_files_only(tmp_path, in_memory):
    def interrupted():
        yield from in_memory[:6]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(tmp_path, interrupted(), SHAPE, shard_scans=4)
    assert [path.name for path in tmp_path.iterdir()] == ["volumes-000.npy"]
    assert np.load(tmp_path / "volumes-000.npy").shape == (4, *SHAPE)


def test_packing_again_leaves_nothing_of_what_was_there(tmp_path, in_memory):
    write_shards(tmp_path, iter(in_memory), SHAPE, shard_scans=2)
    (tmp_path / ".writing-1234-volumes-007.npy").write_bytes(b"left by kill -9")
    write_shards(tmp_path, iter(in_memory[:3]), SHAPE, shard_scans=2)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["volumes-000.npy", "volumes-001.npy"]


def test_a_damaged_shard_is_refused_by_name(tmp_path, in_memory):
    written = write_shards(tmp_path, iter(in_memory), SHAPE, shard_scans=6)
    np.testing.assert_array_equal(open_shards(tmp_path, [6, 5], SHAPE)[:], in_memory)
    with pytest.raises(CohortError, match=r"001.npy: uint8 \(5, 3, 4, 5\); expected uint8 \(4,"):
        open_shards(tmp_path, [6, 4], SHAPE)
    whole = written.paths[0].read_bytes()
    written.paths[0].write_bytes(whole[:-1])
    with pytest.raises(CohortError, match=r"volumes-000.npy"):
        open_shards(tmp_path, [6, 5], SHAPE)
    written.paths[0].unlink()
    with pytest.raises(CohortError, match=r"volumes-000.npy"):
        open_shards(tmp_path, [6, 5], SHAPE)


def test_every_file_of_a_cohort_is_its_owners_alone(tiny: Cohort) -> None:
    assert (tiny.folder / "packed" / ".lock").exists()
    assert not [path for path in tiny.folder.rglob("*") if path.stat().st_mode & 0o077]
