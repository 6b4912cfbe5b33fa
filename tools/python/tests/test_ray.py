"""Datasets of Ray: every picture once, also of files that are damaged and of workers that are killed."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DATA

import nvdec

with warnings.catch_warnings():
    # Ray warns of what its own dependencies do.
    warnings.simplefilter("ignore")
    ray = pytest.importorskip("ray", exc_type=ImportError)
    pytest.importorskip("ray.data", exc_type=ImportError)
    pytest.importorskip("ray.train", exc_type=ImportError)
    import nvdec.ray

pytestmark = pytest.mark.filterwarnings("ignore")

FILES = [DATA / name for name in ("plain.mp4", "vfr.mp4", "matroska.mkv", "transport.ts")]
SIZE = (24, 32)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    # Workers do not find this file.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    # Nothing is sent anywhere.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # A machine with little memory, or busy with other things, is given time.
    os.environ["RAY_memory_monitor_refresh_ms"] = "0"
    os.environ["RAY_worker_register_timeout_seconds"] = "600"
    ray.init(num_cpus=3, include_dashboard=False, object_store_memory=256 << 20, log_to_driver=False, logging_level="error")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # Blocks leave a reader one by one: what comes behind them is on its way when it is killed.
    context.target_max_block_size = 4 << 10
    yield
    ray.shutdown()


def expected(path: Path, **options: Any) -> dict[int, np.ndarray]:
    with nvdec.open(path, size=SIZE, layout="NHWC", **options) as video:
        return {frame.index: frame.numpy().copy() for frame in video}


def check(rows: list[dict[str, Any]], files: list[Path]) -> None:
    """Every picture of the files is there once, as `nvdec.open` gives it."""
    seen = Counter((row["path"], row["index"]) for row in rows)
    wanted = {str(path): expected(path) for path in files}
    assert seen == Counter((path, number) for path, frames in wanted.items() for number in frames)
    for row in rows:
        np.testing.assert_array_equal(row["frame"], wanted[row["path"]][row["index"]])
        assert row["error"] is None


def test_every_picture_is_there_once() -> None:
    dataset = nvdec.ray.read_videos(FILES, size=SIZE, frames_per_block=5)
    rows = dataset.take_all()
    check(rows, FILES)
    with nvdec.open(FILES[1]) as video:
        times = {frame.index: frame.pts_seconds for frame in video}
    assert {row["index"]: row["pts_seconds"] for row in rows if row["path"] == str(FILES[1])} == times
    # Of one file they come in their order.
    numbers = [row["index"] for row in rows if row["path"] == str(FILES[0])]
    assert numbers == sorted(numbers)


class Killing:
    """A file system whose reader is killed the first time that it has read so many bytes of a file, once others have pictures of it."""

    def __init__(self, name: str, behind: int, notes: Path) -> None:
        self.name, self.behind, self.notes = name, behind, notes

    def open(self, path: str, mode: str) -> Any:
        with (self.notes / "readers").open("a") as notes:
            notes.write(f"{os.getpid()} {os.path.basename(path)}\n")
        file = open(path, mode)
        return Fatal(file, self.behind, self.notes) if path.endswith(self.name) else file


class Fatal:
    def __init__(self, file: Any, behind: int, notes: Path) -> None:
        self.file, self.left, self.notes = file, behind, notes
        self.seek, self.close = file.seek, file.close

    def read(self, size: int) -> bytes:
        data: bytes = self.file.read(size)
        self.left -= len(data)
        if self.left < 0 and not (self.notes / "killed").exists():
            limit = time.monotonic() + 60
            while not (self.notes / "seen").exists() and time.monotonic() < limit:
                time.sleep(0.01)
            (self.notes / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return data


def noted(batch: dict[str, Any], name: str, notes: Path) -> dict[str, Any]:
    if batch["path"][0].endswith(name):
        (notes / "seen").touch()
    return batch


def test_what_a_killed_worker_had_is_read_again(tmp_path: Path) -> None:
    # So long that pictures come out of it while others are still to be read.
    long = tmp_path / "long.hevc"
    long.write_bytes((DATA / "stream.hevc").read_bytes() * 6)
    counter = Fatal(long.open("rb"), 0, tmp_path)
    (tmp_path / "killed").touch()
    nvdec.open(counter)
    counter.file.close()
    (tmp_path / "killed").unlink()
    behind = long.stat().st_size * 95 // 100 - counter.left

    # It is in the midst of the second of two files of a task.
    files = [FILES[0], long, *FILES[1:3]]
    dataset = nvdec.ray.read_videos(
        files,
        size=SIZE,
        frames_per_block=2,
        override_num_blocks=2,
        filesystem=Killing(long.name, behind, tmp_path),
        gpus_per_reader=0,
        memory_per_reader=1 << 20,
    )
    dataset = dataset.map_batches(noted, batch_size=None, fn_kwargs={"name": long.name, "notes": tmp_path})
    check(dataset.take_all(), files)
    assert (tmp_path / "killed").exists() and (tmp_path / "seen").exists()
    readers = [line.split() for line in (tmp_path / "readers").read_text().splitlines()]
    workers = {path.name: [worker for worker, name in readers if name == path.name] for path in files}
    # Both files of its task were read again, by another worker, and those of the other task were not.
    assert [len(workers[path.name]) for path in files] == [2, 2, 1, 1]
    assert len(set(workers[long.name])) == 2


def broken(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A file that cannot be opened, one whose second half is lost, and none."""
    cut, damaged = tmp_path / "cut.mp4", tmp_path / "damaged.hevc"
    cut.write_bytes(FILES[0].read_bytes()[:300])
    data = bytearray((DATA / "stream.hevc").read_bytes())
    for at in range(len(data) // 2, len(data), 97):
        data[at] ^= 0x55
    damaged.write_bytes(data)
    return cut, damaged, tmp_path / "missing.mp4"


def test_damaged_files_are_reported_and_not_fatal(tmp_path: Path) -> None:
    cut, damaged, missing = broken(tmp_path)
    rows = nvdec.ray.read_videos([FILES[0], cut, damaged, missing, FILES[2]], size=SIZE).take_all()
    by_path = {path: [row for row in rows if row["path"] == str(path)] for path in (FILES[0], cut, damaged, missing, FILES[2])}
    check(by_path[FILES[0]] + by_path[FILES[2]], [FILES[0], FILES[2]])
    for path in (cut, missing):
        (row,) = by_path[path]
        assert row["index"] == -1 and row["error"] and not row["frame"].any() and row["frame"].shape == (*SIZE, 3)
    assert "No such file" in by_path[missing][0]["error"]
    with nvdec.open(damaged, size=SIZE, on_error="mark") as video:
        errors = {frame.index: frame.errors for frame in video}
    assert {row["index"]: row["error"] for row in by_path[damaged]} == errors
    assert any(errors.values()) and not all(errors.values())


def test_damaged_pictures_are_left_out(tmp_path: Path) -> None:
    cut, damaged, missing = broken(tmp_path)
    rows = nvdec.ray.read_videos([damaged, cut, missing], size=SIZE, on_error="skip").take_all()
    assert sorted(row["index"] for row in rows) == sorted(expected(damaged, on_error="skip"))
    assert {row["path"] for row in rows} == {str(damaged)} and "error" not in rows[0]


def test_damage_ends_the_job_if_it_is_to(tmp_path: Path) -> None:
    cut, _, _ = broken(tmp_path)
    with pytest.raises(Exception, match="cut.mp4"):
        nvdec.ray.read_videos([cut], size=SIZE, on_error="raise").take_all()


def test_which_pictures() -> None:
    def numbers(**options: Any) -> list[int]:
        dataset = nvdec.ray.read_videos(FILES[0], size=SIZE, include_paths=False, dtype="float32", layout="NCHW", **options)
        rows = dataset.take_all()
        assert rows[0]["frame"].shape == (3, *SIZE) and rows[0]["frame"].dtype == "float32" and "path" not in rows[0]
        return [row["index"] for row in rows]

    with nvdec.open(FILES[0]) as video:
        assert numbers(every=7) == [0, 7, 14, 21]
        assert numbers(fps=6, start=0.25) == video.indices(0.25, None, 6)
        assert numbers(start=0.5, stop=0.75, every=2) == video.indices(0.5, 0.75)[::2]


class Files:
    """A file system such as fsspec has."""

    def __init__(self) -> None:
        self.files: list[Any] = []

    def open(self, path: str, mode: str) -> Any:
        assert mode == "rb"
        self.files.append((DATA / path).open(mode))
        return self.files[-1]


def test_file_systems(tmp_path: Path) -> None:
    import pyarrow.fs

    for filesystem in (Files(), pyarrow.fs.SubTreeFileSystem(str(DATA), pyarrow.fs.LocalFileSystem())):
        rows = nvdec.ray.read_videos("plain.mp4", size=SIZE, filesystem=filesystem, every=11).take_all()
        assert [(row["path"], row["index"]) for row in rows] == [("plain.mp4", number) for number in (0, 11, 22)]
        np.testing.assert_array_equal(rows[2]["frame"], expected(FILES[0])[22])
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / "a.mp4").symlink_to(FILES[0])
    assert nvdec.ray.read_videos(tmp_path, size=SIZE, every=24).take_all()[0]["path"] == str(tmp_path / "a.mp4")
    with pytest.raises(nvdec.OptionError, match="no video"):
        nvdec.ray.read_videos([])


