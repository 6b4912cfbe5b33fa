"""Videos: :func:`open`, :class:`Video`, :func:`index`, :func:`probe`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from operator import index as _integer
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, overload

from . import _core
from ._batch import _NUMPY, Batch, Frame
from ._errors import ClosedError, CorruptError, OptionError, PictureIndexError, TimeRangeError, UnsupportedError

_Array = TypeVar("_Array")

_DTYPES = {"uint8": "u8", "float16": "f16", "bfloat16": "bf16", "float32": "f32"}
_LAYOUTS = {"NCHW": "nchw", "NHWC": "nhwc"}
_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
# Code points of ITU-T H.273.
_MATRICES = {0: "identity", 1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 8: "ycgco", 9: "bt2020"}
_CHROMA = {0: "4:0:0", 1: "4:2:0", 2: "4:2:2", 3: "4:4:4"}
# Kinds of devices, of DLPack.
_HOST, _CUDA = 1, 2
# What into() decodes at a time.
_CHUNK = 16
# What a range of time is at most, so that a rate that is out of all proportion is told.
_MOST = 10_000_000


@dataclass(frozen=True)
class VideoInfo:
    """What container and stream say of a video, and what it is decoded on. Sizes are in samples, height first."""

    codec: str
    """Codec, ``"hevc"``."""
    container: str
    """Format of the file."""
    height: int
    """Lines that are shown."""
    width: int
    """Columns that are shown."""
    coded_size: tuple[int, int]
    """Height and width as they are coded, with what is cut off."""
    display_size: tuple[int, int]
    """Height and width on a screen: with square pixels, and turned."""
    pixel_aspect: Fraction
    """Width of a sample in relation to its height."""
    bit_depth: int
    """Bits of a luma sample."""
    chroma_format: str
    """``"4:2:0"`` or the like."""
    matrix: str
    """What Y, Cb and Cr mean, by the names of ``open(matrix=)``; ``"unspecified"`` if the stream does not say."""
    primaries: int
    """Colour primaries, a code point of ITU-T H.273."""
    transfer: int
    """Transfer characteristics, likewise."""
    range: str
    """``"limited"`` or ``"full"``."""
    siting: int | None
    """Where chroma samples lie, 0 to 5; ``None`` if the stream does not say."""
    rotation: int | None
    """By how many degrees the container has pictures turned clockwise; ``None`` for what is no such turn."""
    frame_rate: Fraction | None
    """Pictures a second: of the stream, else on average."""
    time_base: Fraction | None
    """Seconds of a tick; ``None`` if nothing says when pictures are shown."""
    begin: float | None
    """When the first picture is shown, in seconds."""
    duration: float | None
    """Seconds from then to the end of the last."""
    frames: int
    """Pictures that are shown."""
    key_frames: tuple[int, ...] = field(repr=False)
    """Those with which decoding can begin."""
    notes: tuple[str, ...]
    """What the container did otherwise than it should, and was read all the same."""
    device: str
    """``"cuda:N"``, ``"nv:N"``, ``"emulated"`` or ``"emulated:N"``."""


class Index:
    """The index of a file: which pictures there are, when they are shown, and what each of them needs.

    It is small, about ten bytes a picture, and can be pickled. It is good for the file that it was made of, which is known again by
    its size, its time of change, and its first and last MiB.
    """

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = bytes(data)

    def __bytes__(self) -> bytes:
        return self._data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Index) and other._data == self._data

    def __hash__(self) -> int:
        return hash(self._data)

    def __reduce__(self) -> tuple[type[Index], tuple[bytes]]:
        return (Index, (self._data,))

    def __repr__(self) -> str:
        return f"<nvdec.Index of {len(self._data)} bytes>"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes it to a file."""
        Path(path).write_bytes(self._data)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Index:
        """Reads what :meth:`save` wrote. Whether it can be used, ``open(index=)`` says."""
        return cls(Path(path).read_bytes())


def index(source: Any, *, track: int | None = None) -> Index:
    """Makes the index of a file, for ``open(source, index=...)``. No GPU is needed, and nothing is decoded.

    :param source: as in :func:`open`
    :param track: as in :func:`open`
    """
    return Index(_open_file(source, track, None).store())


