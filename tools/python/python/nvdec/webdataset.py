"""Videos in the tar files of WebDataset: :func:`decoder`, and :class:`Failures` for those that are damaged.

Neither WebDataset nor PyTorch is needed to import it.

>>> import nvdec.webdataset, webdataset
>>> decode, failures = nvdec.webdataset.decoder(frames=8, size=(224, 224)), nvdec.webdataset.Failures()
>>> dataset = webdataset.WebDataset("shard-{000..099}.tar").decode(decode, handler=failures)  # doctest: +SKIP
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from operator import index as _integer
from typing import TYPE_CHECKING, Any

from ._batch import _NUMPY
from ._errors import OF_A_FILE, OptionError
from ._video import _one_of, open

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Decoder", "Failures", "decoder"]

_log = logging.getLogger(__name__)

_EXTENSIONS = ("mp4", "m4v", "mov", "mkv", "ts", "m2ts", "mts", "hevc", "h265", "265")


class Decoder:
    """A handler for ``WebDataset.decode``. :func:`decoder` makes it. It can be pickled, so it goes to workers."""

    def __init__(self, frames: int | None, extensions: Iterable[str], options: dict[str, Any]) -> None:
        self._frames = frames
        self._extensions = frozenset(extension.lower().lstrip(".") for extension in extensions)
        self._options = options

    def __call__(self, key: str, data: bytes) -> NDArray[Any] | None:
        """The pictures of a member, or ``None`` for one that is no video."""
        if key.lower().rsplit(".", 1)[-1] not in self._extensions:
            return None
        with open(data, **self._options) as video:
            count = len(video)
            # In the midst of each of so many equal parts.
            numbers = range(count) if self._frames is None else [
                (2 * part + 1) * count // (2 * self._frames) for part in range(self._frames)
            ]
            return video[numbers].numpy()


def decoder(frames: int | None = None, *, extensions: Iterable[str] = _EXTENSIONS, **options: Any) -> Decoder:
    """A handler for ``WebDataset.decode`` that makes of each video an array of NumPy ``[pictures, ...]``, in host memory. The bytes
    of a member are decoded where they are, without a file.

    A video that cannot be decoded is an error, which WebDataset gives to the ``handler`` of ``decode``: to :class:`Failures`,
    which goes on with the next sample.

    :param frames: pictures of each video, evenly spread; of one that has fewer, some are there several times. Without it, all.
    :param extensions: what the names of videos end with, after the last dot
    :param options: as of :func:`nvdec.open`: ``size``, ``dtype``, ``device`` and the like
    """
    if frames is not None and _integer(frames) < 1:
        raise OptionError(f"frames: {frames} is not possible, it is 1 or more")
    _one_of("dtype", options.get("dtype", "uint8"), _NUMPY)
    return Decoder(frames, extensions, options)


class Failures(list[tuple[str, str, str]]):
    """A ``handler`` for ``WebDataset.decode``: passes over samples whose video cannot be decoded, and keeps which they are, as
    tar file, name in it, and what is wrong. Each is also written to the log, since a worker has a list of its own.

    Whatever is no fault of a video is raised: a device that fails, an argument that makes no sense.
    """

    def __call__(self, error: BaseException) -> bool:
        """What WebDataset asks: whether to go on."""
        cause = error.__cause__
        if not isinstance(cause, OF_A_FILE):
            raise error
        failure = (str(getattr(error, "url", "")), f"{getattr(error, 'key', '')}.{getattr(error, 'k', '')}", str(cause))
        _log.warning("%s: %s: %s", *failure)
        self.append(failure)
        return True
