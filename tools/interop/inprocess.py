"""Takes tensors of a clip from the example `inprocess` of nvdec-cuda, a library in the process of PyTorch.

As consume.py in all else. With --into the tensors are written to memory that PyTorch allocated.
"""

import argparse
import ctypes
import json
import os
import sys
import time

os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

import torch  # noqa: E402

import gpu  # noqa: E402


class Library:
    """The functions of the library."""

    def __init__(self, path):
        library = ctypes.CDLL(path)
        session = ctypes.c_void_p
        signatures = {
            "error": (ctypes.c_char_p, []),
            "open": (session, [ctypes.c_char_p]),
            "description": (ctypes.c_char_p, [session]),
            "descriptors": (ctypes.c_int, [session, ctypes.POINTER(ctypes.c_int)]),
            "give": (ctypes.c_int, [session, ctypes.c_int, ctypes.c_uint64, ctypes.c_uint64]),
            "next": (ctypes.c_int64, [session, ctypes.POINTER(ctypes.c_uint64)]),
            "close": (ctypes.c_int, [session]),
        }
        for name, (result, arguments) in signatures.items():
            function = getattr(library, f"interop_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def checked(self, result):
        """The result, unless it says that the call failed."""
        if result is None or result < 0:
            raise RuntimeError(self.error().decode())
        return result


def run(options):
    cuda = gpu.Cuda()
    torch.cuda.init()
    torch.zeros(1, device="cuda")
    library = Library(options.library)
    lines = ["--clip", options.clip, "--device", options.device, "--spec", options.spec]
    lines += ["--batch", str(options.batch), "--tensors", str(options.tensors), "--pictures", str(options.pictures)]
    lines += ["--into"] if options.into else []
    session = library.checked(library.open("\n".join(lines).encode()))
    description = json.loads(library.description(session))
    descriptors = (ctypes.c_int * 2)()
    library.checked(library.descriptors(session, descriptors))
    words = gpu.Imported(cuda, descriptors[0], description["words"]["size"])
    ready, done = (words.address + description["words"][name] for name in ("ready", "done"))
    if options.into:
        memory, (descriptor, size, offset) = gpu.given(torch, cuda, description)
        library.checked(library.give(session, descriptor, size, offset))
        os.close(descriptor)
    else:
        memory = gpu.Imported(cuda, descriptors[1], description["memory"]).tensor(torch)
    stream, begin = torch.cuda.Stream(), ctypes.c_uint64()
    sums = gpu.Sums(torch, description, stream)

    started = time.perf_counter()
    with torch.cuda.stream(stream):
        for _ in range(description["total"]):
            number = library.checked(library.next(session, ctypes.byref(begin)))
            if not options.control:
                cuda.wait(stream, ready, number)
            sums.add(memory, begin.value, number)
            cuda.write(stream, done, number)
    host = time.perf_counter() - started
    torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    pictures, wrong = sums.wrong()
    library.checked(library.close(session))
    # What was imported is good still.
    ones = torch.ones(256, 256, device="cuda")
    return {
        "mode": ("into" if options.into else "pool") + (" control" if options.control else ""),
        "pictures": pictures,
        "wrong": wrong,
        "seconds": round(seconds, 3),
        "host_seconds": round(host, 3),
        "pictures_per_second": round(pictures / seconds),
        "mean": sums.mean(),
        "memory_readable": int(memory.to(torch.int64).sum()) == int(memory.to(torch.int64).sum()),
        "context_works": bool(((ones @ ones) == 256).all().item()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", required=True, help="libinprocess.so")
    parser.add_argument("--clip", required=True)
    parser.add_argument("--device", default="nv:0")
    parser.add_argument("--spec", default="size=224x224,dtype=f16")
    parser.add_argument("--batch", type=int, default=8, help="pictures of a tensor")
    parser.add_argument("--tensors", type=int, default=4, help="places for tensors")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--into", action="store_true", help="have tensors written to memory of PyTorch's")
    parser.add_argument("--control", action="store_true", help="do not wait for tensors: some must be wrong")
    options = parser.parse_args()
    report = run(options)
    print(json.dumps(report), flush=True)
    good = (report["wrong"] > 0) == options.control and report["memory_readable"] and report["context_works"]
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
