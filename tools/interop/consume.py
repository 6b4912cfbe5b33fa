"""Takes tensors of a clip from the example `serve` of nvdec-cuda, which is another process and has no CUDA.

No tensor is copied, and no CPU waits for the GPU before the end: streams of PyTorch wait for words that the other
process's queue writes, and write the words that it waits for. Prints a line of JSON; ends with 1 if pictures came out
wrong, or with --control, or --expect-wrong, if none did.
"""

import argparse
import json
import os
import signal
import socket
import sys
import time

os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

import torch  # noqa: E402

import gpu  # noqa: E402


class Link:
    """Messages, a line each, and descriptors."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        for _ in range(600):
            try:
                self.socket.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.1)
        else:
            raise RuntimeError(f"nobody listens at {path}")
        self.unread = b""
        self.descriptors = []

    def receive(self):
        """The next message, None when the other side is gone."""
        while b"\n" not in self.unread:
            try:
                data, descriptors, _, _ = socket.recv_fds(self.socket, 1 << 16, 4)
            except ConnectionResetError:
                return None
            self.descriptors += descriptors
            if not data:
                return None
            self.unread += data
        line, self.unread = self.unread.split(b"\n", 1)
        return json.loads(line)

    def send(self, message, descriptors=()):
        data = json.dumps(message).encode() + b"\n"
        try:
            if descriptors:
                socket.send_fds(self.socket, [data], descriptors)
            else:
                self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            # The next receive says so.
            pass


def is_gone(pid):
    """Whether a process has ended: it may not be waited for yet."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def after_the_kill(cuda, ready, description, memory, sums, told):
    """The other process was killed while our stream waits for it."""
    deadline = time.time() + 30
    while not is_gone(description["pid"]) and time.time() < deadline:
        time.sleep(0.01)
    other = torch.cuda.Stream()
    reached = min(cuda.read_word(other, ready), told)
    # Lets our stream go on.
    cuda.write(other, ready, told)
    torch.cuda.synchronize()
    pictures, wrong = sums.wrong(reached)
    first, second = (int(memory.to(torch.int64).sum()) for _ in range(2))
    ones = torch.ones(256, 256, device="cuda")
    return {
        "is_gone": is_gone(description["pid"]),
        "reached": reached,
        "told": told,
        "pictures": pictures,
        "wrong": wrong,
        "memory_readable": first == second,
        "context_works": bool(((ones @ ones) == 256).all().item()),
    }


def consume(options):
    cuda = gpu.Cuda()
    torch.cuda.init()
    torch.zeros(1, device="cuda")
    link = Link(options.socket)
    description = link.receive()
    if description is None:
        raise RuntimeError("the other side ended before it said anything")
    words = gpu.Imported(cuda, link.descriptors.pop(0), description["words"]["size"])
    ready, done = (words.address + description["words"][name] for name in ("ready", "done"))
    if description["memory"]:
        imported = gpu.Imported(cuda, link.descriptors.pop(0), description["memory"])
        memory, message, descriptors = imported.tensor(torch), None, []
    else:
        memory, (descriptor, size, offset) = gpu.given(torch, cuda, description)
        message, descriptors = {"size": size, "offset": offset}, [descriptor]
    stream = torch.cuda.Stream()
    sums = gpu.Sums(torch, description, stream)
    link.send({"is": "go", "memory": message}, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)

    told, is_finished = 0, False
    started = time.perf_counter()
    with torch.cuda.stream(stream):
        while message := link.receive():
            if message["is"] == "end":
                is_finished = True
                break
            number = message["number"]
            if not options.control:
                cuda.wait(stream, ready, number)
            if options.slow:
                torch.cuda._sleep(int(options.slow * 1.9e6))
            sums.add(memory, message["offset"], number)
            cuda.write(stream, done, number)
            link.send({"is": "told", "number": number})
            told = number
            if number == options.kill_producer_after:
                os.kill(description["pid"], signal.SIGKILL)
            if number == options.die_after:
                os.kill(os.getpid(), signal.SIGKILL)
    host = time.perf_counter() - started

    if is_finished:
        torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        pictures, wrong = sums.wrong()
        report = {"pictures": pictures, "wrong": wrong}
        report["seconds"] = round(seconds, 3)
        # When the host was done telling the stream: no later than the stream, if nobody waited.
        report["host_seconds"] = round(host, 3)
        report["pictures_per_second"] = round(pictures / seconds)
        report["mean"] = sums.mean()
        link.send({"is": "bye"})
    else:
        report = after_the_kill(cuda, ready, description, memory, sums, told)
    mode = "control" if options.control else "into" if not description["memory"] else "pool"
    return {"mode": mode, "killed_producer": not is_finished} | report


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", required=True, help="where serve listens")
    parser.add_argument("--control", action="store_true", help="do not wait for tensors: some must be wrong")
    parser.add_argument("--expect-wrong", action="store_true", help="the producer does not wait: some must be wrong")
    parser.add_argument("--slow", type=float, default=0, help="milliseconds that the GPU takes longer for a tensor")
    parser.add_argument("--kill-producer-after", type=int, metavar="N", help="kill -9 it when tensor N was told")
    parser.add_argument("--die-after", type=int, metavar="N", help="kill -9 ourselves then")
    options = parser.parse_args()
    report = consume(options)
    print(json.dumps(report), flush=True)
    if options.kill_producer_after:
        keys = ("killed_producer", "is_gone", "memory_readable", "context_works")
        good = all(report.get(key) for key in keys) and report["wrong"] == 0 and report["reached"] > 0
    else:
        wants_wrong = options.control or options.expect_wrong
        good = not report["killed_producer"] and (report["wrong"] > 0) == wants_wrong
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