def test_what_ray_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}

    def read(source: Any, **options: Any) -> Any:
        told.update(options)
        return source

    monkeypatch.setattr(ray.data, "read_datasource", read)
    source = nvdec.ray.read_videos(FILES, size=SIZE, frames_per_block=8)
    price = nvdec.price(FILES[0], size=SIZE, batch=8)
    # The emulated GPU has its memory from the host.
    assert told["num_gpus"] is None and told["memory"] == (256 << 20) + 3 * price.batch + price.total
    assert told["override_num_blocks"] == 4 and told["concurrency"] is None
    tasks = source.get_read_tasks(3)
    assert [task.metadata.input_files for task in tasks] == [(str(FILES[0]),), (str(FILES[1]),), (str(FILES[2]), str(FILES[3]))]
    nvdec.ray.read_videos(FILES, size=SIZE, gpus_per_reader=0.25, memory_per_reader=1 << 30, concurrency=2, override_num_blocks=3)
    assert told == {"num_gpus": 0.25, "memory": 1 << 30, "concurrency": 2, "override_num_blocks": 3}


def test_the_share_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"GPU": 2.0})
    taken: dict[str, Any] = {}

    class Task:
        def options(self, **options: Any) -> Task:
            taken.update(options)
            return self

        def remote(self, *_: Any) -> Any:
            return ray.put(found)

    monkeypatch.setattr(ray, "remote", lambda _: Task())
    reader = nvdec.ray.VideoDatasource  # what is measured is given below
    for found, share in (
        ((1 << 30, 10, 4 << 30, False), 0.25),
        ((1 << 30, 10, 3 << 30, False), 0.3334),
        ((1 << 20, 10, 64 << 30, False), 0.125),
        ((9 << 30, 10, 4 << 30, False), 1.0),
    ):
        assert nvdec.ray._shares(reader, ["a.mp4"], None) == (share, (256 << 20) + 30)  # type: ignore[arg-type]
        assert taken["num_gpus"] > 0
    # The emulated one takes nothing of those that there are.
    found = (1 << 30, 10, 4 << 30, True)
    assert nvdec.ray._shares(reader, ["a.mp4"], None) == (0, (256 << 20) + 30 + (1 << 30))  # type: ignore[arg-type]


