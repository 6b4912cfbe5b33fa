"""Videos for Ray: :func:`read_videos`, a dataset of the pictures of many files; :func:`clips`, clips for the workers of Ray Train.

Ray is imported with this module and with no other: ``pip install 'nvdec[ray]'``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import index as _integer
from typing import Any

import numpy
import pyarrow
import ray
import ray.data
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask
from ray.data.extensions import ArrowTensorArray

from ._batch import _NUMPY
from ._clips import _OPTIONS, Clips
from ._errors import OF_A_FILE, Error, OptionError
from ._price import price
from ._video import Video, _one_of, open, probe

__all__ = ["VideoDatasource", "clips", "device", "read_videos"]

_log = logging.getLogger(__name__)

_VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".ts", ".m2ts", ".mts", ".heic", ".heif", ".hevc", ".h265", ".265")
# Python with what it imports takes most of it; of a file a reader has a window.
_READER = 256 << 20
# No more readers share a GPU.
_READERS = 8
# So many files are tried until one can be opened.
_TRIED = 8


def device() -> str:
    """The ``device`` of :func:`nvdec.open` for a task or actor of Ray: the first GPU that Ray gave it, else ``"auto"``. The
    environment variable NVDEC_DEVICE overrules it."""
    if "NVDEC_DEVICE" not in os.environ and ray.is_initialized() and ray.get_runtime_context().get_accelerator_ids().get("GPU"):
        # Ray has set CUDA_VISIBLE_DEVICES, within which GPUs are counted. CUDA itself is not loaded for that.
        return "cuda:0"
    return "auto"


def clips(paths: Sequence[str | os.PathLike[str]], frames: int = 16, stride: int = 1, **options: Any) -> Clips:
    """Clips for the worker of Ray Train that calls it: :class:`nvdec.Clips` with its rank, and as many parts as there are workers.

    :param options: as of :class:`nvdec.Clips`, but ``rank`` and ``world``
    """
    import ray.train

    context = ray.train.get_context()
    return Clips(paths, frames, stride, rank=context.get_world_rank(), world=context.get_world_size(), **options)


class VideoDatasource(Datasource):
    """The pictures of many files, for :func:`ray.data.read_datasource`. :func:`read_videos` makes it, and says what it needs.

    Each file is read by one task, block after block. A task has one file or several; what it gives depends on nothing but its
    arguments, so that Ray can run it again in the midst.
    """

    def __init__(self, paths: Sequence[str], reader: _Reader) -> None:
        super().__init__()
        self._paths, self._reader = list(paths), reader

    def get_name(self) -> str:
        """What Ray calls the tasks."""
        return "Videos"

    def estimate_inmemory_data_size(self) -> int | None:
        """Nothing: how many pictures there are is known when a file is read."""
        return None

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        """As many tasks as are asked for, but no more than there are files. Each has files that follow each other."""
        count = max(1, min(parallelism, len(self._paths)))
        tasks = []
        for task in range(count):
            paths = self._paths[task * len(self._paths) // count : (task + 1) * len(self._paths) // count]
            metadata = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=tuple(paths))
            tasks.append(ReadTask(_Read(self._reader, paths), metadata, per_task_row_limit=per_task_row_limit))
        return tasks


class _Read:
    """What a task does."""

    def __init__(self, reader: _Reader, paths: list[str]) -> None:
        self._reader, self._paths = reader, paths
        # Ray prints it.
        self.__name__ = "read_videos"

    def __call__(self) -> Iterator[pyarrow.Table]:
        for path in self._paths:
            yield from self._reader.read(path)


@dataclass(frozen=True)
class _Reader:
    """Reads files one after the other, as :func:`read_videos` was told."""

    _count: int
    _every: int
    _fps: float | None
    _start: float | None
    _stop: float | None
    _include_paths: bool
    _on_error: str
    _filesystem: Any
    _options: dict[str, Any]

    def open(self, source: Any) -> Video:
        chosen = self._options["device"]
        options = {**self._options, "device": device() if chosen == "auto" else chosen, "on_error": self._on_error}
        return open(source, **options)

    def source(self, path: str) -> Any:
        if self._filesystem is None:
            return path
        # pyarrow's file systems, and those of fsspec.
        if hasattr(self._filesystem, "open_input_file"):
            return self._filesystem.open_input_file(path)
        return self._filesystem.open(path, "rb")

    def numbers(self, video: Video) -> list[int]:
        if self._fps is None and self._start is None and self._stop is None:
            return list(range(0, len(video), self._every))
        begin = (video.info.begin or 0.0) if self._start is None else self._start
        return video.indices(begin, self._stop, self._fps)[:: self._every]

    def read(self, path: str) -> Iterator[pyarrow.Table]:
        source, video = None, None
        try:
            source = self.source(path)
            video = self.open(source)
            for batch in video.batches(self._count, indices=self.numbers(video)):
                frames, errors = batch.numpy(), batch.errors
                yield self._table(path, frames, batch.index, batch.pts_seconds, errors)
        except (*OF_A_FILE, OSError) as error:
            if self._on_error == "raise":
                raise Error(f"{path}: {error}") from error
            _log.warning("%s: %s", path, error)
            if self._on_error == "mark":
                black = numpy.zeros((1, *self._shape(video)), _NUMPY[self._options["dtype"]])
                yield self._table(path, black, (-1,), (None,), (str(error) or type(error).__name__,))
        finally:
            if video is not None:
                video.close()
            if source is not path and source is not None:
                source.close()

    def _shape(self, video: Video | None) -> tuple[int, ...]:
        """That of a picture as far as it is known, so that the row of a file that failed is like others."""
        if video is not None:
            return video.shape
        height, width = self._options["size"] or (1, 1)
        channels = 1 if self._options["channels"] == "grey" else 3
        return (height, width, channels) if self._options["layout"] == "NHWC" else (channels, height, width)

    def _table(
        self,
        path: str,
        frames: Any,
        numbers: Sequence[int],
        seconds: Sequence[float | None],
        errors: Sequence[str | None],
    ) -> pyarrow.Table:
        columns = {
            "frame": ArrowTensorArray.from_numpy(frames),
            "index": pyarrow.array(numbers, pyarrow.int64()),
            "pts_seconds": pyarrow.array(seconds, pyarrow.float64()),
        }
        if self._include_paths:
            columns["path"] = pyarrow.array([path] * len(numbers), pyarrow.string())
        if self._on_error == "mark":
            columns["error"] = pyarrow.array(errors, pyarrow.string())
        return pyarrow.table(columns)


def read_videos(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    frames_per_block: int = 64,
    size: tuple[int, int] | None = None,
    dtype: str = "uint8",
    layout: str = "NHWC",
    every: int = 1,
    fps: float | None = None,
    start: float | None = None,
    stop: float | None = None,
    device: str = "auto",
    concurrency: int | None = None,
    gpus_per_reader: float | None = None,
    memory_per_reader: int | None = None,
    include_paths: bool = True,
    on_error: str = "mark",
    filesystem: Any = None,
    override_num_blocks: int | None = None,
    **options: Any,
) -> ray.data.Dataset:
    """The pictures of many files as a dataset of Ray: a row for each, with the columns

    - ``frame``, the picture, a tensor;
    - ``index``, its number in the file, in the order in which pictures are shown;
    - ``pts_seconds``, when it is shown, null where nothing says so;
    - ``path``, its file;
    - ``error``, what is wrong with it, null for a picture that is as its encoder made it. Only with ``on_error="mark"``.

    Files are opened and decoded by tasks of Ray, which stream blocks: no task has a whole video in memory. A task whose worker is
    killed is run again by another one; each picture comes once all the same.

    What concerns the device and no file ends the job, whatever ``on_error`` is: a GPU that is lost, or memory that is short.

    One file is looked at before anything is read, by a task on the device, to know what a reader takes (:func:`nvdec.price`). Ray
    is told the share of a GPU and the host memory that it comes to.

    :param paths: files; a folder stands for the videos in it. Workers read them.
    :param frames_per_block: pictures that a reader decodes and gives on at a time. Ray joins blocks up to the size that it aims at.
    :param size: height and width of all pictures. Without it pictures of several files can differ, as can rows.
    :param dtype: ``"uint8"``, a quarter of the memory of ``"float32"``, or ``"float16"``
    :param layout: ``"NHWC"``, as Ray has images, or ``"NCHW"``
    :param every: of the pictures that are named by time, or of all: 1 for each, 2 for every second
    :param fps: pictures a second, as in :meth:`nvdec.Video.indices`
    :param start: where to begin in each file, in seconds
    :param stop: before which time to end, in seconds
    :param device: as in :func:`nvdec.open`. ``"auto"`` is the GPU that Ray gave the worker, where it gives any: :func:`device`. Of several
        each reader, which is a process with one video, takes the first: to spread readers is Ray's.
    :param concurrency: readers at a time, at most; without it, as many as there is room for
    :param gpus_per_reader: share of a GPU for each reader. Without it, the part of the memory of a GPU that decoding the first
        file takes, but an eighth at least; 0 where the cluster has no GPU, and for the emulated one.
    :param memory_per_reader: bytes of host memory that Ray reserves for each reader. Without it, three blocks and 256 MiB, and on
        the emulated GPU, whose memory is the host's, what decoding takes.
    :param include_paths: whether there is a column ``path``
    :param on_error: ``"mark"`` gives damaged pictures with a text in ``error``; and a file that cannot be opened, or not be read
        on, a row whose ``index`` is -1 and whose ``frame`` is black. ``"skip"`` leaves both out and writes files that failed to
        the log of the worker. ``"raise"`` ends the job.
    :param filesystem: a file system of pyarrow or fsspec, to which ``paths`` belong
    :param override_num_blocks: number of tasks; without it one for each file, but 4096 at most
    :param options: what else becomes of the pictures, and ``engines`` and ``memory``, as in :func:`nvdec.open`
    """
    for name in options:
        if name not in _OPTIONS and name not in ("engines", "memory"):
            raise TypeError(f"read_videos() takes no {name!r}; of pictures it takes {', '.join(_OPTIONS)}")
    _one_of("on_error", on_error, ("mark", "skip", "raise"))
    _one_of("dtype", dtype, _NUMPY)
    _one_of("layout", layout, ("NHWC", "NCHW"))
    for name, number in (("frames_per_block", frames_per_block), ("every", every)):
        if _integer(number) < 1:
            raise OptionError(f"{name}: {number} is not possible, it is 1 or more")
    if fps is not None and not 0 < fps < float("inf"):
        raise OptionError(f"fps: {fps} is not possible, it is more than 0")
    files = _files(paths, filesystem)
    opened = {**_OPTIONS, **options, "size": size, "dtype": dtype, "layout": layout, "device": device}
    reader = _Reader(frames_per_block, every, fps, start, stop, include_paths, on_error, filesystem, opened)
    if gpus_per_reader is None or memory_per_reader is None:
        gpus, memory = _shares(reader, files, gpus_per_reader)
        gpus_per_reader = gpus if gpus_per_reader is None else gpus_per_reader
        memory_per_reader = memory if memory_per_reader is None else memory_per_reader
    return ray.data.read_datasource(
        VideoDatasource(files, reader),
        num_gpus=gpus_per_reader or None,
        memory=memory_per_reader,
        concurrency=concurrency,
        override_num_blocks=override_num_blocks or min(len(files), 4096),
    )


def _files(paths: Any, filesystem: Any) -> list[str]:
    named = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    files: list[str] = []
    for path in [os.fspath(path) for path in named]:
        if filesystem is None and os.path.isdir(path):
            files.extend(
                os.path.join(path, name) for name in sorted(os.listdir(path)) if name.lower().endswith(_VIDEOS)
            )
        else:
            # Workers run in folders of their own.
            files.append(os.path.abspath(path) if filesystem is None else path)
    if not files:
        raise OptionError("paths: there is no video")
    return files


def _shares(reader: _Reader, files: list[str], gpus: float | None) -> tuple[float, int]:
    """The part of a GPU and the bytes of host memory of a reader."""
    if not ray.is_initialized():
        ray.init()
    has_gpus = ray.cluster_resources().get("GPU", 0) > 0 and gpus != 0
    measure = ray.remote(_measure).options(num_cpus=1, num_gpus=0.01 if has_gpus else 0)
    taken, block, limit, is_emulated = ray.get(measure.remote(reader, files[:_TRIED]))
    memory = _READER + 3 * block + (taken if is_emulated else 0)
    if not has_gpus or is_emulated:
        return 0.0, memory
    share = taken / limit if limit else 0.0
    # Ray counts in ten-thousandths.
    return min(1.0, max(1 / _READERS, -(-share * 10_000 // 1) / 10_000)), memory


def _measure(reader: _Reader, files: list[str]) -> tuple[int, int, int, bool]:
    """What a reader takes for the first of the files that can be opened: GPU memory and a block, in bytes; what GPU memory there
    is; and whether that is host memory."""
    options = {name: value for name, value in reader._options.items() if name != "memory"}
    options["device"] = device() if options["device"] == "auto" else options["device"]
    found = probe(options["device"])
    limit, is_emulated = int(found["memory_limit"] or 0), bool(found["emulated"])
    for path in files:
        source = None
        try:
            source = reader.source(path)
            cost = price(source, batch=reader._count, on_error=reader._on_error, **options)
        except (*OF_A_FILE, OSError):
            continue
        finally:
            if source is not path and source is not None:
                source.close()
        return cost.total, cost.batch, limit, is_emulated
    return 0, 0, limit, is_emulated
