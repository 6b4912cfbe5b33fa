"""What other libraries are given, and how long it lives."""

import gc
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

import nvdec


def test_dlpack_on_the_host(plain: Path) -> None:
    video = nvdec.open(plain)
    batch = video[:4]
    assert batch.__dlpack_device__() == (1, 0) and batch.device == "emulated"
    array = np.from_dlpack(batch)
    expected = batch.numpy().copy()
    np.testing.assert_array_equal(array, expected)
    np.testing.assert_array_equal(np.from_dlpack(video[2]), expected[2])
    # What is there once is not copied again, unless a copy is asked for.
    assert np.shares_memory(array, batch.numpy())
    assert not np.shares_memory(np.array(batch), batch.numpy())
    assert "dltensor_versioned" in repr(batch.__dlpack__(max_version=(1, 1), copy=True))
    assert "dltensor" in repr(batch.__dlpack__(dl_device=(1, 0), copy=False))
    for arguments, error in [
        ({"stream": 1}, ValueError),
        ({"dl_device": (2, 0)}, BufferError),
    ]:
        with pytest.raises(error):
            batch.__dlpack__(**arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="stream"):
        batch.record_stream(7)


def test_arrays_outlive_everything_else(plain: Path) -> None:
    video = nvdec.open(plain)
    expected = video[3:9].numpy().copy()
    batch = video[3:9]
    arrays = [batch.numpy(), np.from_dlpack(batch), np.asarray(batch), np.frombuffer(batch.host(), "u1").reshape(batch.shape)]
    gone = weakref.ref(video)
    video.close()
    del video, batch
    gc.collect()
    assert gone() is None
    # Memory of batches is used again.
    others = [nvdec.open(plain)[0:6] for _ in range(5)]
    for array in arrays:
        np.testing.assert_array_equal(array, expected)
    assert all(other.numpy().any() for other in others)


def test_a_batch_that_is_held_is_not_written_over(plain: Path) -> None:
    video = nvdec.open(plain)
    held = [video[number] for number in range(24)]
    for _ in range(3):
        for batch in video.batches(1):
            batch.wait()
    expected = video[:].numpy()
    np.testing.assert_array_equal(np.stack([frame.numpy() for frame in held]), expected)


def test_a_capsule_that_nobody_takes(plain: Path) -> None:
    batch = nvdec.open(plain)[:2]
    for version in (None, (0, 8), (1, 0)):
        for _ in range(100):
            batch.__dlpack__(max_version=version, copy=True)
    assert batch.numpy().any()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="classes written in Python have buffers from 3.12 on")
def test_memoryview(plain: Path) -> None:
    for dtype in ("uint8", "float16", "float32"):
        frame = nvdec.open(plain, dtype=dtype)[0]
        view = memoryview(frame)  # type: ignore[arg-type]
        assert view.shape == frame.shape and view.c_contiguous
        np.testing.assert_array_equal(np.asarray(view), frame.numpy())
    with pytest.raises(BufferError, match="bfloat16"):
        memoryview(nvdec.open(plain, dtype="bfloat16")[0])  # type: ignore[arg-type]


def test_numpy_conversions(plain: Path) -> None:
    frame = nvdec.open(plain)[0]
    assert np.asarray(frame, dtype="f4").dtype == np.float32
    assert np.asarray(frame).dtype == np.uint8
    array = frame.numpy()
    array[:] = 7
    assert (frame.numpy() == 7).all(), "the host copy is one"


def test_torch(plain: Path) -> None:
    torch = pytest.importorskip("torch")
    batch = nvdec.open(plain, dtype="float16")[:4]
    tensor = torch.from_dlpack(batch)
    assert tensor.dtype == torch.float16 and tensor.is_contiguous()
    np.testing.assert_array_equal(tensor.numpy(), batch.numpy())
    tensor = torch.from_dlpack(nvdec.open(plain, dtype="bfloat16")[0])
    assert tensor.dtype == torch.bfloat16
    target = torch.zeros(2, 3, 96, 128, dtype=torch.uint8)
    nvdec.open(plain).into(target, [3, 5])
    np.testing.assert_array_equal(target.numpy(), nvdec.open(plain)[[3, 5]].numpy())


def test_memory_that_was_dropped_unread_is_not_written_late(plain: Path) -> None:
    """Conversions take the emulated GPU a while here: they are dropped long before they are over."""
    video = nvdec.open(plain, size=(900, 1200), dtype="float32")
    expected = [video[number].numpy().copy() for number in (0, 13)]
    for _ in range(4):
        for number in (5, 23, 9):
            video[number]
        for number, array in zip((0, 13), expected):
            np.testing.assert_array_equal(video[number].numpy(), array)