def test_clips_in_workers_of_ray_train(tmp_path: Path) -> None:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    def work(config: dict[str, Any]) -> None:
        import nvdec.ray

        clips = nvdec.ray.clips(config["paths"], 3, clips=2, seed=5)
        taken = [clip for batch in clips.loader(2, size=SIZE, device=nvdec.ray.device()) for clip in zip(batch.source, batch.index)]
        (config["notes"] / str(clips.rank)).write_text(json.dumps(taken))

    # As TorchTrainer, which needs PyTorch.
    DataParallelTrainer(
        work,
        train_loop_config={"paths": FILES, "notes": tmp_path},
        scaling_config=ScalingConfig(num_workers=2),
        run_config=RunConfig(name="clips", storage_path=str(tmp_path / "storage")),
    ).fit()
    taken = [json.loads((tmp_path / rank).read_text()) for rank in "01"]
    whole = nvdec.Clips(FILES, 3, clips=2, seed=5).loader(8, size=SIZE)
    expected = [[path, list(numbers)] for batch in whole for path, numbers in zip(batch.source, batch.index)]
    assert [len(rank) for rank in taken] == [4, 4] and sorted(taken[0] + taken[1]) == sorted(expected)


def test_readers_close_what_they_open() -> None:
    files = Files()
    options = {**nvdec._clips._OPTIONS, "size": SIZE, "device": "emulated", "layout": "NHWC"}
    reader = nvdec.ray._Reader(8, 1, None, None, None, True, "mark", files, options)
    assert nvdec.ray._measure(reader, ["h264.mp4", "plain.mp4"])[0] == nvdec.price(FILES[0], batch=8, **options).total
    assert sum(table.num_rows for path in ("plain.mp4", "h264.mp4") for table in reader.read(path)) == 24 + 1
    assert len(files.files) == 4 and all(file.closed for file in files.files)


@pytest.mark.parametrize(
    "wrong",
    [{"every": 0}, {"frames_per_block": 0}, {"fps": 0}, {"on_error": "stop"}, {"dtype": "bfloat16"}, {"layout": "CHW"}],
)
def test_arguments_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(nvdec.OptionError, match=next(iter(wrong))):
        nvdec.ray.read_videos(FILES, **wrong)


def test_arguments_of_pictures_are_checked() -> None:
    with pytest.raises(TypeError, match="sizes"):
        nvdec.ray.read_videos(FILES, sizes=SIZE)