def probe(device: str | Sequence[str] = "auto") -> dict[str, Any]:
    """What a device is: ``device``, the name that it was asked for by, ``name``, ``generation``, ``engines``, ``driver``, ``emulated``,
    ``pci``, and of its memory ``memory_limit`` and ``memory_allocated``, in bytes. The device is opened and stays open.

    :param device: as in :func:`open`; of several it is one that is open
    """
    return _core.probe(_devices(device))


def open(
    source: Any,
    *,
    device: str | Sequence[str] = "auto",
    size: tuple[int, int] | None = None,
    crop: tuple[float, float, float, float] | None = None,
    dtype: str = "uint8",
    layout: str = "NCHW",
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    channels: str = "rgb",
    resize: str = "bilinear",
    fit: str = "stretch",
    matrix: str = "auto",
    range: str = "auto",
    chroma: str = "interpolated",
    siting: int | None = None,
    orientation: str = "auto",
    engines: str | int | Sequence[int] = "all",
    memory: int | str | None = None,
    on_error: str = "raise",
    track: int | None = None,
    index: Index | bytes | None = None,
) -> Video:
    """Opens a video. All of its pictures are found, in one pass over the file; none is decoded.

    :param source: a path, bytes, or an object with ``read`` and ``seek``
    :param device: ``"auto"``, a GPU that can decode, of several the one on which the fewest videos of the process are open, and where
        there is neither a GPU nor its driver the emulated one;
        ``"nv:N"``, a GPU of the driver's list, without CUDA; ``"cuda:N"``, a GPU by CUDA's number, whose pictures CUDA can read where
        they are; ``"emulated"``, a slow GPU in software. Of several, ``["cuda:0", "cuda:1"]`` or ``"cuda:0,cuda:1"``, it is the one on
        which the fewest videos of the process are open, and of those alike the first; one that cannot be opened is passed over as long as
        there are others. ``"auto"`` takes what the environment variable NVDEC_DEVICE names, one device or several with commas between.
    :param size: height and width of what comes out; without it, those of the picture
    :param crop: the part to be shown: left, top, width and height in samples of the picture
    :param dtype: ``"uint8"``, ``"float16"``, ``"bfloat16"`` or ``"float32"``
    :param layout: ``"NCHW"`` or ``"NHWC"``
    :param mean: subtracted from values of 0 to 1, one number or one for each channel; not of bytes
    :param std: what they are divided by after that
    :param channels: ``"rgb"``, ``"bgr"``, ``"grey"`` or ``"yuv"``
    :param resize: ``"nearest"``, ``"bilinear"`` or ``"bicubic"``
    :param fit: ``"stretch"`` or ``"letterbox"``, with a value for what is around the picture as in ``"letterbox:0.5"``
    :param matrix: ``"auto"``, ``"bt601"``, ``"bt709"``, ``"bt2020"``, ``"fcc"``, ``"smpte240m"``, ``"identity"`` or ``"ycgco"``
    :param range: ``"auto"``, ``"limited"`` or ``"full"``
    :param chroma: ``"interpolated"`` or ``"nearest"``
    :param siting: where chroma samples lie, 0 to 5, whatever the stream says
    :param orientation: ``"auto"``, as container or stream say; ``"none"``, as it is coded; or ``"90"``, ``"mirror"``, ``"mirror:90"``, …
    :param engines: ``"all"``, or the numbers of the NVDECs to use
    :param memory: most bytes of GPU memory that all videos on the device may take in this process, as a number or as ``"1GiB"``
    :param on_error: what is done with a picture that is not what its encoder made: ``"raise"`` :class:`CorruptError`, ``"mark"`` it in
        ``errors``, or ``"skip"`` it
    :param track: number of the track, without it the first one that can be decoded
    :param index: what :func:`index` made of the same file before, which spares the pass over it
    """
    options: dict[str, Any] = {
        # A copy: the video may be pickled later.
        "device": device if isinstance(device, str) else [*device],
        "size": size,
        "crop": crop,
        "dtype": dtype,
        "layout": layout,
        "mean": mean,
        "std": std,
        "channels": channels,
        "resize": resize,
        "fit": fit,
        "matrix": matrix,
        "range": range,
        "chroma": chroma,
        "siting": siting,
        "orientation": orientation,
        "engines": engines,
        "memory": memory,
        "on_error": on_error,
        "track": track,
    }
    return Video(source, options, None if index is None else bytes(index))


