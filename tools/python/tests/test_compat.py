"""The interface of TorchCodec."""

from pathlib import Path

import numpy as np
import pytest

import nvdec
from nvdec.compat.torchcodec import Frame, FrameBatch, VideoDecoder


def test_frames_and_batches(plain: Path) -> None:
    decoder = VideoDecoder(plain)
    expected = nvdec.open(plain)[:].numpy()
    assert len(decoder) == 24
    np.testing.assert_array_equal(np.asarray(decoder[3]), expected[3])
    np.testing.assert_array_equal(np.asarray(decoder[-1]), expected[-1])
    np.testing.assert_array_equal(np.asarray(decoder[2:9:3]), expected[2:9:3])
    frame = decoder.get_frame_at(6)
    assert isinstance(frame, Frame) and frame.pts_seconds == 0.25
    assert frame.duration_seconds == pytest.approx(1 / 24)
    data, pts, duration = frame
    assert pts == 0.25 and duration > 0
    np.testing.assert_array_equal(np.asarray(data), expected[6])
    batch = decoder.get_frames_at([5, 1, 5])
    assert isinstance(batch, FrameBatch) and len(batch) == 3
    np.testing.assert_array_equal(np.asarray(batch.data), expected[[5, 1, 5]])
    np.testing.assert_allclose(np.asarray(batch.pts_seconds), np.array([5, 1, 5]) / 24)
    single = batch[1]
    assert isinstance(single, Frame) and single.pts_seconds == pytest.approx(1 / 24)
    assert [frame.pts_seconds for frame in batch] == pytest.approx([5 / 24, 1 / 24, 5 / 24])
    np.testing.assert_array_equal(np.asarray(decoder.get_frames_in_range(2, 8, 2).data), expected[2:8:2])


def test_times(plain: Path) -> None:
    decoder = VideoDecoder(plain, dimension_order="NHWC")
    assert decoder.get_frame_played_at(0.26).pts_seconds == 0.25
    batch = decoder.get_frames_played_at([0.5, 0.0])
    assert list(np.asarray(batch.pts_seconds)) == [0.5, 0.0] and tuple(batch.data.shape) == (2, 96, 128, 3)
    assert len(decoder.get_frames_played_in_range(0.25, 0.5)) == 6
    assert len(decoder.get_frames_played_in_range(0, 1, fps=8)) == 8
    assert len(decoder.get_all_frames()) == 24 and len(decoder.get_all_frames(fps=6)) == 6
    with pytest.raises(IndexError):
        decoder.get_frame_at(24)
    for start, stop in ((1, 0), (-0.1, 0.5), (0.5, 1.1)):
        with pytest.raises(ValueError, match="range"):
            decoder.get_frames_played_in_range(start, stop)
    for wrong in ((24, 25, 1), (5, 4, 1), (-1, 3, 1), (0, 5, 0)):
        with pytest.raises(IndexError, match="range"):
            decoder.get_frames_in_range(*wrong)
    with pytest.raises(IndexError):
        decoder.get_frame_played_at(1.0)


def test_metadata(plain: Path) -> None:
    metadata = VideoDecoder(plain).metadata
    assert (metadata.codec, metadata.width, metadata.height, metadata.num_frames) == ("hevc", 128, 96, 24)
    assert (metadata.average_fps, metadata.duration_seconds) == (24.0, 1.0)
    assert (metadata.begin_stream_seconds, metadata.end_stream_seconds, metadata.rotation) == (0.0, 1.0, 0.0)
    assert metadata.pixel_aspect_ratio == 1


def test_what_it_does_not_do(plain: Path) -> None:
    with pytest.raises(nvdec.UnsupportedError, match="cpu|CPU"):
        VideoDecoder(plain, device="cpu")
    with pytest.raises(ValueError, match="seek_mode"):
        VideoDecoder(plain, seek_mode="custom")
