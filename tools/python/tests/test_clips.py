"""Clips of many files: what they hold, in which order they come, and files that fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DATA, ROOT

import nvdec

FILES = [DATA / name for name in ("plain.mp4", "vfr.mp4", "matroska.mkv", "transport.ts")]
OPTIONS: dict[str, Any] = {"device": "emulated", "size": (24, 32)}


def test_clips_are_the_pictures_of_their_files() -> None:
    dataset = nvdec.Clips(FILES, frames=3, stride=4, clips=2, seed=5)
    assert len(dataset) == 8
    seen = []
    for batch in dataset.loader(batch=3, **OPTIONS):
        assert batch.shape == (len(batch), 3, 3, 24, 32) and batch.failures == ()
        for clip, (path, numbers) in zip(batch.numpy(), zip(batch.source, batch.index)):
            with nvdec.open(path, **OPTIONS) as video:
                np.testing.assert_array_equal(clip, video[list(numbers)].numpy())
                seconds = video[list(numbers)].pts_seconds
            assert batch.pts_seconds[len(seen) % 3] == seconds or len(batch) < 3
            seen.append((path, numbers))
        assert batch.errors == ((None,) * 3,) * len(batch)
    assert len(seen) == 8 and dataset.epoch == 1
    assert sorted({Path(path).name for path, _ in seen}) == sorted(path.name for path in FILES)


def order(dataset: nvdec.Clips, **options: Any) -> list[tuple[str, tuple[int, ...]]]:
    return [clip for batch in dataset.loader(**{**OPTIONS, **options}) for clip in zip(batch.source, batch.index)]


def test_an_epoch_is_taken_up_where_it_was_left() -> None:
    def dataset(**options: int) -> nvdec.Clips:
        return nvdec.Clips(FILES, frames=2, clips=3, seed=1, **options)

    whole = order(dataset(), batch=2)
    assert whole == order(dataset(), batch=5) and whole != order(dataset(epoch=1), batch=2)
    left = dataset()
    loader = left.loader(batch=2, **OPTIONS)
    begun = [clip for batch in (next(loader), next(loader)) for clip in zip(batch.source, batch.index)]
    state = left.state_dict()
    assert state == {"epoch": 0, "seed": 1, "position": 4}
    again = nvdec.Clips(FILES, frames=2, clips=3)
    again.load_state_dict(state)
    assert begun + order(again, batch=2) == whole
    ranks = [order(dataset(rank=rank, world=3)) for rank in range(3)]
    assert sorted(sum(ranks, [])) == sorted(whole) and [len(rank) for rank in ranks] == [4, 4, 4]


def test_a_file_that_fails_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(FILES[0].read_bytes()[:300])
    paths = [FILES[0], broken, tmp_path / "missing.mp4", DATA / "h264.mp4", FILES[2]]
    (batch,) = nvdec.Clips(paths, frames=2, shuffle=False).loader(batch=4, **OPTIONS)
    assert batch.source == (str(FILES[0]), str(FILES[2]))
    assert [path for path, _ in batch.failures] == [str(path) for path in paths[1:4]]
    assert "H264" in batch.failures[2][1]
    assert list(nvdec.Clips(paths, frames=2, shuffle=False).loader(batch=4, drop_last=True, **OPTIONS)) == []


def test_short_videos() -> None:
    def numbers(policy: str) -> tuple[int, ...]:
        return order(nvdec.Clips(FILES[:1], frames=4, stride=10, policy=policy, shuffle=False))[0][1]

    assert numbers("repeat_last") == (0, 10, 20, 20) and numbers("wrap") == (0, 10, 20, 0)
    with pytest.raises(nvdec.CorruptError, match="24"):
        numbers("error")


def test_files_of_different_sizes_need_a_size() -> None:
    paths = [FILES[0], Path(__file__).parents[3] / "tools" / "clips" / "x_wpp.hevc"]
    (batch,) = nvdec.Clips(paths, frames=1, shuffle=False).loader(batch=2, device="emulated")
    assert len(batch) == 1 and "give a size" in batch.failures[0][1]
    (batch,) = nvdec.Clips(paths, frames=1, shuffle=False).loader(batch=2, dtype="float32", layout="NHWC", **OPTIONS)
    assert batch.shape == (2, 1, 24, 32, 3) and batch.dtype == "float32"


@pytest.mark.parametrize(
    "wrong", [{"frames": 0}, {"stride": 0}, {"clips": 0}, {"world": 0}, {"rank": 1}, {"rank": -1}, {"policy": "loop"}]
)
def test_arguments_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(nvdec.OptionError, match=next(iter(wrong))):
        nvdec.Clips(FILES, **wrong)


def test_arguments_of_the_loader_are_checked() -> None:
    dataset = nvdec.Clips(FILES)
    with pytest.raises(TypeError, match="sizes"):
        dataset.loader(sizes=(1, 1))
    with pytest.raises(nvdec.OptionError):
        dataset.loader(batch=0)
    with pytest.raises(nvdec.OptionError):
        dataset.loader(device="emulated", dtype="int4")


def test_dlpack() -> None:
    batch = next(iter(nvdec.Clips(FILES, frames=2).loader(batch=2, **OPTIONS)))
    array = np.from_dlpack(batch)
    assert array.shape == batch.shape
    np.testing.assert_array_equal(array, batch.numpy())


def test_several_gpus_decode_batches_in_turn() -> None:
    def given(device: Any) -> list[tuple[str, tuple[str, ...], Any, bytes]]:
        dataset = nvdec.Clips(FILES, frames=2, stride=2, clips=3, seed=9)
        batches = dataset.loader(batch=2, **{**OPTIONS, "device": device})
        return [(batch.device, batch.source, batch.index, batch.numpy().tobytes()) for batch in batches]

    one, two = given("emulated"), given(["emulated", "emulated:1"])
    assert [batch[0] for batch in two] == ["emulated", "emulated:1"] * 3
    assert [batch[1:] for batch in two] == [batch[1:] for batch in one]


def test_auto_is_all_gpus_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NVDEC_DEVICE", "emulated, emulated:1")
    loader = nvdec.Clips(FILES, frames=1, shuffle=False).loader(device="auto", size=(24, 32))
    assert [batch.device for batch in loader] == ["emulated", "emulated:1"] * 2
    # Each video goes to the one on which the fewest are decoded.
    first, second = (nvdec.open(FILES[0]) for _ in range(2))
    assert {first.device, second.device} == {"emulated", "emulated:1"}
    freed = first.device
    del first
    assert nvdec.open(FILES[0]).device == freed
    monkeypatch.setenv("NVDEC_DEVICE", "emulated,nothing")
    with pytest.raises(nvdec.OptionError, match="NVDEC_DEVICE.*nothing"):
        nvdec.open(FILES[0])


def test_a_file_that_fails_moves_no_other_pictures(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video" * 100)
    files = [FILES[0], broken, *FILES[1:], broken, *FILES]
    dataset = nvdec.Clips(files, frames=2, shuffle=False)
    seen, failed = [], []
    for batch in dataset.loader(batch=3, **OPTIONS):
        failed += [path for path, _ in batch.failures]
        for clip, path, numbers in zip(batch.numpy(), batch.source, batch.index):
            with nvdec.open(path, **OPTIONS) as video:
                np.testing.assert_array_equal(clip, video[list(numbers)].numpy())
            seen.append(path)
    assert seen == [str(path) for path in files if path != broken] and failed == [str(broken)] * 2


def test_batches_come_before_the_file_behind_them_that_fails(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video" * 100)
    dataset = nvdec.Clips([FILES[0], broken], frames=2, shuffle=False)
    loader = dataset.loader(batch=1, prefetch=4, **OPTIONS)
    assert next(loader).source == (str(FILES[0]),)
    with pytest.raises(nvdec.CorruptError, match="broken.mp4"):
        next(loader)
    # The epoch is over, and the next one has all files.
    assert dataset.state_dict() == {"epoch": 1, "seed": 0, "position": 0}
    assert next(dataset.loader(**OPTIONS)).source == (str(FILES[0]),)


def test_a_loader_goes_ahead_as_far_as_there_is_memory() -> None:
    price = nvdec.price(FILES[0], batch=2, size=(512, 512), dtype="float32")
    program = f"""
