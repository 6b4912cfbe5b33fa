"""What CUDA is told, by a library that stands in for it (``cuda_model.c``). What the memory holds then, only a GPU shows."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Capsules are looked into as consumers do. The emulated GPU is no ``cuda:N`` unless a test says so, so the call below the interface is
# made.
PRELUDE = """
import ctypes, gc, os, sys
from pathlib import Path
import nvdec

class Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_uint64), ("device", ctypes.c_int32), ("ordinal", ctypes.c_int32), ("ndim", ctypes.c_int32),
                ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)), ("offset", ctypes.c_uint64)]
class Versioned(ctypes.Structure):
    _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p),
                ("flags", ctypes.c_uint64), ("tensor", Tensor)]
pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
rename = ctypes.pythonapi.PyCapsule_SetName
rename.argtypes = [ctypes.py_object, ctypes.c_char_p]

def versioned(capsule):
    return Versioned.from_address(pointer_of(capsule, b"dltensor_versioned"))
def legacy(capsule):
    return Tensor.from_address(pointer_of(capsule, b"dltensor"))
def calls(name):
    return [tuple(map(int, line.split()[1:])) for line in LOG.read_text().splitlines() if line.split()[0] == name]

LOG, BUSY = Path(os.environ["CUDA_MODEL_LOG"]), Path(os.environ["CUDA_MODEL_BUSY"])
LOG.touch()
video = nvdec.open(os.environ["CLIP"], device="emulated", size=(24, 32), dtype="float16")
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    place = tmp_path_factory.mktemp("cuda")
    source = Path(__file__).with_name("cuda_model.c")
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(place / "libcuda.so.1"), str(source)]
    subprocess.run(command, check=True)
    return place


