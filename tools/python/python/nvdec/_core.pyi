"""The compiled half of the package. It checks little of what the other half has checked: use that."""

from os import PathLike
from typing import Any, final

__all__ = ["ClipLoader", "Decoding", "File", "Stream", "Tensor", "__version__", "price", "probe"]

__version__: str

def probe(devices: list[str]) -> dict[str, Any]:
    """What a device is."""

def price(
    file: File,
    devices: list[str],
    spec: str,
    engine_numbers: list[int] | None,
    pictures: int,
    skips: bool,
) -> tuple[int, int, int]:
    """Bytes of GPU memory of a decoder, of a batch of so many pictures, and how many batches there are at a time when they are read
    one after the other."""

@final
class File:
    """A file with pictures, and where they are."""

    @staticmethod
    def open_path(path: str | PathLike[str], track: int | None, index: bytes | None) -> File: ...
    @staticmethod
    def open_bytes(data: bytes, track: int | None, index: bytes | None) -> File: ...
    @staticmethod
    def open_reader(reader: Any, track: int | None, index: bytes | None) -> File: ...
    def __len__(self) -> int: ...
    def info(self) -> dict[str, Any]:
        """What container and stream say of the pictures."""

    def pictures(self, numbers: list[int]) -> list[tuple[int | None, int | None, bool, bool]]:
        """Time stamp and duration in ticks, whether decoding can begin there, whether others need it."""

    def at(self, seconds: float) -> int | None:
        """The picture that is shown at a time."""

    def between(self, start: float, stop: float, fps: float | None) -> list[int]:
        """Pictures that are shown in a half-open range of time."""

    def store(self) -> bytes:
        """The index as bytes, bound to what the file is now."""

@final
class Decoding:
    """Decodes pictures of a file on a device."""

    def __new__(
        cls,
        file: File,
        devices: list[str],
        spec: str,
        on_error: str,
        engines: list[int] | None,
        memory: int | None,
    ) -> Decoding: ...
    @property
    def device(self) -> str:
        """By the name that it was asked for by: ``cuda:N``, ``nv:N``, ``emulated`` or ``emulated:N``."""

    def shape(self) -> list[int]:
        """What a picture becomes, as far as the index tells."""

    def take(self, numbers: list[int]) -> Tensor | None:
        """Pictures by their numbers. ``None`` if all were left out."""

    def stream(self, numbers: list[int], size: int) -> Stream:
        """Pictures whose numbers grow, so many at a time."""

    def close(self) -> None:
        """Lets go of decoders. What was decoded stays."""

@final
class Stream:
    """Batches of pictures, one after the other. Those that follow are on their way when one is given."""

    def __iter__(self) -> Stream: ...
    def __next__(self) -> Tensor: ...

@final
class ClipLoader:
    """Clips of many files."""

    def __new__(
        cls,
        paths: list[str],
        devices: list[str],
        spec: str,
        orientation: str | None,
        engine_numbers: list[int] | None,
        memory: int | None,
        sampling: tuple[int, int, int, str, bool, int, int, int, int],
        batch: int,
        prefetch: int,
        position: int,
        drop_last: bool,
    ) -> ClipLoader: ...
    def __len__(self) -> int: ...
    @property
    def devices(self) -> list[str]:
        """Each once, by the first name that it was asked for by: ``cuda:N``, ``nv:N``, ``emulated`` or ``emulated:N``."""

    def position(self) -> int:
        """Clips that were handed out."""

    def next(
        self,
    ) -> tuple[Tensor, list[tuple[int, int, list[int], list[float] | None]], list[tuple[int, str]], int] | None:
        """A batch, its clips, files that failed, and which of the devices has it."""

@final
class Tensor:
    """A batch of pictures."""

    @property
    def shape(self) -> list[int]:
        """Pictures, and the dimensions of one."""

    @property
    def numbers(self) -> list[int]:
        """Numbers of the pictures."""

    @property
    def errors(self) -> list[str | None]:
        """What is wrong with each picture."""

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""

    def is_ready(self) -> bool:
        """Whether the elements are there."""

    def wait(self) -> None:
        """Waits for them."""

    def host(self) -> memoryview:
        """The elements on the host, as bytes. They are copied there once."""

    def dlpack_host(self, is_one: bool, is_versioned: bool, copy: bool) -> object:
        """A capsule of the elements on the host."""

    def dlpack_cuda(self, is_one: bool, is_versioned: bool, stream: int | None) -> object:
        """A capsule of the elements in CUDA. The stream of that handle waits for them on the GPU."""

    def record_stream(self, stream: int) -> None:
        """Says that a stream of CUDA reads the elements."""
