"""Pictures of video files as arrays and GPU tensors, decoded on NVIDIA's NVDEC engines without CUDA.

>>> import nvdec
>>> with nvdec.open("clip.mp4", size=(224, 224)) as video:  # doctest: +SKIP
...     batch = video[0:16]
...     array = batch.numpy()
"""

from ._batch import Batch, Frame
from ._clips import ClipBatch, Clips
from ._core import __version__
from ._errors import (
    BusyError,
    ClosedError,
    CorruptError,
    DeviceError,
    DeviceLost,
    Error,
    ForkError,
    NoPermissionError,
    NotFoundError,
    OpenError,
    OptionError,
    OutOfMemory,
    PictureIndexError,
    SeekError,
    TimeRangeError,
    UnsupportedError,
)
from ._price import Price, price
from ._video import Index, Video, VideoInfo, index, open, probe

__all__ = [
    "Batch",
    "BusyError",
    "ClipBatch",
    "Clips",
    "ClosedError",
    "CorruptError",
    "DeviceError",
    "DeviceLost",
    "Error",
    "ForkError",
    "Frame",
    "Index",
    "NoPermissionError",
    "NotFoundError",
    "OpenError",
    "OptionError",
    "OutOfMemory",
    "PictureIndexError",
    "Price",
    "SeekError",
    "TimeRangeError",
    "UnsupportedError",
    "Video",
    "VideoInfo",
    "__version__",
    "index",
    "open",
    "price",
    "probe",
]