def run(program: str, library: Path, clip: Path, tmp_path: Path, **variables: str) -> None:
    environment = {
        **os.environ,
        **variables,
        "LD_LIBRARY_PATH": str(library),
        "CUDA_MODEL_LOG": str(tmp_path / "log"),
        "CUDA_MODEL_BUSY": str(tmp_path / "busy"),
        "CLIP": str(clip),
    }
    done = subprocess.run([sys.executable, "-c", PRELUDE + program], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_capsules_say_what_they_are(library: Path, plain: Path, tmp_path: Path) -> None:
    program = """
batch = video[[3, 5]]
assert not calls("import") and "libcuda" not in Path("/proc/self/maps").read_text()
new, old = batch._tensor.dlpack_cuda(False, True, 7), batch._tensor.dlpack_cuda(False, False, 7)
# The words, and the memory of the batch: once, however often it is handed out.
assert [size for _, size in calls("import")] == [4096, 2 << 20], calls("import")
(mapped, _) = calls("map")[1]
assert (versioned(new).major, versioned(new).flags) == (1, 0)
for tensor in (versioned(new).tensor, legacy(old)):
    assert (tensor.data + tensor.offset, tensor.device, tensor.ordinal) == (mapped, 2, 1)
    assert (tensor.code, tensor.bits, tensor.lanes, tensor.ndim) == (2, 16, 1, 4)
    assert tensor.shape[:4] == [2, 3, 24, 32] and tensor.strides[:4] == [3 * 24 * 32, 24 * 32, 32, 1]
frame = video[3]
capsule = frame._tensor.dlpack_cuda(True, True, 7)
assert versioned(capsule).tensor.shape[: versioned(capsule).tensor.ndim] == [3, 24, 32]
assert frame.numpy().any(), "the host has it as well"
# Of one half of a pair of names, nothing is freed twice.
del new, old, capsule
gc.collect()
assert batch.numpy().shape == (2, 3, 24, 32)
"""
    run(program, library, plain, tmp_path)


def test_a_capsule_that_was_taken_holds_the_memory(library: Path, plain: Path, tmp_path: Path) -> None:
    program = """
batch = video[:4]
capsule = batch._tensor.dlpack_cuda(False, True, 7)
taken = versioned(capsule)
rename(capsule, USED := b"used_dltensor_versioned")
del capsule, batch
gc.collect()
assert not calls("record"), "it is still in use"
other = video[:4]
other._tensor.dlpack_cuda(False, True, 7)
assert len(calls("import")) == 3, "other memory"
# The consumer lets go of it, on a thread of its own and without Python's lock.
import threading
deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(taken.deleter)
thread = threading.Thread(target=deleter, args=(ctypes.addressof(taken),))
thread.start()
thread.join()
assert calls("record") == [(7, 0)]
"""
    run(program, library, plain, tmp_path)


def test_memory_is_used_again_behind_the_streams_that_were_named(library: Path, plain: Path, tmp_path: Path) -> None:
    program = """
def take():
    batch = video[:4]
    capsule = batch._tensor.dlpack_cuda(False, True, 7)
    return batch, versioned(capsule).tensor.data

batch, first = take()
batch._tensor.dlpack_cuda(False, True, 9)
batch._tensor.record_stream(11)
batch._tensor.record_stream(11)
assert not calls("record")
BUSY.touch()
del batch
assert sorted(calls("record")) == [(7, 0), (9, 0), (11, 0)]
others = [take() for _ in range(3)]
addresses = {address for _, address in others}
assert len(addresses) == 3 and first not in addresses, "the streams are not through"
imports = len(calls("import"))
BUSY.unlink()
batch, again = take()
assert again == first and len(calls("import")) == imports, "it is, and needs no import"
# What nobody else has a capsule of is free at once.
del batch, others
assert len(calls("record")) == 7
"""
    run(program, library, plain, tmp_path)


def test_streams_wait_for_values_that_grow(library: Path, plain: Path, tmp_path: Path) -> None:
    program = """
# Such conversions take the emulated GPU a while.
large = nvdec.open(os.environ["CLIP"], device="emulated", size=(1500, 2000), dtype="float32")
for number in range(4):
    large[number]._tensor.dlpack_cuda(True, True, 7)
    large[number]._tensor.dlpack_cuda(True, True, None)
waits = calls("wait")
assert all(stream == 7 for stream, _ in waits), waits
assert [value for _, value in waits] == list(range(1, len(waits) + 1)), waits
assert waits, "nothing was waited for"
# What is there needs no wait.
frame = large[5]
frame.wait()
frame._tensor.dlpack_cuda(True, True, 7)
assert len(calls("wait")) == len(waits)
"""
    run(program, library, plain, tmp_path)


def test_memory_that_is_short_is_taken_from_what_is_kept(library: Path, plain: Path, tmp_path: Path) -> None:
    program = """
for number in range(6):
    held = [nvdec.open(os.environ["CLIP"], device="emulated", size=(64 * (6 - number), 512))[:] for _ in range(2)]
    for batch in held:
        batch._tensor.dlpack_cuda(False, True, 7)
    del held, batch
kept = nvdec.probe("emulated")["memory_allocated"]
tight = nvdec.open(os.environ["CLIP"], device="emulated", size=(400, 512), memory=kept + (1 << 20))
assert tight[:].numpy().any()
assert calls("free") and calls("synchronize"), "what CUDA was through with was given back"
"""
    run(program, library, plain, tmp_path)


def test_what_the_environment_calls_cuda_is_handed_to_cuda(library: Path, plain: Path, tmp_path: Path) -> None:
    program = """
def handed(batch):
    assert batch.device == "cuda:1" and batch.__dlpack_device__() == (2, 1), batch
    tensor = versioned(capsule := batch.__dlpack__(stream=7, max_version=(1, 0))).tensor
    assert (tensor.device, tensor.ordinal) == (2, 1)
    return [size for _, size in calls("map")]

# The same GPU by its other name goes to the host.
other = nvdec.open(os.environ["CLIP"], device="emulated:1", size=(24, 32))
assert other[:2].__dlpack_device__() == (1, 0) and "libcuda" not in Path("/proc/self/maps").read_text()
video = nvdec.open(os.environ["CLIP"], size=(24, 32))
assert video.device == "cuda:1"
assert handed(video[:2]) == [4096, 2 << 20]
# Memory that was mapped before.
batch, = nvdec.Clips([os.environ["CLIP"]], frames=2).loader(size=(24, 32))
assert handed(batch) in ([4096, 2 << 20], [4096, 2 << 20, 2 << 20])
"""
    run(program, library, plain, tmp_path, NVDEC_DEVICE="cuda:1", NVDEC_EMULATED_CUDA="1")


def test_a_gpu_that_cuda_calls_otherwise_is_not_handed_out(library: Path, plain: Path, tmp_path: Path) -> None:
    program = """
video = nvdec.open(os.environ["CLIP"], size=(24, 32))
assert video.device == "cuda:0"
batch = video[:2]
try:
    batch.__dlpack__(stream=7, max_version=(1, 0))
    raise AssertionError("it was handed out")
except nvdec.DeviceError as error:
    assert "which CUDA calls cuda:1" in str(error), error
assert not calls("map"), "nothing of it is CUDA's"
"""
    run(program, library, plain, tmp_path, NVDEC_DEVICE="cuda:0", NVDEC_EMULATED_CUDA="1")
