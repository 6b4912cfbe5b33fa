"""How fast pictures of files become float16 tensors of PyTorch on a GPU, beside other packages for Python: a line of JSON for each.

    python tools/python/tests/peers.py --clip FILE --files FILE ... [--seconds N] [--rounds N]

Each package does each task in a process of its own, in turn, so that none has what another left behind. Tasks:

- ``order``: all pictures of ``--clip`` at full size, again and again, in batches of 16, with one decoder
- ``threads``: the same by seven threads with a decoder each, which take a seventh of the file each
- ``clips``: eight pictures, every fourth one, of ``--files``, each clip with a decoder of its own, by one thread and by eight
- ``first``: from opening the file to the first tensor, PyTorch being there

Packages that are not installed are left out, and the line says so. Of this package ``order`` is measured at 224x224 as well, and
``clips`` by ``nvdec.Clips`` besides, which decodes ahead. Nothing here is a test of pytest.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

BATCH = 16
TASKS = ("first", "order", "clips", "threads")


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Peer:
    """What is measured of a package. Tensors are float16, NCHW, from 0 to 1."""

    def __init__(self) -> None:
        import torch

        self.torch = torch
        torch.zeros(1, device="cuda:0")

    def half(self, pictures: Any) -> Any:
        return pictures.to(self.torch.float16).mul_(1 / 255)

    def count(self, path: str) -> int:
        """Pictures of a file."""
        raise NotImplementedError

    def order(self, path: str, begin: int, end: int) -> Iterator[Any]:
        """Batches of the pictures from ``begin`` to ``end``."""
        raise NotImplementedError

    def clip(self, path: str, numbers: Sequence[int]) -> Any:
        """Those pictures."""
        raise NotImplementedError


class TorchCodec(Peer):
    def open(self, path: str) -> Any:
        from torchcodec.decoders import VideoDecoder

        return VideoDecoder(path, device="cuda:0", seek_mode="approximate")

    def count(self, path: str) -> int:
        return len(self.open(path))

    def order(self, path: str, begin: int, end: int) -> Iterator[Any]:
        decoder = self.open(path)
        for at in range(begin, end, BATCH):
            yield self.half(decoder.get_frames_in_range(at, min(end, at + BATCH)).data)

    def clip(self, path: str, numbers: Sequence[int]) -> Any:
        return self.half(self.open(path).get_frames_at(list(numbers)).data)


class PyNvVideoCodec(Peer):
    threaded = False

    def open(self, path: str) -> Any:
        import PyNvVideoCodec as nvc

        options = {"gpu_id": 0, "use_device_memory": True, "output_color_type": nvc.OutputColorType.RGBP}
        return nvc.ThreadedDecoder(path, 32, **options) if self.threaded else nvc.SimpleDecoder(path, **options)

    def count(self, path: str) -> int:
        return len(self.open(path))

    def pack(self, frames: Sequence[Any]) -> Any:
        planes = [self.torch.from_dlpack(frame) for frame in frames]
        height, width = planes[0].shape[-2] // (3 if planes[0].dim() == 2 else 1), planes[0].shape[-1]
        packed = self.torch.empty((len(planes), 3, height, width), dtype=self.torch.float16, device="cuda:0")
        for place, plane in zip(packed, planes):
            place.copy_(plane.view(3, height, width))
        packed.mul_(1 / 255)
        # The next call writes to the same surfaces.
        self.torch.cuda.synchronize()
        return packed

    def order(self, path: str, begin: int, end: int) -> Iterator[Any]:
        decoder = self.open(path)
        if begin:
            decoder.seek_to_index(begin)
        for at in range(begin, end, BATCH):
            yield self.pack(decoder.get_batch_frames(min(end, at + BATCH) - at))

    def clip(self, path: str, numbers: Sequence[int]) -> Any:
        return self.pack(self.open(path).get_batch_frames_by_index(list(numbers)))


class PyNvThreaded(PyNvVideoCodec):
    threaded = True


class Nvdec(Peer):
    size: tuple[int, int] | None = None

    def open(self, path: str) -> Any:
        import nvdec

        return nvdec.open(path, device="cuda:0", dtype="float16", size=self.size)

    def count(self, path: str) -> int:
        return len(self.open(path))

    def order(self, path: str, begin: int, end: int) -> Iterator[Any]:
        with self.open(path) as video:
            for batch in video.batches(BATCH, indices=range(begin, end)):
                yield self.torch.from_dlpack(batch)

    def clip(self, path: str, numbers: Sequence[int]) -> Any:
        with self.open(path) as video:
            return self.torch.from_dlpack(video[list(numbers)])


class NvdecSmall(Nvdec):
    size = (224, 224)


class NvdecClips(Nvdec):
    """All clips by one thread that decodes ahead."""


PEERS: dict[str, tuple[type[Peer], tuple[str, ...]]] = {
    "torchcodec": (TorchCodec, TASKS),
    "pynvvideocodec": (PyNvVideoCodec, TASKS),
    "pynvvideocodec threaded": (PyNvThreaded, ("order",)),
    "nvdec": (Nvdec, TASKS),
    "nvdec 224x224": (NvdecSmall, ("order", "clips")),
    "nvdec.Clips": (NvdecClips, ("clips",)),
    "nvdec.Clips 224x224": (NvdecClips, ("clips",)),
}


def use(peer: Peer, batch: Any) -> int:
    """Reads something of each picture, so that it has to be there."""
    peer.sums = batch[:, :, ::64, ::64].sum()  # type: ignore[attr-defined]
    return int(batch.shape[0])


def measure_first(peer: Peer, options: argparse.Namespace) -> dict[str, Any]:
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        use(peer, next(iter(peer.order(options.clip, 0, 1))))
        peer.torch.cuda.synchronize()
        times.append(round(1e3 * (time.perf_counter() - begin), 1))
    return {"first_of_process_ms": times[0], "ms": sorted(times[1:])[2]}


def measure_order(peer: Peer, options: argparse.Namespace) -> dict[str, Any]:
    end = peer.count(options.clip)
    for batch in peer.order(options.clip, 0, end):
        use(peer, batch)
    peer.torch.cuda.synchronize()
    count, before, begin = 0, cpu(), time.perf_counter()
    while time.perf_counter() - begin < options.seconds:
        count += sum(use(peer, batch) for batch in peer.order(options.clip, 0, end))
    peer.torch.cuda.synchronize()
    seconds = time.perf_counter() - begin
    return {"pictures_per_second": round(count / seconds), "cpu_us": round(1e6 * (cpu() - before) / count, 1)}


def measure_threads(peer: Peer, options: argparse.Namespace) -> dict[str, Any]:
    end, counts = peer.count(options.clip), [0] * 7
    # At key pictures, which every 48th one of the clip is.
    cuts = [end // 48 * part // 7 * 48 for part in range(7)] + [end]
    barrier, until = threading.Barrier(8), [0.0]

    def work(part: int) -> None:
        peer.torch.cuda.set_device(0)
        for timed in (False, True):
            barrier.wait()
            while True:
                count = sum(use(peer, batch) for batch in peer.order(options.clip, cuts[part], cuts[part + 1]))
                counts[part] += count if timed else 0
                if not timed or time.perf_counter() > until[0]:
                    break

    threads = [threading.Thread(target=work, args=(part,)) for part in range(7)]
    for thread in threads:
        thread.start()
    barrier.wait()
    # They are through with what is not timed when all are here again.
    until[0] = float("inf")
    while barrier.n_waiting < 7:
        time.sleep(0.01)
    before, begin = cpu(), time.perf_counter()
    until[0] = begin + options.seconds
    barrier.wait()
    for thread in threads:
        thread.join()
    peer.torch.cuda.synchronize()
    seconds = time.perf_counter() - begin
    return {"pictures_per_second": round(sum(counts) / seconds), "cpu_us": round(1e6 * (cpu() - before) / sum(counts), 1)}


def measure_clips(peer: Peer, options: argparse.Namespace) -> dict[str, Any]:
    if isinstance(peer, NvdecClips):
        return measure_loader(peer, options)
    counts = {path: peer.count(path) for path in options.files}
    report: dict[str, Any] = {}

    def one(generator: random.Random) -> float:
        path = generator.choice(options.files)
        start = generator.randrange(counts[path] - 28)
        begin = time.perf_counter()
        use(peer, peer.clip(path, range(start, start + 29, 4)))
        peer.torch.cuda.current_stream().synchronize()
        return 1e3 * (time.perf_counter() - begin)

    def work(seed: int, times: list[float], until: float) -> None:
        peer.torch.cuda.set_device(0)
        generator = random.Random(seed)
        while time.perf_counter() < until:
            times.append(one(generator))

    one(random.Random(0))
    for count in (1, 8):
        times: list[float] = []
        before, begin = cpu(), time.perf_counter()
        threads = [threading.Thread(target=work, args=(seed, times, begin + options.seconds)) for seed in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - begin
        times.sort()
        report[f"threads_{count}"] = {
            "clips_per_second": round(len(times) / seconds, 1),
            "p50_ms": round(times[len(times) // 2], 1),
            "p99_ms": round(times[min(len(times) - 1, len(times) * 99 // 100)], 1),
            "cpu_ms": round(1e3 * (cpu() - before) / len(times), 2),
        }
    return report


def measure_loader(peer: Peer, options: argparse.Namespace) -> dict[str, Any]:
    import nvdec

    report: dict[str, Any] = {}
    for prefetch in (1, 4, 8):
        dataset = nvdec.Clips(options.files, frames=8, stride=4, clips=10_000)
        loader = dataset.loader(batch=4, prefetch=prefetch, device="cuda:0", dtype="float16", size=options.size)
        next(loader)
        count, before, begin = 0, cpu(), time.perf_counter()
        while time.perf_counter() - begin < options.seconds:
            batch = next(loader)
            use(peer, peer.torch.from_dlpack(batch).flatten(0, 1))
            count += len(batch)
        peer.torch.cuda.synchronize()
        seconds = time.perf_counter() - begin
        report[f"prefetch_{prefetch}"] = {
            "clips_per_second": round(count / seconds, 1),
            "cpu_ms": round(1e3 * (cpu() - before) / count, 2),
        }
    return report


def used_memory() -> Callable[[], float]:
    """MiB of the GPU that are taken, or nothing where nobody says."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        return lambda: float(pynvml.nvmlDeviceGetMemoryInfo(handle).used) / 2**20
    except Exception:
        return lambda: float("nan")


