"""What programs for TorchCodec do, as its tutorial has it, with TorchCodec's decoder and with the one that takes its place: the same
pictures, times and shapes. It is left out where TorchCodec is not installed, or does not find FFmpeg."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import DATA

torch = pytest.importorskip("torch")
try:
    from torchcodec.decoders import VideoDecoder as Theirs
except (ImportError, OSError, RuntimeError) as error:
    pytest.skip(f"torchcodec: {error}".splitlines()[0], allow_module_level=True)

from nvdec.compat.torchcodec import VideoDecoder as Ours  # noqa: E402

FILES = ["plain.mp4", "vfr.mp4", "fragmented.mp4", "negative.mp4", "two_tracks.mp4", "quicktime.mov", "colour.mp4", "matroska.mkv"]


def both(name: str, **options: Any) -> tuple[Any, Any]:
    # TorchCodec takes the chroma sample that is nearest.
    return Theirs(DATA / name, **options), Ours(DATA / name, device="emulated", chroma="nearest", **options)


def same_pictures(theirs: Any, ours: Any) -> None:
    """On the CPU their conversion is off by 1 on average, and by 3 here and there."""
    assert theirs.shape == ours.shape and theirs.dtype == ours.dtype == torch.uint8
    difference = (theirs.int() - ours.cpu().int()).abs().double()
    assert difference.mean() < 2 and torch.quantile(difference.flatten(), 0.98) <= 6


def same_frames(theirs: Any, ours: Any, tick: float = 1e-9) -> None:
    same_pictures(theirs.data, ours.data)
    for name in ("pts_seconds", "duration_seconds"):
        a, b = (torch.as_tensor(getattr(frames, name), dtype=torch.float64) for frames in (theirs, ours))
        assert a.shape == b.shape and (a - b).abs().max() <= tick, name


@pytest.mark.parametrize("name", FILES)
def test_the_tutorial(name: str) -> None:
    # Matroska says when a picture begins, in milliseconds, and not for how long it is shown.
    tick = 1.1e-3 if name.endswith(".mkv") else 1e-9
    theirs, ours = both(name)
    assert len(theirs) == len(ours)
    same_pictures(theirs[0], ours[0])
    same_pictures(theirs[-1], ours[-1])
    same_pictures(theirs[0:-1:7], ours[0:-1:7])
    for their_picture, our_picture, _ in zip(theirs, ours, range(3)):
        same_pictures(their_picture, our_picture)
    same_frames(theirs.get_frame_at(len(theirs) - 1), ours.get_frame_at(len(ours) - 1), tick)
    same_frames(theirs.get_frames_at([4, 0, 3, 4]), ours.get_frames_at([4, 0, 3, 4]), tick)
    same_frames(theirs.get_frames_in_range(2, 10, 3), ours.get_frames_in_range(2, 10, 3), tick)
    begin = theirs.metadata.begin_stream_seconds
    # While pictures are shown: in a gap that durations leave, TorchCodec gives the picture behind it, and nvdec the one before.
    times = [seconds + 0.01 for seconds in theirs.get_frames_at([12, 0, 6]).pts_seconds.tolist()]
    same_frames(theirs.get_frame_played_at(times[0]), ours.get_frame_played_at(times[0]), tick)
    same_frames(theirs.get_frames_played_at(times), ours.get_frames_played_at(times), tick)
    same_frames(
        theirs.get_frames_played_in_range(begin + 0.1, begin + 0.6), ours.get_frames_played_in_range(begin + 0.1, begin + 0.6), tick
    )


@pytest.mark.parametrize("name", FILES)
def test_metadata(name: str) -> None:
    theirs, ours = (decoder.metadata for decoder in both(name))
    for field in ("codec", "width", "height", "num_frames"):
        assert getattr(theirs, field) == getattr(ours, field), field
    for field in ("average_fps", "begin_stream_seconds", "end_stream_seconds", "duration_seconds"):
        assert getattr(theirs, field) == pytest.approx(getattr(ours, field), abs=0.03 if field == "average_fps" else 1.1e-3), field


def test_the_order_of_dimensions() -> None:
    theirs, ours = both("plain.mp4", dimension_order="NHWC")
    same_frames(theirs.get_frames_in_range(0, 4), ours.get_frames_in_range(0, 4))


def test_what_is_out_of_range() -> None:
    for decoder in both("plain.mp4"):
        for outside in (len(decoder), len(decoder) + 5):
            with pytest.raises(IndexError):
                decoder.get_frame_at(outside)
        with pytest.raises((IndexError, ValueError, RuntimeError)):
            decoder.get_frame_played_at(decoder.metadata.end_stream_seconds + 1)