import nvdec
dataset = nvdec.Clips({[str(path) for path in FILES]!r}, frames=2, clips=3, shuffle=False)
options = dict(size=(512, 512), dtype="float32", device="emulated:9")
limit = {price.decoder + 4 * price.batch}
sources = [batch.source for batch in dataset.loader(prefetch=8, memory=limit, **options)]
assert len(sources) == 12, sources
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_loader_takes_memory_that_is_kept_for_batches() -> None:
    other = ROOT / "tools" / "clips" / "x_wpp.hevc"
    program = f"""
import nvdec
for number in range(1, 7):
    nvdec.open({str(FILES[0])!r}, size=(64 * number, 512), dtype="float32", device="emulated:9")[:]
kept = nvdec.probe("emulated:9")["memory_allocated"]
price = nvdec.price({str(other)!r}, batch=2, size=(64, 64), device="emulated:9")
assert kept > 4 * price.total, (kept, price)
dataset = nvdec.Clips([{str(other)!r}], frames=2, clips=3, shuffle=False)
sources = [batch.source for batch in dataset.loader(size=(64, 64), device="emulated:9", memory=kept + (1 << 20))]
assert len(sources) == 3, sources
assert nvdec.probe("emulated:9")["memory_allocated"] < kept
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_process_that_may_open_few_files_loses_no_clip(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.mp4" for number in range(60)]
    for path in paths:
        path.symlink_to(FILES[0])
    program = f"""
import os, resource
import nvdec
options = dict(size=(24, 32), device="emulated")
dataset = nvdec.Clips({[str(path) for path in paths]!r}, frames=2, shuffle=False)
# Queues take descriptors when somebody first sleeps for them.
list(dataset.loader(batch=4, **options))
may = len(os.listdir("/proc/self/fd")) + 20
resource.setrlimit(resource.RLIMIT_NOFILE, (may, may))
batches = list(dataset.loader(batch=4, **options))
assert [batch.failures for batch in batches] == [()] * 15, batches
assert len(dict.fromkeys(path for batch in batches for path in batch.source)) == 60
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_files_of_other_sizes_need_a_size() -> None:
    other = ROOT / "tools" / "clips" / "x_wpp.hevc"
    with nvdec.open(other, device="emulated") as video:
        assert video.shape != nvdec.open(FILES[0]).shape
    loader = nvdec.Clips([FILES[0], other], frames=2, shuffle=False).loader(batch=2, device="emulated")
    batch = next(loader)
    assert batch.source == (str(FILES[0]),) and len(batch.failures) == 1 and "size" in batch.failures[0][1]


def test_a_batch_that_is_too_large_is_refused() -> None:
    with pytest.raises(nvdec.OptionError, match="pictures"):
        nvdec.Clips(FILES, frames=2**40).loader(batch=2**30, **OPTIONS)
    loader = nvdec.Clips(FILES, frames=1, shuffle=False).loader(prefetch=2**62, **OPTIONS)
    assert len(list(loader)) == len(FILES)