def _open_file(source: Any, track: int | None, stored: bytes | None) -> _core.File:
    if track is not None and track < 0:
        raise OptionError(f"track: {track} is not possible, tracks are counted from 0")
    if isinstance(source, (str, os.PathLike)):
        return _core.File.open_path(os.fspath(source), track, stored)
    if isinstance(source, bytes):
        return _core.File.open_bytes(source, track, stored)
    if hasattr(source, "read") and hasattr(source, "seek"):
        return _core.File.open_reader(source, track, stored)
    try:
        view = memoryview(source)
    except TypeError:
        raise TypeError(
            f"source: {type(source).__name__} is no path, no bytes, and no object with read() and seek()"
        ) from None
    return _core.File.open_bytes(view.tobytes(), track, stored)


def _one_of(option: str, given: Any, possible: Iterable[str]) -> None:
    if given not in possible:
        raise OptionError(f"{option}: {given!r} is not possible, it is one of {', '.join(possible)}")


def _spec(options: dict[str, Any], rotation: int | None) -> str:
    """The text of a TensorSpec."""
    _one_of("dtype", options["dtype"], _DTYPES)
    _one_of("layout", options["layout"], _LAYOUTS)
    said = {"dtype": _DTYPES[options["dtype"]], "layout": _LAYOUTS[options["layout"]]}
    if (size := options["size"]) is not None:
        height, width = size
        said["size"] = f"{_integer(width)}x{_integer(height)}"
    if (crop := options["crop"]) is not None:
        said["crop"] = ":".join(repr(float(number)) for number in crop)
    for name in ("mean", "std"):
        if (given := options[name]) is not None:
            numbers = list(given) if isinstance(given, Iterable) else [given]
            said[name] = ":".join(repr(float(number)) for number in numbers)
    for name in ("channels", "resize", "fit", "matrix", "range", "chroma"):
        said[name] = str(options[name])
    if options["siting"] is not None:
        said["siting"] = str(_integer(options["siting"]))
    orientation = str(options["orientation"])
    if orientation == "auto" and rotation != 0:
        if rotation is None:
            raise UnsupportedError(
                "the container has pictures mirrored or turned by no multiple of 90 degrees; name one with orientation=, or \"none\""
            )
        orientation = str(rotation)
    said["orientation"] = orientation
    for name, text in said.items():
        # They would be other options.
        if "," in text or "=" in text:
            raise OptionError(f"{name}: {text!r} is not possible")
    return ",".join(f"{name}={text}" for name, text in said.items())


def _engines(given: Any) -> list[int] | None:
    if given == "all":
        return None
    if isinstance(given, str):
        raise OptionError(f"engines: {given!r} is not possible, it is \"all\", a number, or several")
    return [_integer(number) for number in (given if isinstance(given, Iterable) else [given])]


def _devices(given: str | Iterable[str]) -> list[str]:
    return [given] if isinstance(given, str) else [*given]


def _bytes(given: int | str | None) -> int | None:
    if not isinstance(given, str):
        return None if given is None else _integer(given)
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", given)
    if found is None or found[2] not in _UNITS:
        raise OptionError(f"memory: {given!r} is not possible, it is a number of bytes, or one with a unit as in 1.5GiB")
    return int(float(found[1]) * _UNITS[found[2]])


def _reopen(source: Any, options: dict[str, Any], stored: bytes) -> Video:
    return Video(source, options, stored)


