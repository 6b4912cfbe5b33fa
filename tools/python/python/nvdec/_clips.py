"""Clips of many videos: :class:`Clips`, and :class:`ClipBatch`, what its loader gives."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from operator import index as _integer
from typing import Any

from . import _core
from ._batch import _Pictures
from ._errors import CorruptError, OptionError
from ._video import _bytes, _devices, _engines, _spec

# What a loader takes besides, as nvdec.open() does.
_OPTIONS: dict[str, Any] = {
    "size": None,
    "crop": None,
    "dtype": "uint8",
    "layout": "NCHW",
    "mean": None,
    "std": None,
    "channels": "rgb",
    "resize": "bilinear",
    "fit": "stretch",
    "matrix": "auto",
    "range": "auto",
    "chroma": "interpolated",
    "siting": None,
    "orientation": "auto",
}


class ClipBatch(_Pictures):
    """Clips of several videos in the memory of a device: clips, pictures of each, and the dimensions of a picture.

    It has the array interfaces of a :class:`Batch`. Of the properties below each has one entry for a clip.
    """

    __slots__ = ("_taken", "_failures")

    def __init__(
        self,
        tensor: _core.Tensor,
        taken: Sequence[tuple[str, int, list[int], list[float] | None]],
        failures: Sequence[tuple[str, str]],
        dtype: str,
        layout: str,
        device: str,
    ) -> None:
        self._take(tensor, dtype, layout, device)
        self._taken = tuple(taken)
        self._failures = tuple(failures)

    def __len__(self) -> int:
        return len(self._taken)

    @property
    def source(self) -> tuple[str, ...]:
        """The files."""
        return tuple(path for path, _, _, _ in self._taken)

    @property
    def index(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of the pictures in their file, in the order in which they are shown."""
        return tuple(tuple(numbers) for _, _, numbers, _ in self._taken)

    @property
    def pts_seconds(self) -> tuple[tuple[float, ...] | None, ...]:
        """When they are shown, in seconds; ``None`` for a clip whose file does not say."""
        return tuple(None if seconds is None else tuple(seconds) for _, _, _, seconds in self._taken)

    @property
    def errors(self) -> tuple[tuple[str | None, ...], ...]:
        """What is wrong with each picture; ``None`` for one that is as its encoder made it."""
        errors = self._tensor.errors
        frames = len(errors) // max(1, len(self))
        return tuple(tuple(errors[at * frames : (at + 1) * frames]) for at in range(len(self)))

    @property
    def failures(self) -> tuple[tuple[str, str], ...]:
        """Files that could not be opened or decoded, and why. The clips behind theirs have moved up."""
        return self._failures

    def __repr__(self) -> str:
        return f"<nvdec.ClipBatch of {len(self)}, {'x'.join(map(str, self.shape))} {self.dtype} on {self.device}>"


