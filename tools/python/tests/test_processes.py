"""Threads, processes, memory."""

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import nvdec


class Slow:
    """A file that another thread is let in while it is read."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")
        self.entered = threading.Event()
        self.goes_on = threading.Event()
        self.waits = False

    def read(self, size: int) -> bytes:
        if self.waits:
            self.entered.set()
            assert self.goes_on.wait(60)
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)


def test_a_second_thread_is_refused(plain: Path) -> None:
    source = Slow(plain)
    video = nvdec.open(source)
    expected = video[7].numpy()
    source.waits = True
    found: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: found.append(video[7].numpy()))
    thread.start()
    assert source.entered.wait(60)
    with pytest.raises(nvdec.BusyError, match="another thread"):
        video[3]
    with pytest.raises(nvdec.BusyError):
        next(iter(video))
    with pytest.raises(nvdec.BusyError):
        video.close()
    source.goes_on.set()
    thread.join(60)
    np.testing.assert_array_equal(found[0], expected)
    # Nothing is left of it.
    np.testing.assert_array_equal(video[7].numpy(), expected)
    source.file.close()


def test_many_threads_with_a_video_each(plain: Path) -> None:
    expected = nvdec.open(plain)[:].numpy()
    wrong: list[object] = []

    def work(number: int) -> None:
        try:
            video = nvdec.open(plain)
            for at in range(number, number + 8):
                np.testing.assert_array_equal(video[at].numpy(), expected[at])
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not wrong and not any(thread.is_alive() for thread in threads)


def test_other_threads_run_while_pictures_are_decoded(clip: Path) -> None:
    video = nvdec.open(clip)
    video[0].numpy()
    ticks: list[float] = []
    ends = threading.Event()

    def count() -> None:
        while not ends.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0)

    thread = threading.Thread(target=count)
    thread.start()
    while not ticks:
        time.sleep(0.001)
    # Often, since the other thread has to be given a processor meanwhile.
    calls = []
    for _ in range(20):
        begin = time.perf_counter()
        assert video._decoding.take(list(range(16))) is not None
        calls.append((begin, time.perf_counter()))
    ends.set()
    thread.join(60)
    during = [sum(begin < tick < end for tick in ticks) for begin, end in calls]
    # With the lock held there would be none at all.
    assert sum(during) > 10 * len(calls), (during, calls)


def test_a_video_is_pickled_as_what_it_was_opened_with(plain: Path) -> None:
    video = nvdec.open(plain, size=(24, 32), dtype="float16", on_error="mark")
    expected = video[3].numpy()
    for again in (pickle.loads(pickle.dumps(video)), copy.copy(video)):
        assert again.info == video.info and again.shape == (3, 24, 32)
        np.testing.assert_array_equal(again[3].numpy(), expected)
    index = nvdec.index(plain)
    assert pickle.loads(pickle.dumps(index)) == index and hash(index) == hash(pickle.loads(pickle.dumps(index)))
    data = nvdec.open(plain.read_bytes())
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(data))[3].numpy(), data[3].numpy())
    for refused in (video[3], video[:2]):
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(refused)
    with plain.open("rb") as file, pytest.raises(TypeError):
        pickle.dumps(nvdec.open(file))


def _mean(video: nvdec.Video) -> float:
    return float(video[5].numpy().mean())


def test_spawn(plain: Path) -> None:
    video = nvdec.open(plain)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_mean, (video,)) == _mean(video)


def test_fork(plain: Path) -> None:
    video = nvdec.open(plain)
    frame, stream = video[0], iter(video)
    next(stream)
    read, write = os.pipe()
    with warnings.catch_warnings():
        # Python says that this process has threads: those of the emulated GPU.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        said = []
        for use in (lambda: video[0], lambda: frame.numpy(), lambda: next(stream), lambda: frame.wait(), video.close):
            try:
                use()
                said.append("no error")
            except nvdec.ForkError as error:
                said.append("ForkError" if "fork" in str(error) else str(error))
            except BaseException as error:
                said.append(repr(error))
        # What needs no device goes on.
        said.append(str(len(video)))
        del video, frame, stream
        try:
            said.append(str(_mean(nvdec.open(plain))))
        except BaseException as error:
            said.append(repr(error))
        os.write(write, " ".join(said).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    assert said == " ".join(["ForkError"] * 5 + ["24", str(_mean(video))])
    assert frame.numpy().any() and next(stream).numpy().any(), "the parent goes on"


def test_a_closed_video(plain: Path) -> None:
    with nvdec.open(plain) as video:
        frame, stream = video[0], iter(video)
        next(stream)
        assert not video.closed
    assert video.closed and "closed" in repr(video) and len(video) == 24
    for use in (lambda: video[0], lambda: next(stream), lambda: video.between(0), lambda: list(video.batches(2)), video.__enter__):
        with pytest.raises(ValueError, match="closed"):
            use()
    video.close()
    assert frame.numpy().any()


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_does_not_grow_with_opens(plain: Path) -> None:
    def once() -> None:
        video = nvdec.open(plain, size=(24, 32))
        video[[20, 3]].numpy()
        next(iter(video))

    for _ in range(20):
        once()
    before, allocated, files = resident(), nvdec.probe()["memory_allocated"], len(os.listdir("/proc/self/fd"))
    for _ in range(200):
        once()
    assert resident() - before < 24 << 20
    assert nvdec.probe()["memory_allocated"] <= allocated + (32 << 20)
    # A queue has two more from the first time on that somebody sleeps for it, whenever that is. There are few of these.
    for _ in range(5):
        opened, files = files, len(os.listdir("/proc/self/fd"))
        if files <= opened + 2:
            break
        for _ in range(200):
            once()
    assert files <= opened + 2


def test_a_limit_of_memory(plain: Path) -> None:
    # In a process of its own: the limit is that of the device.
    program = f"""
