"""What several GPUs are to one, for a process of Python that reads a list of files: a line of JSON for each measurement.

    python tools/python/tests/gpus.py --files FILE ... [--devices cuda:0 cuda:1] [--loops N] [--seconds N] [--rounds N]

It is measured with the first device, with the second, and so on, and with all of them, each in a process of its own:

- ``files 1``, ``files 2``: every picture of each file, ``--loops`` times, by a thread for each device, or by two. Each file is opened with
  all of the devices named, so that it is the package that spreads them.
- ``clips``: eight pictures, every fourth one, in batches of four clips, by ``nvdec.Clips``, which one thread reads

Pictures become float16 tensors of PyTorch in the memory of the GPU that decoded them: at full size, and of 224x224. The sum of each file
(and of each of the first batches of clips) has to be the same with each choice of devices; the exit code is 1 if one is not. ``times`` is
to the mean of the single devices. Nothing here is a test of pytest.
"""

from __future__ import annotations

import argparse
import json
import queue
import resource
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Any

SIZES: dict[str, tuple[int, int] | None] = {"full": None, "224x224": (224, 224)}
TASKS = ("files 1", "files 2", "clips")
# Batches of clips that are summed up before the others are timed.
SUMMED = 64


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def total(torch: Any, tensor: Any) -> Any:
    """The same for the same pictures on each GPU: of whole numbers, which the values in float16 are taken for."""
    return tensor.view(torch.int16)[..., ::16, ::16].sum(dtype=torch.int64)


def measure_files(options: argparse.Namespace, torch: Any, nvdec: Any, per_device: int) -> dict[str, Any]:
    results: dict[str, set[int]] = {path: set() for path in options.files}

    def work(tasks: queue.SimpleQueue[str], counts: Counter[str], failures: list[BaseException], lock: threading.Lock) -> None:
        try:
            while True:
                try:
                    path = tasks.get_nowait()
                except queue.Empty:
                    return
                sums, seen = [], Counter[str]()
                with nvdec.open(path, device=options.devices, dtype="float16", size=SIZES[options.size]) as video:
                    for batch in video.batches(16):
                        sums.append(total(torch, torch.from_dlpack(batch)))
                        seen[batch.device] += len(batch)
                found = sum(int(value) for value in sums)
                # To add to a count is to read it and to write it: other threads come between.
                with lock:
                    counts.update(seen)
                    results[path].add(found)
        except BaseException as failure:
            failures.append(failure)

    def run(loops: int) -> Counter[str]:
        tasks: queue.SimpleQueue[str] = queue.SimpleQueue()
        for path in options.files * loops:
            tasks.put(path)
        counts, failures = Counter[str](), list[BaseException]()
        arguments = (tasks, counts, failures, threading.Lock())
        threads = [threading.Thread(target=work, args=arguments) for _ in range(per_device * len(options.devices))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return counts

    run(1)
    before, begin = cpu(), time.perf_counter()
    counts = run(options.loops)
    seconds = time.perf_counter() - begin
    return {
        "per_second": round(counts.total() / seconds),
        "cpu_us": round(1e6 * (cpu() - before) / counts.total(), 1),
        "pictures": counts,
        "sums": [sorted(sums) for sums in results.values()],
    }


def measure_clips(options: argparse.Namespace, torch: Any, nvdec: Any) -> dict[str, Any]:
    dataset = nvdec.Clips(options.files, frames=8, stride=4, clips=10_000, seed=1)
    loader = dataset.loader(batch=4, prefetch=8, device=options.devices, dtype="float16", size=SIZES[options.size])
    sums = [int(total(torch, torch.from_dlpack(next(loader)))) for _ in range(SUMMED)]
    counts = Counter[str]()
    before, begin = cpu(), time.perf_counter()
    while time.perf_counter() - begin < options.seconds:
        batch = next(loader)
        total(torch, torch.from_dlpack(batch))
        counts[batch.device] += len(batch)
    for device in range(torch.cuda.device_count()):
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - begin
    return {
        "per_second": round(counts.total() / seconds, 1),
        "cpu_us": round(1e6 * (cpu() - before) / counts.total()),
        "clips": counts,
        "sums": sums,
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    import torch

    import nvdec

    # PyTorch's first use of a GPU takes seconds.
    for device in options.devices:
        total(torch, torch.zeros((1, 16, 16), dtype=torch.float16, device=device)).item()
    if options.task == "clips":
        return measure_clips(options, torch, nvdec)
    return measure_files(options, torch, nvdec, int(options.task.split()[1]))


def spawn(task: str, size: str, devices: list[str], options: argparse.Namespace) -> dict[str, Any]:
    # As much to do for each device.
    loops = ["--loops", str(options.loops * len(devices)), "--seconds", str(options.seconds)]
    arguments = ["--task", task, "--size", size, *loops, "--devices", *devices, "--files", *options.files]
    said = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True)
    if said.returncode:
        return {"failed": (said.stderr.strip().splitlines() or ["it died"])[-1][:300]}
    report: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    return report


def compare(task: str, size: str, round_: int, options: argparse.Namespace) -> bool:
    """Says what each choice of devices comes to; whether all of them gave the same pictures."""
    is_same, expected, single = True, None, list[float]()
    for devices in [*([device] for device in options.devices), options.devices]:
        report = spawn(task, size, devices, options)
        if "failed" not in report:
            sums = report.pop("sums")
            expected = expected or sums
            # A file has one sum, however often it was read.
            report["same"] = sums == expected and (task == "clips" or all(len(of_file) == 1 for of_file in sums))
            if len(devices) == 1:
                single.append(report["per_second"])
            elif single:
                report["times"] = round(report["per_second"] * len(single) / sum(single), 2)
        is_same = is_same and report.get("same", False)
        print(json.dumps({"task": task, "size": size, "devices": devices, "round": round_, **report}), flush=True)
    return is_same


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", nargs="+", required=True)
    parser.add_argument("--devices", nargs="+", default=["cuda:0", "cuda:1"])
    parser.add_argument("--loops", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--size", choices=SIZES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        print(json.dumps(measure(options)), flush=True)
        return 0
    all_same = [compare(task, size, round_, options) for round_ in range(options.rounds) for size in SIZES for task in TASKS]
    return 0 if all(all_same) else 1


if __name__ == "__main__":
    sys.exit(main())
