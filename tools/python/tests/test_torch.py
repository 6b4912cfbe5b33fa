"""Datasets for PyTorch's DataLoader, without workers and with those of `spawn` and of `fork`."""

from __future__ import annotations

import logging
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DATA

import nvdec

torch = pytest.importorskip("torch", exc_type=ImportError)
import nvdec.torch  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

# Python says that a process with threads, those of the emulated GPU, is forked.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

FILES = [DATA / name for name in ("plain.mp4", "vfr.mp4", "matroska.mkv", "transport.ts")]
OPTIONS: dict[str, Any] = {"device": "emulated", "size": (24, 32)}
WORKERS = [None, "spawn", "fork"]


def loader(dataset: Any, start: str | None, **options: Any) -> DataLoader:
    workers = {} if start is None else {"num_workers": 2, "multiprocessing_context": start}
    return DataLoader(dataset, **workers, **options)


def pictures(path: str | Path, numbers: Any) -> np.ndarray:
    with nvdec.open(path, **OPTIONS) as video:
        return video[list(numbers)].numpy().copy()


@pytest.mark.parametrize("start", WORKERS)
def test_clips(start: str | None) -> None:
    # What the parent has opened is of no consequence for its children.
    pictures(FILES[0], [0])
    seen = []
    for rank in range(2):
        clips = nvdec.Clips(FILES, frames=3, stride=4, clips=2, seed=5, rank=rank, world=2)
        for item in loader(nvdec.torch.ClipDataset(clips, batch=2, **OPTIONS), start, batch_size=None):
            assert not item["failures"] and isinstance(item["frames"], torch.Tensor)
            for clip, path, numbers in zip(item["frames"], item["source"], item["index"], strict=True):
                np.testing.assert_array_equal(clip.numpy(), pictures(path, numbers))
                seen.append((path, tuple(numbers)))
    whole = nvdec.Clips(FILES, frames=3, stride=4, clips=2, seed=5)
    expected = [clip for batch in whole.loader(**OPTIONS) for clip in zip(batch.source, batch.index, strict=True)]
    assert sorted(seen) == sorted(expected) and len(seen) == 8


@pytest.mark.parametrize("start", WORKERS[1:])
def test_a_worker_whose_files_all_fail_ends_nothing(tmp_path: Path, start: str) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(FILES[0].read_bytes()[:300])
    clips = nvdec.Clips([FILES[0], broken], frames=2, shuffle=False)
    (item,) = loader(nvdec.torch.ClipDataset(clips, **OPTIONS), start, batch_size=None)
    assert list(item["source"]) == [str(FILES[0])]


def test_files_that_no_batch_names_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    missing = tmp_path / "missing.mp4"
    with caplog.at_level(logging.WARNING):
        assert list(nvdec.torch.ClipDataset(nvdec.Clips([missing], frames=2), **OPTIONS)) == []
    assert "missing.mp4" in caplog.text


def test_epochs() -> None:
    dataset = nvdec.torch.ClipDataset(nvdec.Clips(FILES, frames=2, clips=3, seed=1), **OPTIONS)

    def order() -> list[Any]:
        return [item["index"] for item in loader(dataset, None, batch_size=None)]

    first = order()
    assert order() == first
    dataset.set_epoch(1)
    assert order() != first
    dataset.set_epoch(0)
    assert order() == first


def test_the_midst_of_an_epoch() -> None:
    clips = nvdec.Clips(FILES, frames=2, clips=3, seed=1)
    dataset = nvdec.torch.ClipDataset(clips, **OPTIONS)
    whole = [item["index"] for item in loader(dataset, None, batch_size=None)]
    clips.load_state_dict({"epoch": 0, "seed": 1, "position": 5})
    assert [item["index"] for item in loader(dataset, None, batch_size=None)] == whole[5:]
    with pytest.raises(nvdec.OptionError, match="midst"):
        list(loader(dataset, "fork", batch_size=None))