class Video:
    """A video, as a sequence of pictures in the order in which they are shown. :func:`open` makes it.

    It is used by one thread at a time; a second one gets :class:`BusyError`. Videos can be pickled, and are opened again where they
    arrive, with the index that is there.
    """

    __slots__ = ("_source", "_options", "_file", "_decoding", "_device", "_info", "_is_closed", "__weakref__")

    def __init__(self, source: Any, options: dict[str, Any], stored: bytes | None) -> None:
        self._is_closed = True
        self._source = source
        self._options = options
        self._file = _open_file(source, options["track"], stored)
        found = self._file.info()
        self._decoding = _core.Decoding(
            self._file,
            _devices(options["device"]),
            _spec(options, found["rotation"]),
            options["on_error"],
            _engines(options["engines"]),
            _bytes(options["memory"]),
        )
        self._device = self._decoding.device
        self._info = self._make_info(found)
        self._is_closed = False

    def _make_info(self, found: dict[str, Any]) -> VideoInfo:
        (width, height), (coded_width, coded_height) = found["size"], found["coded_size"]
        across, down = found["pixel_aspect"]
        display = (height, round(width * across / down))
        if found["rotation"] in (90, 270):
            display = display[::-1]
        begin, end = found["time_range"] or (None, None)
        fraction = {name: None if found[name] is None else Fraction(*found[name]) for name in ("frame_rate", "time_base")}
        return VideoInfo(
            codec=found["codec"],
            container=found["container"],
            height=height,
            width=width,
            coded_size=(coded_height, coded_width),
            display_size=display,
            pixel_aspect=Fraction(across, down),
            bit_depth=found["bit_depth"],
            chroma_format=_CHROMA[found["chroma_format"]],
            matrix="unspecified" if found["matrix"] == 2 else _MATRICES.get(found["matrix"], str(found["matrix"])),
            primaries=found["primaries"],
            transfer=found["transfer"],
            range="full" if found["full_range"] else "limited",
            siting=found["siting"],
            rotation=found["rotation"],
            frame_rate=fraction["frame_rate"],
            time_base=fraction["time_base"],
            begin=begin,
            duration=None if begin is None or end is None else end - begin,
            frames=found["frames"],
            key_frames=tuple(found["key_frames"]),
            notes=tuple(found["notes"]),
            device=self._device,
        )

    @property
    def info(self) -> VideoInfo:
        """What is known of the video."""
        return self._info

    @property
    def device(self) -> str:
        """Where pictures are: ``"cuda:N"``, ``"nv:N"``, ``"emulated"`` or ``"emulated:N"``."""
        return self._device

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._is_closed

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sizes of one picture as it comes out, as far as the file tells."""
        first, second, third = self._decoding.shape()
        return first, second, third

    def batch_bytes(self, n: int) -> int:
        """Bytes of a batch of ``n`` pictures. What the decoder takes besides is not in it."""
        first, second, third = self.shape
        each = {"uint8": 1, "float32": 4}.get(self._options["dtype"], 2)
        return n * first * second * third * each

    def __len__(self) -> int:
        return len(self._file)

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"on {self._device}"
        return f"<nvdec.Video of {len(self)} pictures, {self._info.width}x{self._info.height}, {state}>"

    @overload
    def __getitem__(self, which: int) -> Frame: ...
    @overload
    def __getitem__(self, which: slice | Iterable[int]) -> Batch: ...
    def __getitem__(self, which: int | slice | Iterable[int]) -> Frame | Batch:
        """A picture by its number, or a batch of those of a slice or list: in that order, as often as they are named."""
        if isinstance(which, slice):
            return self._batch(list(range(*which.indices(len(self)))))
        if isinstance(which, (str, bytes)):
            raise TypeError(f"a picture has a number, not a {type(which).__name__}")
        if hasattr(which, "__index__") and not getattr(which, "shape", ()):
            return self._frame(self._number(which))
        return self._batch(self._numbers(which))  # type: ignore[arg-type]

    def at(self, seconds: float) -> Frame:
        """The picture that is shown at a time, in seconds."""
        return self._frame(self._number_at(seconds))

    def indices(self, start: float, stop: float | None = None, fps: float | None = None) -> list[int]:
        """Numbers of the pictures that are shown from ``start`` on and before ``stop``, in seconds: the one that is there at
        ``start``, and all that begin before ``stop``. With ``fps`` those that are there at ``start``, a step later, and so on; one that
        is there twice is named twice.

        :param stop: without it, the end
        :param fps: pictures a second
        """
        self._times()
        if fps is not None and not 0 < fps < float("inf"):
            raise OptionError(f"fps: {fps} is not possible, it is more than 0")
        begin = max(float(start), self._info.begin or 0.0)
        end = (self._info.begin or 0.0) + (self._info.duration or 0.0)
        end = end if stop is None else min(float(stop), end)
        if fps is not None and (end - begin) * fps > _MOST:
            raise OptionError(f"fps: {fps} is not possible for {end - begin} s, a batch has at most {_MOST} pictures")
        return self._file.between(float(start), float("inf") if stop is None else float(stop), fps)

    def between(self, start: float, stop: float | None = None, fps: float | None = None) -> Batch:
        """The pictures of :meth:`indices`, in one batch."""
        return self._batch(self.indices(start, stop, fps))

    def __iter__(self) -> Iterator[Frame]:
        """All pictures, in the order in which they are shown."""
        self._open()
        for tensor in self._decoding.stream(list(range(len(self))), 1):
            yield self._made(Frame, tensor)

    def batches(self, n: int, drop_last: bool = False, indices: Iterable[int] | None = None) -> Iterator[Batch]:
        """Batches of ``n`` pictures each, one after the other. Those that follow are on their way when one is given: 128 pictures, or
        as many as 1 GiB holds, but one batch always; where several videos are read at a time, they share that. So much more memory it
        takes, where there is so much.

        :param drop_last: leaves out a last one that has fewer
        :param indices: numbers of the pictures, without them all; quickest if they grow
        """
        n = _integer(n)
        if n < 1:
            raise OptionError(f"n: {n} is not possible, a batch has a picture or more")
        numbers = list(range(len(self))) if indices is None else self._numbers(indices)
        if drop_last:
            del numbers[len(numbers) - len(numbers) % n :]
        self._open()
        return self._batches(n, numbers)

    def _batches(self, n: int, numbers: list[int]) -> Iterator[Batch]:
        if all(before < after for before, after in zip(numbers, numbers[1:])):
            for tensor in self._decoding.stream(numbers, n):
                yield self._made(Batch, tensor)
            return
        for at in range(0, len(numbers), n):
            # All of it may be left out.
            if (taken := self._decoding.take(numbers[at : at + n])) is not None:
                yield self._made(Batch, taken)

    def into(self, array: _Array, indices: int | slice | Iterable[int]) -> _Array:
        """Writes pictures into an array of yours. It has the dtype of the video, and a place for each picture.

        In host memory that is anything with the buffer protocol, or DLPack, whose elements lie side by side. In memory of a GPU it is a
        tensor of PyTorch or of another package with ``from_dlpack``, ``shape`` and assignment to slices, at any strides; the video is
        one of ``device="cuda:N"`` then, and the copy is made on the GPU, in the order of that package's current stream.

        :return: the array
        """
        if self._options["on_error"] == "skip":
            raise OptionError("on_error: with \"skip\" no picture has its place; use \"mark\"")
        if isinstance(indices, slice):
            numbers = list(range(*indices.indices(len(self))))
        else:
            numbers = self._numbers(indices if isinstance(indices, Iterable) else [indices])
        if _is_on_gpu(array):
            self._into_gpu(array, numbers)
            return array
        target = _writable(array, self.batch_bytes(len(numbers)), self._options["dtype"])
        at = 0
        for start in range(0, len(numbers), _CHUNK):
            host = self._batch(numbers[start : start + _CHUNK]).host()
            if at + len(host) > len(target):
                raise UnsupportedError("pictures are larger than the first one: open the video with size=(height, width)")
            target[at : at + len(host)] = host
            at += len(host)
        return array

    def _into_gpu(self, array: Any, numbers: list[int]) -> None:
        if not self._device.startswith("cuda"):
            raise OptionError(f"array: it is in memory of CUDA, and the video on {self._device}; open it with device=\"cuda:N\"")
        if len(numbers) == 1 and tuple(array.shape) == self.shape:
            self._into_gpu(array[None], numbers)
            return
        dtype, shape = str(array.dtype).rsplit(".", 1)[-1], tuple(array.shape)
        if dtype != self._options["dtype"]:
            raise OptionError(f"array: it has {dtype}, and the video {self._options['dtype']}")
        if shape != (len(numbers), *self.shape):
            raise OptionError(f"array: its shape is {shape}, and that of the pictures {(len(numbers), *self.shape)}")
        package: Any = sys.modules[type(array).__module__.split(".", 1)[0]]
        for start in range(0, len(numbers), _CHUNK):
            batch = self._batch(numbers[start : start + _CHUNK])
            if batch.shape[1:] != shape[1:]:
                raise UnsupportedError("pictures are larger than the first one: open the video with size=(height, width)")
            array[start : start + len(batch)] = package.from_dlpack(batch)

    def index(self) -> Index:
        """The index, for ``open(index=)``."""
        return Index(self._file.store())

    def close(self) -> None:
        """Lets go of the decoder. Pictures that came out stay good."""
        if not self._is_closed:
            self._decoding.close()
            self._is_closed = True

    def __enter__(self) -> Video:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        self._open()
        return (_reopen, (self._source, self._options, self._file.store()))

    def _open(self) -> None:
        if self._is_closed:
            raise ClosedError("the video is closed")

    def _times(self) -> None:
        if self._info.time_base is None:
            raise TimeRangeError("neither the file nor the stream says when pictures are shown; name them by number")

    def _number_at(self, seconds: float) -> int:
        self._times()
        number = self._file.at(float(seconds))
        if number is None:
            begin, length = self._info.begin or 0.0, self._info.duration or 0.0
            raise TimeRangeError(f"no picture is shown at {seconds} s: they are from {begin} s to before {begin + length} s")
        return number

    def _number(self, given: Any) -> int:
        if isinstance(given, bool):
            raise TypeError("a picture has a number, not a truth value")
        number = asked = _integer(given)
        if number < 0:
            number += len(self)
        if not 0 <= number < len(self):
            raise PictureIndexError(f"there is no picture {asked}: the video has {len(self)}")
        return number

    def _numbers(self, given: Iterable[Any]) -> list[int]:
        return [self._number(number) for number in given]

    def _made(self, kind: type[_Kind], tensor: _core.Tensor) -> _Kind:
        options = self._options
        return kind(tensor, self._file, options["dtype"], options["layout"], self._device, self._info.time_base)

    def _take(self, numbers: list[int]) -> _core.Tensor:
        self._open()
        tensor = self._decoding.take(numbers)
        if tensor is None:
            raise CorruptError(f"nothing is left of {len(numbers)} pictures: none is what its encoder made")
        return tensor

    def _batch(self, numbers: list[int]) -> Batch:
        return self._made(Batch, self._take(numbers))

    def _frame(self, number: int) -> Frame:
        return self._made(Frame, self._take([number]))


_Kind = TypeVar("_Kind", Batch, Frame)


def _is_on_gpu(array: Any) -> bool:
    """Whether an array is in memory of CUDA, and not of the host."""
    kind, number = map(int, getattr(array, "__dlpack_device__", lambda: (_HOST, 0))())
    if kind not in (_HOST, _CUDA):
        raise UnsupportedError(f"into() writes to memory of the host and of CUDA, not to that of the device {(kind, number)}")
    return kind == _CUDA


def _writable(array: Any, size: int, dtype: str) -> memoryview:
    """The bytes of an array of the caller's."""
    try:
        view = memoryview(array)
    except TypeError:
        import numpy

        array = numpy.from_dlpack(array)
        view = memoryview(array)
    if view.readonly:
        raise OptionError("array: it cannot be written to")
    if not view.c_contiguous:
        raise OptionError("array: its elements do not lie side by side")
    if view.nbytes != size:
        raise OptionError(f"array: it has {view.nbytes} bytes, the pictures have {size}")
    found = getattr(array, "dtype", None)
    if found is not None and dtype in _NUMPY and str(found).removeprefix("torch.") != dtype:
        raise OptionError(f"array: it is of {found}, the pictures are of {dtype}")
    if view.ndim == 1 and view.format == "B":
        return view
    try:
        return view.cast("B")
    except (TypeError, ValueError):
        import numpy

        # memoryview has no name for the format.
        plain: Any = numpy.asarray(array).reshape(-1).view("u1")
        return memoryview(plain)
