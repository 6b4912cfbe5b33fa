"""How fast pictures come to Python: in order, and from the start. A line of JSON for each.

    python tools/python/tests/speed.py --clip FILE [--device cuda:0] [--seconds N]

``--clip`` is read in order. Clips of many files, and other packages beside this one, are in ``peers.py``, several GPUs in
``gpus.py``. With PyTorch, tensors are handed to it and summed up on the GPU, so that each was read. Nothing here is a test of pytest.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

FIRST = """
import time
begin = time.perf_counter()
import nvdec
video = nvdec.open({path!r}, device={device!r}, size=(224, 224), dtype="float16")
{use}
print(1e3 * (time.perf_counter() - begin))
"""


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def say(**report: Any) -> None:
    print(json.dumps(report), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", required=True)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--seconds", type=float, default=4)
    options = parser.parse_args()

    # Before PyTorch is there.
    use = "video[0].__dlpack__(stream=-1)" if options.device.startswith("cuda") else "video[0].host()"
    script = FIRST.format(path=options.clip, device=options.device, use=use)
    for _ in range(2):
        begin = time.perf_counter()
        out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        say(what="a process with one tensor", inside_ms=round(float(out), 1), all_ms=round(1e3 * (time.perf_counter() - begin), 1))

    import nvdec

    if options.device.startswith("cuda"):
        import torch

        def take(batch: Any) -> Any:
            return torch.from_dlpack(batch)

        def use_it(tensor: Any) -> Any:
            return tensor[..., ::16, ::16].float().sum()

        def wait() -> None:
            torch.cuda.synchronize()

        torch.zeros(1, device=options.device)
    else:

        def take(batch: Any) -> Any:
            batch.wait()
            return batch

        def use_it(tensor: Any) -> Any:
            return tensor

        def wait() -> None:
            pass

    for size in ((224, 224), None):
        def opened(path: str) -> nvdec.Video:
            return nvdec.open(path, device=options.device, size=size, dtype="float16")

        begin = time.perf_counter()
        video = opened(options.clip)
        index = time.perf_counter()
        use_it(take(video[0]))
        wait()
        first = time.perf_counter()
        say(what="first tensor", size=size, index_ms=round(1e3 * (index - begin), 2), opened_to_tensor_ms=round(1e3 * (first - index), 2))
        for rate in range(2):
            count, processor, begin, kept = 0, cpu(), time.perf_counter(), []
            while time.perf_counter() - begin < options.seconds:
                for batch in video.batches(16):
                    kept.append(use_it(take(batch)))
                    count += len(batch)
                kept.clear()
            wait()
            seconds = time.perf_counter() - begin
            say(what="in order", size=size, pictures_per_second=round(count / seconds), cpu_us=round(1e6 * (cpu() - processor) / count, 1))
        video.close()


if __name__ == "__main__":
    main()