@pytest.mark.parametrize("start", WORKERS)
def test_a_file_of_clips_that_fails_is_named(tmp_path: Path, start: str | None) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(FILES[0].read_bytes()[:300])
    # Each of two workers has a sound file.
    clips = nvdec.Clips([FILES[0], FILES[1], broken, FILES[2]], frames=2, shuffle=False)
    items = list(loader(nvdec.torch.ClipDataset(clips, batch=4, **OPTIONS), start, batch_size=None))
    assert sorted(path for item in items for path in item["source"]) == sorted(map(str, FILES[:3]))
    assert [path for item in items for path, _ in item["failures"]] == [str(broken)]


@pytest.mark.parametrize("start", WORKERS)
def test_frames_of_files(tmp_path: Path, start: str | None) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(FILES[0].read_bytes()[:300])
    paths = [*FILES, broken, tmp_path / "missing.mp4"]
    indexes = [*map(nvdec.index, FILES), None, None]
    dataset = nvdec.torch.FramesDataset(paths, 3, indexes=pickle.loads(pickle.dumps(indexes)), **OPTIONS)
    assert len(dataset) == 6
    seen: dict[str, tuple[np.ndarray, list[int], str]] = {}
    for batch in loader(dataset, start, batch_size=2):
        assert batch["frames"].shape == (2, 3, 3, 24, 32)
        for frames, index, path, error in zip(batch["frames"], batch["index"], batch["path"], batch["error"], strict=True):
            assert path not in seen
            seen[path] = (frames.numpy(), index.tolist(), error)
    assert sorted(seen) == sorted(map(str, paths))
    for path in FILES:
        frames, index, error = seen[str(path)]
        assert index == [4, 12, 20] and error == ""
        np.testing.assert_array_equal(frames, pictures(path, index))
    for path in paths[4:]:
        frames, index, error = seen[str(path)]
        assert index == [-1] * 3 and error and not frames.any()


@pytest.mark.parametrize("start", [None, "fork"])
def test_kinds_of_elements(start: str | None) -> None:
    for dtype in ("uint8", "float16", "bfloat16", "float32"):
        dataset = nvdec.torch.FramesDataset(FILES[:1], 2, dtype=dtype, layout="NHWC", channels="grey", **OPTIONS)
        (batch,) = loader(dataset, start)
        assert batch["frames"].dtype == getattr(torch, dtype) and batch["frames"].shape == (1, 2, 24, 32, 1)
        with nvdec.open(FILES[0], dtype=dtype, layout="NHWC", channels="grey", **OPTIONS) as video:
            assert torch.equal(batch["frames"][0], torch.from_dlpack(video[[6, 18]]))


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.hevc"
    data = bytearray((DATA / "stream.hevc").read_bytes())
    for at in range(len(data) // 2, len(data), 97):
        data[at] ^= 0x55
    damaged.write_bytes(data)
    item = nvdec.torch.FramesDataset([damaged], 8, **OPTIONS)[0]
    assert item["error"] and item["index"].tolist()[0] == 1 and item["frames"].any()


def test_what_is_no_fault_of_a_file_is_raised() -> None:
    with pytest.raises(nvdec.DeviceError):
        nvdec.torch.FramesDataset(FILES, size=(24, 32), device="nv:99")[0]


def test_arguments_are_checked() -> None:
    with pytest.raises(nvdec.OptionError, match="frames"):
        nvdec.torch.FramesDataset(FILES, 0, **OPTIONS)
    with pytest.raises(nvdec.OptionError, match="indexes"):
        nvdec.torch.FramesDataset(FILES, indexes=[None], **OPTIONS)
    with pytest.raises(TypeError, match="sizes"):
        nvdec.torch.FramesDataset(FILES, sizes=1, **OPTIONS)
    with pytest.raises(nvdec.OptionError, match="batch"):
        nvdec.torch.ClipDataset(nvdec.Clips(FILES), 0)


def test_a_warning_is_an_error() -> None:
    # Tensors can be written to, or PyTorch says that they cannot.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        item = nvdec.torch.FramesDataset(FILES, 1, **OPTIONS)[0]
        item["frames"] += 1
