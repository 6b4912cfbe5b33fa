"""Pictures: :class:`Batch` and :class:`Frame`."""

from __future__ import annotations

import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NoReturn

from ._errors import OptionError, UnsupportedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from . import _core

# Numbers of DLPack.
_CPU, _CUDA = 1, 2
# What NumPy and the module struct call the types. Neither has bfloat16.
_NUMPY = {"uint8": "u1", "float16": "f2", "float32": "f4"}
_FORMATS = {"uint8": "B", "float32": "f"}


class _Pictures:
    """Elements of pictures, in the memory of a device."""

    __slots__ = ("_tensor", "_dtype", "_layout", "_device", "_ordinal", "_pts", "_durations", "_keys", "_base")

    _is_one = False
    _pts: tuple[int | None, ...]
    _durations: tuple[int | None, ...]
    _keys: tuple[bool, ...]

    def __init__(
        self,
        tensor: _core.Tensor,
        file: _core.File,
        dtype: str,
        layout: str,
        device: str,
        base: Fraction | None,
    ) -> None:
        self._take(tensor, dtype, layout, device)
        # Of no pictures there are no columns.
        columns = tuple(zip(*file.pictures(tensor.numbers))) or ((), (), (), ())
        self._pts, self._durations, self._keys, _ = columns
        self._base = base

    def _take(self, tensor: _core.Tensor, dtype: str, layout: str, device: str) -> None:
        self._tensor = tensor
        self._dtype = dtype
        self._layout = layout
        self._device = device
        self._ordinal = int(device[5:]) if device.startswith("cuda:") else None

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions. All elements lie side by side."""
        return tuple(self._tensor.shape[self._is_one :])

    @property
    def ndim(self) -> int:
        """How many dimensions there are."""
        return len(self.shape)

    @property
    def dtype(self) -> str:
        """What an element is: ``"uint8"``, ``"float16"``, ``"bfloat16"`` or ``"float32"``."""
        return self._dtype

    @property
    def layout(self) -> str:
        """``"NCHW"`` or ``"NHWC"``; of a single picture, the same without N."""
        return self._layout[self._is_one :]

    @property
    def device(self) -> str:
        """Where the elements are: ``"cuda:N"``, ``"nv:N"`` or ``"emulated"``."""
        return self._device

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._tensor.nbytes

    def is_ready(self) -> bool:
        """Whether the elements are there. Nobody needs to ask: whatever gives them waits for them."""
        return self._tensor.is_ready()

    def wait(self) -> None:
        """Waits until the elements are there."""
        self._tensor.wait()

    def host(self) -> memoryview:
        """The elements in host memory, as a view of bytes that can be written to. They are copied there once; who asks again gets
        the same bytes, and what is written to them does not come back to the device."""
        return self._tensor.host()

    def numpy(self) -> NDArray[Any]:
        """The elements as an array of NumPy, in host memory: a view of :meth:`host`."""
        if self._dtype not in _NUMPY:
            raise UnsupportedError(
                f"NumPy has no {self._dtype}: open the video with dtype=\"float32\" or \"float16\", or take it by DLPack"
            )
        import numpy

        return numpy.frombuffer(self.host(), dtype=_NUMPY[self._dtype]).reshape(self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        import numpy

        array = self.numpy()
        if dtype is not None and array.dtype != numpy.dtype(dtype):
            if copy is False:
                raise ValueError(f"{self._dtype} does not become {dtype} without a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    if sys.version_info >= (3, 12):

        def __buffer__(self, flags: int) -> memoryview:
            if self._dtype in _FORMATS:
                return self.host().cast("B").cast(_FORMATS[self._dtype], self.shape)
            if self._dtype in _NUMPY:
                return memoryview(self.numpy())
            raise BufferError(f"{self._dtype} has no format in the buffer protocol; take it by DLPack, or use host()")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (_CPU, 0) if self._ordinal is None else (_CUDA, self._ordinal)

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object:
        is_versioned = max_version is not None and max_version[0] >= 1
        here = self.__dlpack_device__()
        wanted = here if dl_device is None else (int(dl_device[0]), int(dl_device[1]))
        if wanted == (_CPU, 0):
            if stream is not None:
                raise OptionError("stream: host memory has none")
            if copy is False and here != wanted:
                raise BufferError(f"elements on {self._device} do not come to the host without a copy")
            return self._tensor.dlpack_host(self._is_one, is_versioned, bool(copy))
        if wanted != here:
            raise BufferError(f"dl_device: elements on {self._device} are not handed out on device {wanted}")
        if copy:
            raise BufferError("copy=True: have the consumer copy, as torch.from_dlpack(batch).clone()")
        if stream == 0:
            raise OptionError("stream: 0 is ambiguous; 1 is the legacy default stream, 2 that of the thread")
        # Without a word the legacy default stream is meant; -1 means that the caller has seen to it.
        handle = 1 if stream is None else None if stream == -1 else int(stream)
        if handle is None:
            self._tensor.wait()
        return self._tensor.dlpack_cuda(self._is_one, is_versioned, handle)

    def record_stream(self, stream: Any) -> None:
        """Says that a CUDA stream reads the elements that is none of those they were handed out to: their memory is used again only
        behind what it has to do when the last tensor of them goes.

        :param stream: a handle, or an object that has one as ``cuda_stream``
        """
        if self._ordinal is None:
            raise OptionError(f"stream: elements on {self._device} are read by no stream of CUDA")
        self._tensor.record_stream(int(getattr(stream, "cuda_stream", stream)) or 1)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is memory of a device: pickle what numpy() gives, or the video")

    def _seconds(self, ticks: int | None) -> float | None:
        return None if ticks is None or self._base is None else float(ticks * self._base)


class Batch(_Pictures):
    """Several pictures, one after the other in the memory of a device.

    It has the array interfaces: ``torch.from_dlpack(batch)``, ``numpy.asarray(batch)``, from Python 3.12 on
    ``memoryview(batch)``. Of the properties below each has one entry for a picture.
    """

    __slots__ = ()

    def __len__(self) -> int:
        return int(self._tensor.shape[0])

    @property
    def index(self) -> tuple[int, ...]:
        """Numbers of the pictures, in the order in which they are shown."""
        return tuple(self._tensor.numbers)

    @property
    def pts(self) -> tuple[int | None, ...]:
        """When they are shown, in ticks of ``video.info.time_base``; ``None`` where nothing says so."""
        return self._pts

    @property
    def duration(self) -> tuple[int | None, ...]:
        """For how long, in the same ticks."""
        return self._durations

    @property
    def pts_seconds(self) -> tuple[float | None, ...]:
        """When they are shown, in seconds."""
        return tuple(map(self._seconds, self._pts))

    @property
    def duration_seconds(self) -> tuple[float | None, ...]:
        """For how long, in seconds."""
        return tuple(map(self._seconds, self._durations))

    @property
    def key(self) -> tuple[bool, ...]:
        """Whether decoding can begin with them."""
        return self._keys

    @property
    def errors(self) -> tuple[str | None, ...]:
        """What is wrong with them, with ``on_error="mark"``; ``None`` for a picture that is as its encoder made it."""
        return tuple(self._tensor.errors)

    def __repr__(self) -> str:
        return f"<nvdec.Batch of {len(self)}, {'x'.join(map(str, self.shape))} {self.dtype} on {self.device}>"


class Frame(_Pictures):
    """One picture in the memory of a device, with the same array interfaces as a :class:`Batch`."""

    __slots__ = ()

    _is_one = True

    @property
    def index(self) -> int:
        """Its number, in the order in which pictures are shown."""
        return self._tensor.numbers[0]

    @property
    def pts(self) -> int | None:
        """When it is shown, in ticks of ``video.info.time_base``; ``None`` where nothing says so."""
        return self._pts[0]

    @property
    def duration(self) -> int | None:
        """For how long, in the same ticks."""
        return self._durations[0]

    @property
    def pts_seconds(self) -> float | None:
        """When it is shown, in seconds."""
        return self._seconds(self._pts[0])

    @property
    def duration_seconds(self) -> float | None:
        """For how long, in seconds."""
        return self._seconds(self._durations[0])

    @property
    def key(self) -> bool:
        """Whether decoding can begin with it."""
        return self._keys[0]

    @property
    def errors(self) -> str | None:
        """What is wrong with it, with ``on_error="mark"``; ``None`` for a picture that is as its encoder made it."""
        return self._tensor.errors[0]

    def __repr__(self) -> str:
        return f"<nvdec.Frame {self.index}, {'x'.join(map(str, self.shape))} {self.dtype} on {self.device}>"
