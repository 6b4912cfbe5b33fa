"""What decoding takes, before anything is decoded: :func:`price`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index as _integer
from typing import Any

from . import _core
from ._clips import _OPTIONS
from ._errors import OptionError
from ._video import Index, _devices, _engines, _one_of, _open_file, _spec


@dataclass(frozen=True)
class Price:
    """Most GPU memory that it takes to decode a video and to convert its pictures, in bytes. It is that of one video and one
    reader; of the channels of engines, some MiB for all of a process, nothing is in it."""

    decoder: int
    """What the decoder takes: surfaces, motion vectors, and what engines work in; of a video that changes its size, at the most
    expensive one."""
    batch: int
    """What one batch takes. It is a multiple of 2 MiB."""
    batches: int
    """How many there are at a time for a loop over ``video.batches(n)`` that keeps none behind its turn: the one that it has, and
    those that are on their way."""

    @property
    def total(self) -> int:
        """What such a loop takes, with the decoder."""
        return self.decoder + self.batches * self.batch

    @property
    def single(self) -> int:
        """What one batch of pictures by number takes, with the decoder: ``video[a:b]``. With ``on_error="skip"``, one from which pictures
        are left out is copied, and takes a :attr:`batch` more."""
        return self.decoder + self.batch


def price(
    source: Any,
    *,
    batch: int = 16,
    device: str | Sequence[str] = "auto",
    size: tuple[int, int] | None = None,
    dtype: str = "uint8",
    engines: str | int | Sequence[int] = "all",
    on_error: str = "raise",
    track: int | None = None,
    index: Index | bytes | None = None,
    **options: Any,
) -> Price:
    """What it will take to decode a video and to convert its pictures, in GPU memory. The file is looked at as by :func:`open`, or
    nothing but its index; nothing is decoded. The device is opened, since the number of its engines counts.

    Without ``size``, batches are priced with the size of the first picture.

    :param source: as in :func:`open`
    :param batch: pictures of a batch
    :param device: as in :func:`open`, as are ``size``, ``dtype``, ``engines``, ``on_error``, ``track`` and ``index``
    :param options: what else becomes of the pictures, as in :func:`open`: ``layout``, ``crop``, ``channels`` and the like
    """
    for name in options:
        if name not in _OPTIONS:
            raise TypeError(f"price() takes no {name!r}; of pictures it takes {', '.join(_OPTIONS)}")
    pictures = _integer(batch)
    if pictures < 1:
        raise OptionError(f"batch: {pictures} is not possible, a batch has a picture or more")
    _one_of("on_error", on_error, ("raise", "mark", "skip"))
    file = _open_file(source, track, None if index is None else bytes(index))
    spec = _spec({**_OPTIONS, **options, "size": size, "dtype": dtype}, file.info()["rotation"])
    return Price(*_core.price(file, _devices(device), spec, _engines(engines), pictures, on_error == "skip"))
