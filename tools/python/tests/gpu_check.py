"""What only a real GPU shows: ``cuda:N`` and ``nv:N`` from Python, with PyTorch in the same process.

A line of JSON for each check, with ``"ok"``; the last line sums up. Ends with 0 if all came out as they have to. It is no test of
pytest, which finds no function here by its name.

    python tools/python/tests/gpu_check.py [--device cuda:0] [--clip clip.hevc] [--only NAME,...]

``--clip`` is a longer video for the checks of order and speed, 1080p say; without it a small clip of the repository is used, with which
the control of ``no_memory_is_written_while_a_stream_reads_it`` can come out right, which is no pass.
With ``--device emulated`` and no PyTorch the checks run that need neither: so the program itself can be tried anywhere.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import nvdec

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / "nvdec" / "containers" / "tests" / "data"
CLIPS = ROOT / "tools" / "clips"
FILES = ["plain.mp4", "vfr.mp4", "trimmed.mp4", "fragmented.mp4", "matroska.mkv", "transport.ts", "rotated.mp4", "colour.mp4"]
SMALL = DATA / "plain.mp4"
# A stream of PyTorch that stands still for so many cycles of the GPU, some 50 ms.
SLEEP = 80_000_000

CHECKS: list[tuple[str, str, Callable[[Any], dict[str, Any]]]] = []


class Wrong(Exception):
    """A check found something wrong."""


def check(needs: str) -> Callable[[Callable[[Any], dict[str, Any]]], Callable[[Any], dict[str, Any]]]:
    """Registers a check, which gives what is worth reporting. ``needs`` is "gpu", "cuda" or "" for nothing."""

    def register(function: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
        CHECKS.append((function.__name__, needs, function))
        return function

    return register


def expect(condition: Any, text: str) -> None:
    if not condition:
        raise Wrong(text)


def is_loaded(library: str) -> bool:
    return library in Path("/proc/self/maps").read_text()


def equal(found: Any, expected: Any, what: str) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    expect(found.shape == expected.shape, f"{what}: shape {found.shape}, not {expected.shape}")
    wrong = int((found != expected).sum())
    expect(wrong == 0, f"{what}: {wrong} of {expected.size} elements differ")


@check("")
def cuda_is_loaded_by_the_first_export(options: Any) -> dict[str, Any]:
    """First of all, while PyTorch is not there."""
    expect("torch" not in sys.modules, "PyTorch is there already, which loads CUDA")
    expect(not is_loaded("libcuda.so"), "importing nvdec loaded CUDA")
    video = nvdec.open(SMALL, device=options.device)
    video[[3, 20]].numpy()
    expect(not is_loaded("libcuda.so"), "opening or decoding loaded CUDA")
    report = {"device": video.device, **nvdec.probe(options.device if not options.is_cuda else "auto")}
    if options.is_cuda:
        begin = time.perf_counter()
        video[3].__dlpack__(stream=-1)
        report["first_export_ms"] = round((time.perf_counter() - begin) * 1e3, 1)
        expect(is_loaded("libcuda.so"), "an export did not load CUDA")
    return report


@check("gpu")
def pictures_are_those_of_the_emulated_gpu(options: Any) -> dict[str, Any]:
    pictures = 0
    for path in [*(DATA / name for name in FILES), CLIPS / "x_wpp.hevc", CLIPS / "x_size_202x150.hevc"]:
        for spec in ({}, {"dtype": "float16", "size": (64, 96), "layout": "NHWC", "mean": 0.5, "std": 0.25}):
            here, model = nvdec.open(path, device=options.device, **spec), nvdec.open(path, device="emulated", **spec)
            expect(here.device == options.device and model.device == "emulated", "another device was taken")
            equal(here[:].numpy(), model[:].numpy(), path.name)
            order = list(np.random.default_rng(0).permutation(len(here)))
            equal(here[order].numpy(), model[order].numpy(), f"{path.name} in any order")
            pictures += 2 * len(here)
    return {"pictures": pictures}


@check("cuda")
def tensors_are_the_arrays(options: Any) -> dict[str, Any]:
    torch = options.torch
    for dtype in ("uint8", "float16", "float32", "bfloat16"):
        batch = nvdec.open(SMALL, device=options.device, dtype=dtype)[[5, 1, 5]]
        expect(batch.__dlpack_device__() == (2, options.ordinal), "not a CUDA device")
        tensor = torch.from_dlpack(batch)
        expect(tensor.dtype == getattr(torch, dtype) and tuple(tensor.shape) == batch.shape, f"{dtype}: {tensor.dtype}")
        expect(tensor.is_cuda and tensor.device.index == options.ordinal and tensor.is_contiguous(), f"on {tensor.device}")
        bits = torch.uint8 if dtype == "uint8" else torch.int32 if dtype == "float32" else torch.int16
        expect(tensor.view(bits).cpu().numpy().tobytes() == bytes(batch.host()), f"{dtype}: other elements")
        again = torch.from_dlpack(batch)
        expect(again.data_ptr() == tensor.data_ptr(), "a second export is other memory")
        # What one side writes the other one sees.
        tensor.zero_()
        expect(int(again.view(bits).count_nonzero()) == 0, "the tensors are not the same memory")
    frame = nvdec.open(SMALL, device=options.device)[3]
    equal(torch.from_dlpack(frame).cpu().numpy(), frame.numpy(), "a frame")
    equal(np.from_dlpack(_Host(frame)), frame.numpy(), "DLPack on the host")
    for wrong, error in (({"stream": 0}, ValueError), ({"dl_device": (1, 0), "stream": 1}, ValueError), ({"dl_device": (2, 99)}, BufferError)):
        try:
            frame.__dlpack__(**wrong)
        except error:
            continue
        raise Wrong(f"{wrong} was taken")
    return {}


class _Host:
    def __init__(self, pictures: Any) -> None:
        self.pictures = pictures

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __dlpack__(self, **arguments: Any) -> Any:
        arguments["dl_device"] = (1, 0)
        return self.pictures.__dlpack__(**arguments)


def endless(video: nvdec.Video, size: int, count: int) -> Iterator[nvdec.Batch]:
    while True:
        for batch in video.batches(size, drop_last=True):
            if count == 0:
                return
            count -= 1
            yield batch


def sums_of(video: nvdec.Video, size: int) -> dict[tuple[int, ...], int]:
    """A sum for each batch, by the host."""
    weights = np.arange(1, 1 + int(np.prod(video.shape)) * size, dtype=np.int64) % 251
    return {batch.index: int((batch.numpy().reshape(-1).astype(np.int64) * weights).sum()) for batch in video.batches(size, drop_last=True)}


class Sums:
    """The same sums, by PyTorch."""

    def __init__(self, options: Any, video: nvdec.Video, size: int) -> None:
        self.torch = options.torch
        count = int(np.prod(video.shape)) * size
        self.weights = self.torch.arange(1, 1 + count, device=options.device, dtype=self.torch.int64) % 251
        self.torch.cuda.synchronize()

    def of(self, tensor: Any) -> Any:
        return (tensor.reshape(-1).to(self.torch.int64) * self.weights).sum()


def ordered(options: Any, dtype: str) -> nvdec.Video:
    return nvdec.open(options.clip, device=options.device, size=(128, 224), dtype=dtype, on_error="mark")


@check("cuda")
def no_tensor_is_read_before_it_is_there(options: Any) -> dict[str, Any]:
    """2,000 batches on a stream of their own. The control leaves out the wait, and some batches should be wrong."""
    torch, size = options.torch, 4
    video = ordered(options, "uint8")
    expected = sums_of(video, size)
    sums, stream = Sums(options, video, size), torch.cuda.Stream()
    report: dict[str, Any] = {}
    for is_control in (False, True):
        found = []
        begin = time.perf_counter()
        with torch.cuda.stream(stream):
            for batch in endless(video, size, 2000):
                if is_control:
                    # Not of the interface: a capsule that no stream waits for.
                    capsule = batch._tensor.dlpack_cuda(False, False, None)
                    batch.record_stream(stream)
                    tensor = torch.utils.dlpack.from_dlpack(capsule)
                else:
                    tensor = torch.from_dlpack(batch)
                found.append((batch.index, sums.of(tensor)))
        seconds = time.perf_counter() - begin
        stream.synchronize()
        wrong = sum(int(value) != expected[index] for index, value in found)
        if is_control:
            # Conversions take microseconds: that nothing is wrong here would be luck, but no fault.
            report["control_wrong"] = wrong
        else:
            report |= {"batches": len(found), "wrong": wrong, "pictures_per_second": round(size * len(found) / seconds)}
    expect(report["wrong"] == 0, f"{report['wrong']} batches were read before they were there: {report}")
    return report


@check("cuda")
def no_memory_is_written_while_a_stream_reads_it(options: Any) -> dict[str, Any]:
    """A stream that is slow reads tensors which the program has let go of. The control reads on a stream that was not named. It takes a
    clip of so many pictures that memory is used again."""
    torch, size = options.torch, 4
    video = ordered(options, "uint8")
    expected = sums_of(video, size)
    sums, slow = Sums(options, video, size), torch.cuda.Stream()
    report: dict[str, Any] = {}
    for mode in ("named", "recorded", "control"):
        found = []
        for round_ in range(12):
            # Alone: what is decoded ahead would leave so much memory that this one is not needed.
            batch = next(iter(video.batches(size, indices=range(size))))
            if mode == "named":
                with torch.cuda.stream(slow):
                    tensor = torch.from_dlpack(batch)
            else:
                tensor = torch.from_dlpack(batch)
                slow.wait_stream(torch.cuda.current_stream())
                if mode == "recorded":
                    batch.record_stream(slow)
            with torch.cuda.stream(slow):
                torch.cuda._sleep(SLEEP)
                found.append((batch.index, sums.of(tensor)))
            del batch, tensor
            # All other pictures, through whatever memory is free, while the stream stands still.
            for other in video.batches(size, indices=range(size, len(video))):
                other.wait()
            del other
            torch.cuda.synchronize()
        report[mode] = sum(int(value) != expected[index] for index, value in found)
    expect(report["named"] == 0 and report["recorded"] == 0, f"memory was written that a stream still read: {report}")
    expect(report["control"] > 0, f"the control came out right, so this shows nothing; --clip takes a longer video: {report}")
    return report


@check("cuda")
def tensors_outlive_everything_else(options: Any) -> dict[str, Any]:
    torch = options.torch
    video = nvdec.open(SMALL, device=options.device)
    expected = video[3:9].numpy().copy()
    tensor = torch.from_dlpack(video[3:9])
    video.close()
    del video
    gc.collect()
    for _ in range(20):
        nvdec.open(SMALL, device=options.device)[0:6].wait()
    equal(tensor.cpu().numpy(), expected, "a tensor whose video is gone")
    ones = torch.ones(256, 256, device=options.device)
    expect(bool(((ones @ ones) == 256).all()), "the context of CUDA is broken")
    return {}


@check("cuda")
def memory_does_not_grow(options: Any) -> dict[str, Any]:
    torch = options.torch

    def once() -> None:
        video = nvdec.open(SMALL, device=options.device)
        for batch in video.batches(8):
            torch.from_dlpack(batch).sum()

    for _ in range(10):
        once()
    torch.cuda.synchronize()
    before, begin = torch.cuda.mem_get_info()[0], time.perf_counter()
    for _ in range(200):
        once()
    torch.cuda.synchronize()
    lost = before - torch.cuda.mem_get_info()[0]
    report = {"lost_bytes": lost, "open_and_decode_ms": round((time.perf_counter() - begin) * 5, 2)}
    expect(lost < 64 << 20, f"GPU memory grew: {report}")
    return report


@check("cuda")
def exports_are_cheap(options: Any) -> dict[str, Any]:
    torch = options.torch
    batch = nvdec.open(SMALL, device=options.device)[0:8]
    torch.from_dlpack(batch)
    begin = time.perf_counter()
    for _ in range(1000):
        torch.from_dlpack(batch)
    each = (time.perf_counter() - begin) * 1e3
    expect(each < 1000, f"{each:.0f} us for each export")
    return {"microseconds": round(each, 1)}


@check("gpu")
def threads_with_a_video_each(options: Any) -> dict[str, Any]:
    torch = options.torch
    expected = nvdec.open(SMALL, device=options.device)[:].numpy()
    failed: list[str] = []

    def work(number: int) -> None:
        try:
            video = nvdec.open(SMALL, device=options.device)
            for round_ in range(50):
                order = [(number + round_ + step) % 24 for step in range(6)]
                if torch is not None:
                    with torch.cuda.stream(torch.cuda.Stream()):
                        found = torch.from_dlpack(video[order]).cpu().numpy()
                else:
                    found = video[order].numpy()
                equal(found, expected[order], f"thread {number}")
        except BaseException as error:
            failed.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    expect(not failed, "; ".join(failed[:3]))
    expect(not any(thread.is_alive() for thread in threads), "a thread hangs")
    return {"threads": len(threads)}


@check("gpu")
def a_forked_child_leaves_the_parent_alone(options: Any) -> dict[str, Any]:
    video = nvdec.open(SMALL, device=options.device)
    frame, stream = video[3], iter(video)
    expected = frame.numpy().copy()
    next(stream)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        code = 1
        try:
            video[3]
        except nvdec.ForkError:
            code = 0
        del video, frame, stream
        gc.collect()
        os._exit(code)
    expect(os.waitpid(child, 0)[1] == 0, "the child did not get a ForkError")
    equal(video[3].numpy(), expected, "the parent behind the end of its child")
    equal(next(stream).numpy(), video[1].numpy(), "the parent's iterator")
    return {}


def _worker(video: nvdec.Video) -> bytes:
    return video[3].numpy().tobytes()


@check("gpu")
def a_spawned_worker_opens_its_own(options: Any) -> dict[str, Any]:
    video = nvdec.open(SMALL, device=options.device)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for found in pool.map(_worker, [video] * 4):
            expect(found == video[3].numpy().tobytes(), "a worker has other pictures")
    return {}


@check("cuda")
def a_process_ends_with_tensors_alive(options: Any) -> dict[str, Any]:
    program = (
        "import nvdec, torch\n"
        f"video = nvdec.open({str(SMALL)!r}, device={options.device!r})\n"
        "tensors = [torch.from_dlpack(batch) for batch in video.batches(4)]\n"
        "stream = iter(video); next(stream)\n"
        "print(float(sum(tensor.float().sum() for tensor in tensors)))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    expect(run.returncode == 0 and not run.stderr.strip(), f"ended with {run.returncode}: {run.stderr[-500:]}")
    return {}


@check("cuda")
def numbers_of_devices_are_those_of_cuda(options: Any) -> dict[str, Any]:
    """By number, by UUID, and one that there is not."""
    uuid = f"GPU-{options.torch.cuda.get_device_properties(options.ordinal).uuid}"
    program = f"import nvdec, torch; print(int(torch.from_dlpack(nvdec.open({str(SMALL)!r}, device='cuda:0')[3]).sum()))"
    expected = str(int(nvdec.open(SMALL, device=options.device)[3].numpy().sum()))
    for visible in (str(options.ordinal), uuid):
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": visible}
        run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
        expect(run.stdout.strip() == expected, f"CUDA_VISIBLE_DEVICES={visible}: {run.stdout} {run.stderr[-500:]}")
    try:
        nvdec.open(SMALL, device="cuda:99")
    except nvdec.DeviceError as error:
        return {"uuid": uuid, "refused": str(error)}
    raise Wrong("cuda:99 was opened")


@check("cuda")
def pictures_are_written_into_tensors(options: Any) -> dict[str, Any]:
    """At any strides, in the order of a stream that has other work before it."""
    torch = options.torch
    video = nvdec.open(SMALL, device=options.device, dtype="float16", size=(40, 64))
    target = torch.full((24, 5, 40, 64), 7, dtype=torch.float16, device=options.device)
    stream = torch.cuda.Stream(options.device)
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        expect(video.into(target[:, 1:4], range(24)) is not None, "nothing is given back")
        video.into(target[3, 1:4], 5)
    stream.synchronize()
    found = target.cpu().numpy()
    expected = video[:].numpy()
    expected[3] = expected[5]
    equal(found[:, 1:4], expected, "into")
    expect(bool((found[:, [0, 4]] == 7).all()), "it wrote beside the pictures")
    return {}


@check("cuda")
def torchcodecs_interface(options: Any) -> dict[str, Any]:
    from nvdec.compat.torchcodec import VideoDecoder

    decoder = VideoDecoder(SMALL, device=options.torch.device(options.device))
    batch = decoder.get_frames_played_at([0.5, 0.0])
    expect(batch.data.is_cuda and batch.pts_seconds.tolist() == [0.5, 0.0], f"{batch.data.device} {batch.pts_seconds}")
    equal(batch.data.cpu().numpy(), nvdec.open(SMALL, device=options.device)[[12, 0]].numpy(), "frames")
    return {}


@check("gpu")
def speed(options: Any) -> dict[str, Any]:
    """Reported, and held against nothing."""
    torch = options.torch
    video = nvdec.open(options.clip, device=options.device, size=(224, 224), dtype="float16")
    begin = time.perf_counter()
    for batch in video.batches(32):
        batch.wait() if torch is None else torch.from_dlpack(batch).sum()
    if torch is not None:
        torch.cuda.synchronize()
    order = time.perf_counter() - begin
    numbers = list(np.random.default_rng(0).integers(0, len(video), 64))
    begin = time.perf_counter()
    video[numbers].wait()
    return {
        "clip": Path(options.clip).name,
        "size": [video.info.width, video.info.height],
        "in_order_pictures_per_second": round(len(video) / order),
        "64_at_random_ms": round((time.perf_counter() - begin) * 1e3, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--clip", default=str(CLIPS / "x_wpp.hevc"))
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    options.is_cuda = options.device.startswith("cuda:")
    options.ordinal = int(options.device[5:]) if options.is_cuda else None
    options.torch = None
    has = {"": True, "gpu": True, "cuda": options.is_cuda}
    failed, run = [], 0
    for name, needs, function in CHECKS:
        if options.only and name not in options.only.split(","):
            continue
        if not has[needs]:
            print(json.dumps({"check": name, "skipped": f"needs a device cuda:N, not {options.device}"}), flush=True)
            continue
        # The first check has to come before it.
        if needs and options.is_cuda and options.torch is None:
            import torch

            options.torch = torch
            torch.cuda.set_device(options.ordinal)
        begin = time.perf_counter()
        line: dict[str, Any] = {"check": name, "ok": True}
        try:
            line |= function(options)
        except Wrong as wrong:
            line |= {"ok": False, "error": str(wrong)}
        except Exception as error:
            line |= {"ok": False, "error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc().splitlines()[-6:]}
        line["seconds"] = round(time.perf_counter() - begin, 2)
        print(json.dumps(line), flush=True)
        run += 1
        if not line["ok"]:
            failed.append(name)
    print(json.dumps({"run": run, "failed": failed, "ok": run > 0 and not failed}), flush=True)
    return 0 if run and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
