"""Datasets for PyTorch's ``DataLoader``: :class:`ClipDataset`, clips of many files, and :class:`FramesDataset`, some pictures of
each file.

PyTorch is imported with this module. Nothing is opened before a dataset is asked, so that workers may be started by ``spawn``,
``forkserver`` or ``fork``: each opens the device for itself, in some milliseconds.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Iterator, Sequence
from operator import index as _integer
from typing import Any

import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from ._batch import Batch
from ._clips import _OPTIONS, ClipBatch, Clips
from ._errors import OF_A_FILE, CorruptError, OptionError
from ._video import Index, open

__all__ = ["ClipDataset", "FramesDataset"]

_log = logging.getLogger(__name__)


def _tensor(pictures: Batch | ClipBatch) -> torch.Tensor:
    """The elements: where they are, or in host memory for what goes to another process."""
    if get_worker_info() is None:
        return torch.from_dlpack(pictures)
    # Not by NumPy, which has no bfloat16.
    return torch.frombuffer(pictures.host(), dtype=getattr(torch, pictures.dtype)).reshape(pictures.shape)


class ClipDataset(IterableDataset):
    """The batches of a loader of :class:`nvdec.Clips`, for ``DataLoader(dataset, batch_size=None)``. Each worker of the
    ``DataLoader`` takes its part of the clips of this process.

    An item is a dictionary: ``frames``, the tensor ``[clips, pictures, ...]``; and of the batch ``source``, ``index``,
    ``pts_seconds``, ``errors`` and ``failures``, as in :class:`nvdec.ClipBatch`. A file that fails does not end the epoch; where
    no batch is left to name it, the log of the worker does.

    Without workers, tensors are in memory of the device where PyTorch can read it; with workers they are in host memory.

    The dataset works with a copy of ``clips``, whose state does not move. Without workers it begins where that is in its epoch; with
    workers that has to be at the beginning.

    :param clips: which clips. Every one is taken if their number can be divided by ``clips.world`` times the number of workers;
        else the last ones are left out, as many as it takes for all workers to have the same number.
    :param batch: clips of a batch
    :param options: as of :meth:`nvdec.Clips.loader`
    """

    def __init__(self, clips: Clips, batch: int = 1, **options: Any) -> None:
        super().__init__()
        if _integer(batch) < 1:
            raise OptionError(f"batch: {batch} is not possible, it is 1 or more")
        self._clips, self._batch, self._options = clips, batch, options

    def set_epoch(self, epoch: int) -> None:
        """Begins another epoch: to be called before the ``DataLoader`` is asked again. Workers that persist do not learn of it."""
        self._clips.set_epoch(epoch)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        clips = copy.copy(self._clips)
        if worker is not None:
            if clips.state_dict()["position"]:
                # It counts clips of another division than that among the workers.
                raise OptionError("clips: they are in the midst of an epoch, which workers cannot go on with; set_epoch() begins one")
            clips.rank = clips.rank * worker.num_workers + worker.id
            clips.world = clips.world * worker.num_workers
        batches = clips.loader(self._batch, **self._options)
        while True:
            try:
                batch = next(batches, None)
            except CorruptError as error:
                # All clips that were left are of files that failed: there is no batch to name them, and nothing behind it.
                _log.warning("%s", error)
                return
            if batch is None:
                return
            yield {
                "frames": _tensor(batch),
                "source": batch.source,
                "index": batch.index,
                "pts_seconds": batch.pts_seconds,
                "errors": batch.errors,
                "failures": batch.failures,
            }


class FramesDataset(Dataset):
    """So many pictures of each file, evenly spread; item ``i`` is that of file ``i``.

    An item is a dictionary that ``DataLoader`` can make batches of: ``frames``, the tensor ``[pictures, ...]``; ``index``, the
    numbers of the pictures; ``path``; and ``error``, what is wrong with the file or the first of its pictures that is damaged,
    ``""`` for nothing. A file that cannot be opened or decoded has black pictures, and -1 as numbers.

    :param paths: the files
    :param frames: pictures of each. Of a file that has fewer, some are there several times.
    :param size: height and width of all pictures
    :param indexes: for each file what :func:`nvdec.index` made of it, or ``None``: it spares the pass over the file
    :param options: what else becomes of the pictures, and ``device``, ``engines`` and ``memory``, as in :func:`nvdec.open`
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        frames: int = 8,
        *,
        size: tuple[int, int],
        indexes: Sequence[Index | None] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self._paths = [os.fspath(path) for path in paths]
        if _integer(frames) < 1:
            raise OptionError(f"frames: {frames} is not possible, it is 1 or more")
        if indexes is not None and len(indexes) != len(self._paths):
            raise OptionError(f"indexes: there are {len(indexes)} for {len(self._paths)} files")
        for name in options:
            if name not in _OPTIONS and name not in ("device", "engines", "memory"):
                raise TypeError(f"FramesDataset() takes no {name!r}; of pictures it takes {', '.join(_OPTIONS)}")
        self._frames, self._size, self._indexes = frames, size, indexes
        self._options = {**_OPTIONS, **options, "size": size}

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> dict[str, Any]:
        path = self._paths[number]
        try:
            index = None if self._indexes is None else self._indexes[number]
            with open(path, index=index, on_error="mark", **self._options) as video:
                count, parts = len(video), 2 * self._frames
                batch = video[[(2 * part + 1) * count // parts for part in range(self._frames)]]
                error = next(filter(None, batch.errors), "")
                return {"frames": _tensor(batch), "index": torch.tensor(batch.index), "path": path, "error": error}
        except (*OF_A_FILE, OSError) as error:
            height, width = self._size
            channels = 1 if self._options["channels"] == "grey" else 3
            shape = (channels, height, width) if self._options["layout"] == "NCHW" else (height, width, channels)
            black = torch.zeros((self._frames, *shape), dtype=getattr(torch, self._options["dtype"]))
            text = str(error) or type(error).__name__
            return {"frames": black, "index": torch.full((self._frames,), -1), "path": path, "error": text}