def spawn(arguments: list[str], used: Callable[[], float]) -> dict[str, Any]:
    before = most = used()
    process = subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(process.communicate()))
    reader.start()
    while reader.is_alive():
        most = max(most, used())
        reader.join(0.02)
    if process.returncode:
        return {"skipped": (said[1].strip().splitlines() or ["it died"])[-1][:300]}
    return {**json.loads(said[0].splitlines()[-1]), "gpu_mib": round(most - before)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", required=True)
    parser.add_argument("--files", nargs="+", required=True)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        peer = PEERS[options.peer][0]()
        options.size = (224, 224) if options.peer.endswith("224x224") else None
        if isinstance(peer, NvdecClips):
            peer.size = options.size
        measures = {"first": measure_first, "order": measure_order, "clips": measure_clips, "threads": measure_threads}
        print(json.dumps(measures[options.task](peer, options)), flush=True)
        return
    used = used_memory()
    rest = ["--clip", options.clip, "--seconds", str(options.seconds), "--files", *options.files]
    for round_ in range(options.rounds):
        for task in TASKS:
            for name, (_, tasks) in PEERS.items():
                if task in tasks:
                    report = spawn(["--peer", name, "--task", task, *rest], used)
                    print(json.dumps({"task": task, "peer": name, "round": round_, **report}), flush=True)


if __name__ == "__main__":
    main()