import nvdec
video = nvdec.open({str(plain)!r}, memory="1MiB")
try:
    video[0]
except MemoryError as error:
    assert isinstance(error, nvdec.OutOfMemory), error
    print("refused")
video = nvdec.open({str(plain)!r}, memory=1 << 30)
print(video[0].numpy().shape, nvdec.probe()["memory_limit"])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert run.stdout.split("\n")[:2] == ["refused", f"(3, 96, 128) {1 << 30}"], run.stderr


def test_memory_that_is_kept_goes_to_who_needs_it(plain: Path, clip: Path) -> None:
    program = f"""
import nvdec
kept = [nvdec.open({str(plain)!r}, size=(700, 900), dtype="float32")[0:6] for _ in range(3)]
for batch in kept:
    batch.wait()
del kept, batch
limit = nvdec.probe()["memory_allocated"] + (2 << 20)
assert limit > 100 << 20
video = nvdec.open({str(clip)!r}, memory=limit)
print([len(batch) for batch in video.batches(6)], video[3].index)
assert nvdec.probe()["memory_allocated"] < limit - (100 << 20)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "[6, 6, 4] 3", run.stderr


def test_import_loads_neither_numpy_nor_cuda(plain: Path) -> None:
    program = f"""
import sys, nvdec
video = nvdec.open({str(plain)!r})
video[0].host()
assert "numpy" not in sys.modules and "torch" not in sys.modules
assert "libcuda" not in open("/proc/self/maps").read()
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr


def test_control_c_ends_a_long_call(clip: Path) -> None:
    program = f"""
import os, signal, threading, nvdec
video = nvdec.open({str(clip)!r})
video[0]
threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    for _ in range(200):
        video._decoding.take([*range(16)] * 1)
    print("went through")
except KeyboardInterrupt:
    print("ended")
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert run.stdout.strip() == "ended", run.stderr


def test_probe() -> None:
    found = nvdec.probe("emulated")
    assert found["emulated"] is True and found["device"] == "emulated" and found["engines"] and found["driver"]
    assert nvdec.probe()["device"] == nvdec.probe("auto")["device"]


def test_there_is_no_cuda_here_unless_there_is(plain: Path) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("there is a GPU")
    for device in ("nv:0", "cuda:0", "cuda"):
        with pytest.raises(nvdec.DeviceError):
            nvdec.open(plain, device=device)
