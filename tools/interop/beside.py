#!/usr/bin/env python3
"""What programs cost a training step that runs beside them on the same GPU, and what it costs them.

usage: beside.py [--seconds N] [--size N] [NAME=COMMAND ...]

A step is a perceptron of eight layers of SIZE in float16, forward and backward, in PyTorch. It runs alone, then beside each
COMMAND (a shell command that runs at least as long), then alone again. One line of JSON for each, with steps per second, the
median, 90th and 99th percentile of a step in ms, and the last lines that the command printed.
"""
import argparse
import json
import os
import signal
import subprocess
import tempfile
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--lines", type=int, default=12, help="lines of a command to keep")
    parser.add_argument("commands", nargs="*", metavar="NAME=COMMAND")
    args = parser.parse_args()

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

    def measure(seconds):
        for _ in range(5):
            step()
        torch.cuda.synchronize()
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

    print(json.dumps({"beside": "nothing", **measure(args.seconds)}), flush=True)
    for name, command in (text.split("=", 1) for text in args.commands):
        with tempfile.TemporaryFile("w+") as out:
            # A group of its own, so that nothing of it is left.
            program = subprocess.Popen(command, shell=True, stdout=out, stderr=out, start_new_session=True)
            time.sleep(2)
            found = measure(args.seconds)
            code = program.poll()
            if code is None:
                os.killpg(program.pid, signal.SIGINT)
                program.wait()
            out.seek(0)
            last = out.read().splitlines()[-args.lines:]
        print(json.dumps({"beside": name, **found, "ended_early": code, "printed": last}), flush=True)
    print(json.dumps({"beside": "nothing", **measure(args.seconds)}), flush=True)


if __name__ == "__main__":
    main()
