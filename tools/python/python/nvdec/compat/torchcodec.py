"""The decoder of TorchCodec, by its names: ``from nvdec.compat.torchcodec import VideoDecoder``.

What comes out are tensors of PyTorch, if that is installed; else arrays of NumPy. Arguments of TorchCodec's that have no meaning here
(``seek_mode``, ``num_ffmpeg_threads``) are taken and do nothing: every seek is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import nvdec

__all__ = ["Frame", "FrameBatch", "VideoDecoder", "VideoStreamMetadata"]


@dataclass
class Frame:
    """One picture."""

    data: Any
    """Channels, lines and columns."""
    pts_seconds: float
    """When it is shown."""
    duration_seconds: float
    """For how long."""

    def __iter__(self) -> Iterator[Any]:
        return iter((self.data, self.pts_seconds, self.duration_seconds))


@dataclass
class FrameBatch:
    """Several pictures."""

    data: Any
    """Pictures, channels, lines and columns."""
    pts_seconds: Any
    """When each is shown, as float64."""
    duration_seconds: Any
    """For how long."""

    def __iter__(self) -> Iterator[Frame]:
        for data, pts, duration in zip(self.data, self.pts_seconds, self.duration_seconds):
            yield Frame(data, float(pts), float(duration))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, which: Any) -> Frame | FrameBatch:
        data, pts, duration = self.data[which], self.pts_seconds[which], self.duration_seconds[which]
        if isinstance(which, int):
            return Frame(data, float(pts), float(duration))
        return FrameBatch(data, pts, duration)


@dataclass(frozen=True)
class VideoStreamMetadata:
    """What is known of the pictures, by TorchCodec's names."""

    stream_index: int
    codec: str
    width: int
    height: int
    num_frames: int
    average_fps: float | None
    duration_seconds: float | None
    begin_stream_seconds: float | None
    end_stream_seconds: float | None
    pixel_aspect_ratio: Fraction
    rotation: float | None
    bit_depth: int
    bit_rate: float | None = None
    """Not computed: always ``None``."""


def _torch() -> Any:
    try:
        import torch
    except ModuleNotFoundError:
        return None
    return torch


class VideoDecoder:
    """Pictures of a video, by number and by time.

    :param source: as in :func:`nvdec.open`
    :param stream_index: number of the track
    :param dimension_order: ``"NCHW"`` or ``"NHWC"``
    :param device: as in :func:`nvdec.open`, and an object whose text is such a name, or several; ``"cpu"`` is refused, since no video is
        decoded there
    """

    def __init__(
        self,
        source: Any,
        *,
        stream_index: int | None = None,
        dimension_order: str = "NCHW",
        num_ffmpeg_threads: int = 1,
        device: Any = "auto",
        seek_mode: str = "exact",
        **options: Any,
    ) -> None:
        if seek_mode not in ("exact", "approximate"):
            raise nvdec.OptionError(f"seek_mode: {seek_mode!r} is not possible, it is exact or approximate")
        devices = [str(one) for one in (device if isinstance(device, (list, tuple)) else [device])]
        if "cpu" in devices:
            raise nvdec.UnsupportedError("device: nothing decodes on the CPU here; \"auto\" takes what there is")
        self._video = nvdec.open(source, track=stream_index, layout=dimension_order, device=devices, **options)
        info = self._video.info
        begin, length = info.begin, info.duration
        self.stream_index = stream_index or 0
        self.metadata = VideoStreamMetadata(
            stream_index=self.stream_index,
            codec=info.codec,
            width=info.width,
            height=info.height,
            num_frames=info.frames,
            average_fps=None if not length else info.frames / length,
            duration_seconds=length,
            begin_stream_seconds=begin,
            end_stream_seconds=None if begin is None or length is None else begin + length,
            pixel_aspect_ratio=info.pixel_aspect,
            rotation=None if info.rotation is None else float(info.rotation),
            bit_depth=info.bit_depth,
        )

    def __len__(self) -> int:
        return len(self._video)

    def __iter__(self) -> Iterator[Any]:
        for frame in self._video:
            yield self._data(frame)

    def __getitem__(self, which: Any) -> Any:
        """The data of a picture, or of several."""
        return self._data(self._video[which])

    def get_frame_at(self, index: int) -> Frame:
        """A picture by its number."""
        return self._frame(self._video[index])

    def get_frames_at(self, indices: Iterable[int]) -> FrameBatch:
        """Pictures by their numbers, in that order."""
        return self._batch(self._video[[*indices]])

    def get_frames_in_range(self, start: int, stop: int, step: int = 1) -> FrameBatch:
        """Pictures from ``start`` to before ``stop``."""
        if not 0 <= start < len(self) or stop < start or step < 1:
            raise nvdec.PictureIndexError(f"from {start} to {stop} by {step} is no range of {len(self)} pictures")
        return self._batch(self._video[start:stop:step])

    def get_frame_played_at(self, seconds: float) -> Frame:
        """The picture that is shown at a time."""
        return self._frame(self._video.at(seconds))

    def get_frames_played_at(self, seconds: Iterable[float]) -> FrameBatch:
        """The pictures that are shown at these times."""
        return self._batch(self._video[[self._video._number_at(float(time)) for time in seconds]])

    def get_frames_played_in_range(
        self, start_seconds: float, stop_seconds: float, fps: float | None = None
    ) -> FrameBatch:
        """The pictures that are shown from ``start_seconds`` to before ``stop_seconds``; with ``fps`` so many a second."""
        begin, end = self.metadata.begin_stream_seconds, self.metadata.end_stream_seconds
        if begin is not None and end is not None and not begin <= start_seconds <= stop_seconds <= end:
            raise nvdec.TimeRangeError(
                f"from {start_seconds} s to {stop_seconds} s is no range of a video from {begin} s to {end} s"
            )
        return self._batch(self._video.between(start_seconds, stop_seconds, fps))

    def get_all_frames(self, fps: float | None = None) -> FrameBatch:
        """All pictures; with ``fps`` so many a second."""
        return self._batch(self._video[:] if fps is None else self._video.between(self._video.info.begin or 0.0, None, fps))

    def _data(self, pictures: nvdec.Batch | nvdec.Frame) -> Any:
        torch = _torch()
        return pictures.numpy() if torch is None else torch.from_dlpack(pictures)

    def _frame(self, frame: nvdec.Frame) -> Frame:
        pts, duration = frame.pts_seconds, frame.duration_seconds
        return Frame(self._data(frame), float("nan") if pts is None else pts, 0.0 if duration is None else duration)

    def _batch(self, batch: nvdec.Batch) -> FrameBatch:
        pts = [float("nan") if time is None else time for time in batch.pts_seconds]
        durations = [0.0 if time is None else time for time in batch.duration_seconds]
        torch = _torch()
        if torch is not None:
            doubles = torch.float64
            return FrameBatch(self._data(batch), torch.tensor(pts, dtype=doubles), torch.tensor(durations, dtype=doubles))
        import numpy

        return FrameBatch(self._data(batch), numpy.array(pts), numpy.array(durations))