class Clips:
    """Clips of many videos, as they are taken for training: which ones, and in which order, is a function of the arguments alone, the
    same on each machine. Nothing is opened before :meth:`loader` is asked.

    :param paths: the files
    :param frames: pictures of a clip
    :param stride: from one of them to the next: 1 for all, 2 for every second
    :param clips: clips of each file in an epoch
    :param policy: what a clip has where its file has ended: ``"repeat_last"``, ``"wrap"``, or ``"error"``
    :param shuffle: whether clips come in a random order and begin anywhere; else in the order of the files, evenly spread
    :param seed: what randomness begins with
    :param epoch: which time all clips are taken; others are drawn each time
    :param rank: which of ``world`` processes this is, from 0: each gets other clips, and as many as the others
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        frames: int = 16,
        stride: int = 1,
        *,
        clips: int = 1,
        policy: str = "repeat_last",
        shuffle: bool = True,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.paths = [os.fspath(path) for path in paths]
        self.frames, self.stride, self.clips = _integer(frames), _integer(stride), _integer(clips)
        self.policy, self.shuffle = policy, bool(shuffle)
        self.seed, self.epoch = _integer(seed), _integer(epoch)
        self.rank, self.world = _integer(rank), _integer(world)
        for name in ("frames", "stride", "clips", "world"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name}: {getattr(self, name)} is not possible, it is 1 or more")
        if not 0 <= self.rank < self.world:
            raise OptionError(f"rank: {self.rank} is not possible, it is 0 to {self.world - 1}")
        if policy not in ("repeat_last", "wrap", "error"):
            raise OptionError(f"policy: {policy!r} is not possible, it is one of repeat_last, wrap, error")
        self._position = 0

    def __len__(self) -> int:
        """Clips of this process in an epoch."""
        return len(self.paths) * self.clips // self.world

    def state_dict(self) -> dict[str, int]:
        """Where the epoch is: as far as batches were given, whatever is on its way."""
        return {"epoch": self.epoch, "seed": self.seed, "position": self._position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Goes on where another one was that was made with the same arguments: the next :meth:`loader` begins there."""
        self.epoch, self.seed, self._position = int(state["epoch"]), int(state["seed"]), int(state["position"])

    def set_epoch(self, epoch: int) -> None:
        """Begins another epoch."""
        self.epoch, self._position = _integer(epoch), 0

    def loader(
        self,
        batch: int = 1,
        *,
        prefetch: int = 2,
        drop_last: bool = False,
        device: str | Sequence[str] = "auto",
        engines: str | int | Sequence[int] = "all",
        memory: int | str | None = None,
        **options: Any,
    ) -> Iterator[ClipBatch]:
        """The clips in batches, decoded ahead on all engines by the thread that asks. Files that fail are named in
        :attr:`ClipBatch.failures`, and damaged pictures in :attr:`ClipBatch.errors`; neither ends the epoch. Where all clips that are left
        are of files that fail, there is no batch to name them: then the epoch ends with a :class:`CorruptError` that names one.

        :param batch: clips of a batch
        :param prefetch: batches that are on their way behind the one that is given, on each GPU
        :param drop_last: leaves out a last batch that has fewer clips
        :param device: as in :func:`open`, but several decode the batches in turn: ``["cuda:0", "cuda:1"]``; ``"auto"`` is all GPUs of the
            machine. One that is named twice is taken once, and one that cannot be opened is an error. What the batches hold does not
            depend on it; ``batch.device`` says where it is.
        :param engines: as in :func:`open`, as is ``memory``, which is of each GPU
        :param options: what becomes of the pictures, as in :func:`open`: ``size``, ``dtype``, ``mean`` and the like. Files of
            different sizes need a ``size``.
        """
        for name in options:
            if name not in _OPTIONS:
                raise TypeError(f"loader() takes no {name!r}; of pictures it takes {', '.join(_OPTIONS)}")
        if _integer(batch) < 1 or _integer(prefetch) < 0:
            raise OptionError("batch: it is 1 or more, and prefetch 0 or more")
        options = {**_OPTIONS, **options}
        orientation = None if options["orientation"] == "auto" else str(options["orientation"])
        spec = _spec({**options, "orientation": "auto"}, 0).rsplit(",orientation=", 1)[0]
        sampling = (self.frames, self.stride, self.clips, self.policy, self.shuffle, self.seed, self.epoch, self.rank, self.world)
        loader = _core.ClipLoader(
            self.paths,
            _devices(device),
            spec,
            orientation,
            _engines(engines),
            _bytes(memory),
            sampling,
            batch,
            prefetch,
            self._position,
            drop_last,
        )
        return self._batches(loader, options["dtype"], options["layout"])

    def _batches(self, loader: _core.ClipLoader, dtype: str, layout: str) -> Iterator[ClipBatch]:
        devices = loader.devices
        while True:
            try:
                given = loader.next()
            except CorruptError:
                # All that is left fails: who goes on has to come to the next epoch, and not to the same files for ever.
                self._position, self.epoch = 0, self.epoch + 1
                raise
            if given is None:
                break
            tensor, taken, failures, which = given
            self._position = loader.position()
            named = [(self.paths[file], number, numbers, seconds) for file, number, numbers, seconds in taken]
            yield ClipBatch(tensor, named, [(self.paths[file], text) for file, text in failures], dtype, layout, devices[which])
        self._position = 0
        self.epoch += 1
