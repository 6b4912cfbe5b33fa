#!/usr/bin/env python3
"""What conversions, or other programs, cost a training step that runs beside them on the same GPU, and what it costs them.

usage: beside.py [--seconds N] [--size N] [--library libinprocess.so --clip CLIP] [NAME=COMMAND ...]

A step is a perceptron of eight layers of SIZE in float16, forward and backward, in PyTorch. It runs alone, then beside each
COMMAND (a shell command that runs at least as long). With --library, which is the example `inprocess` of nvdec-cuda, it also
runs beside a thread of its own process that decodes CLIP over and over: that alone, with conversions by our compute queue,
and with conversions in CUDA's context. Then it runs alone again. One line of JSON for each, with steps per second, the
median, 90th and 99th percentile of a step in ms, and the last lines that a command printed, or what the thread did meanwhile
and, before the steps began, without them ("alone").
"""
import argparse
import ctypes
import json
import os
import signal
import subprocess
import tempfile
import time

# What the library is told, and what the row is called.
IN_PROCESS = [
    ("nothing", "decoding in the same process"),
    ("queue", "tensors by our queue in the same process"),
    ("cuda", "tensors in CUDA's context"),
]


class Converting:
    """A clip that becomes tensors on a thread of this process."""

    def __init__(self, library, lines):
        self.library = ctypes.CDLL(library)
        session = ctypes.c_void_p
        self.library.interop_error.restype = ctypes.c_char_p
        self.library.interop_convert_open.restype = session
        self.library.interop_convert_open.argtypes = [ctypes.c_char_p]
        self.library.interop_convert_read.restype = ctypes.c_char_p
        self.library.interop_convert_read.argtypes = [session]
        self.library.interop_convert_close.restype = ctypes.c_int
        self.library.interop_convert_close.argtypes = [session]
        self.session = self.checked(self.library.interop_convert_open("\n".join(lines).encode()))

    def checked(self, result):
        """The result, unless it says that the call failed."""
        if result is None or (isinstance(result, int) and result < 0):
            raise RuntimeError(self.library.interop_error().decode())
        return result

    def read(self):
        """What was done since the last call."""
        return json.loads(self.checked(self.library.interop_convert_read(self.session)))

    def close(self):
        self.checked(self.library.interop_convert_close(self.session))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--lines", type=int, default=12, help="lines of a command to keep")
    parser.add_argument("--library", help="libinprocess.so, for conversions in this process")
    parser.add_argument("--clip", help="HEVC, as a byte stream, for these")
    parser.add_argument("--device", default="nv:0")
    parser.add_argument("--spec", default="size=224x224,dtype=f16")
    parser.add_argument("--batch", type=int, default=8, help="pictures of a tensor")
    parser.add_argument("--group", type=int, default=4, help="pictures of a call in CUDA's context")
    parser.add_argument("commands", nargs="*", metavar="NAME=COMMAND")
    args = parser.parse_args()
    if bool(args.library) != bool(args.clip):
        parser.error("--library and --clip go together")

    import torch

    layers = []
    for _ in range(8):
        layers += [torch.nn.Linear(args.size, args.size), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers).cuda().half()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    batch = torch.randn(2048, args.size, device="cuda", dtype=torch.float16)

    def step():
        optimizer.zero_grad(set_to_none=True)
        model(batch).float().square().mean().backward()
        optimizer.step()

    def warm():
        for _ in range(5):
            step()
        torch.cuda.synchronize()

    def measure(seconds):
        times, start = [], time.monotonic()
        while time.monotonic() - start < seconds:
            begin = time.monotonic()
            step()
            torch.cuda.synchronize()
            times.append(1e3 * (time.monotonic() - begin))
        times.sort()
        at = lambda share: round(times[min(len(times) - 1, int(share * len(times)))], 3)
        return {"steps_per_second": round(1e3 * len(times) / sum(times), 2),
                "median_ms": at(0.5), "p90_ms": at(0.9), "p99_ms": at(0.99)}

    def alone():
        warm()
        print(json.dumps({"beside": "nothing", **measure(args.seconds)}), flush=True)

    def in_process(place, name):
        lines = ["--clip", args.clip, "--device", args.device, "--spec", args.spec, "--in", place,
                 "--batch", str(args.batch), "--group", str(args.group)]
        try:
            thread = Converting(args.library, lines)
        except (OSError, RuntimeError) as error:
            print(json.dumps({"beside": name, "failed": str(error)}), flush=True)
            return
        try:
            # All surfaces are mapped, and the training step is not there yet.
            time.sleep(2)
            thread.read()
            time.sleep(min(args.seconds, 4))
            without = thread.read()
            warm()
            thread.read()
            found = measure(args.seconds)
            print(json.dumps({"beside": name, **found, "meanwhile": thread.read(), "alone": without}), flush=True)
        except RuntimeError as error:
            print(json.dumps({"beside": name, "failed": str(error)}), flush=True)
        finally:
            try:
                thread.close()
            except RuntimeError as error:
                print(json.dumps({"beside": name, "ended with": str(error)}), flush=True)

    alone()
    for name, command in (text.split("=", 1) for text in args.commands):
        with tempfile.TemporaryFile("w+") as out:
            # A group of its own, so that nothing of it is left.
            program = subprocess.Popen(command, shell=True, stdout=out, stderr=out, start_new_session=True)
            time.sleep(2)
            warm()
            found = measure(args.seconds)
            code = program.poll()
            if code is None:
                os.killpg(program.pid, signal.SIGINT)
                program.wait()
            out.seek(0)
            last = out.read().splitlines()[-args.lines:]
        print(json.dumps({"beside": name, **found, "ended_early": code, "printed": last}), flush=True)
    if args.library:
        for place, name in IN_PROCESS:
            in_process(place, name)
    alone()


if __name__ == "__main__":
    main()
