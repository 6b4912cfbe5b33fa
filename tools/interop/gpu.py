"""CUDA's driver library by ctypes, and tensors of PyTorch over memory of another program."""

import ctypes
import os

SUCCESS = 0
OPAQUE_FD = 1
POSIX_FD = 1
GEQ = 0


class HandleDesc(ctypes.Structure):
    """CUDA_EXTERNAL_MEMORY_HANDLE_DESC."""

    _fields_ = [
        ("type", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
        ("fd", ctypes.c_int32),
        ("rest", ctypes.c_uint8 * 12),
        ("size", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 16),
    ]


class BufferDesc(ctypes.Structure):
    """CUDA_EXTERNAL_MEMORY_BUFFER_DESC."""

    _fields_ = [
        ("offset", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 16),
    ]


assert ctypes.sizeof(HandleDesc) == 104 and HandleDesc.size.offset == 24
assert ctypes.sizeof(BufferDesc) == 88


class Cuda:
    """Calls of the driver library, in the context that PyTorch has made current."""

    def __init__(self):
        self.library = ctypes.CDLL("libcuda.so.1")

    def call(self, name, *arguments):
        status = getattr(self.library, name)(*arguments)
        if status != SUCCESS:
            text = ctypes.c_char_p()
            self.library.cuGetErrorName(status, ctypes.byref(text))
            raise RuntimeError(f"{name}: {(text.value or b'?').decode()} ({status})")

    def wait(self, stream, address, value):
        """Has a stream wait until the word has reached a value; compared as a circle."""
        self.call(
            "cuStreamWaitValue32_v2",
            ctypes.c_void_p(stream.cuda_stream),
            ctypes.c_uint64(address),
            ctypes.c_uint32(value),
            ctypes.c_uint32(GEQ),
        )

    def write(self, stream, address, value):
        """Has a stream write a word, behind all that it was told before."""
        self.call(
            "cuStreamWriteValue32_v2",
            ctypes.c_void_p(stream.cuda_stream),
            ctypes.c_uint64(address),
            ctypes.c_uint32(value),
            ctypes.c_uint32(0),
        )

    def read_word(self, stream, address):
        """A word, read on a stream of its own: others may wait meanwhile."""
        word, handle = ctypes.c_uint32(), ctypes.c_void_p(stream.cuda_stream)
        self.call(
            "cuMemcpyDtoHAsync_v2", ctypes.byref(word), ctypes.c_uint64(address), ctypes.c_size_t(4), handle
        )
        self.call("cuStreamSynchronize", handle)
        return word.value

    def export_piece(self, address, length):
        """A descriptor of the piece of memory at an address of PyTorch's, the piece's size, and where in it that is.
        None if the range goes beyond the piece."""
        base, size = ctypes.c_uint64(), ctypes.c_size_t()
        self.call(
            "cuMemGetAddressRange_v2", ctypes.byref(base), ctypes.byref(size), ctypes.c_uint64(address)
        )
        if address + length > base.value + size.value:
            return None
        handle, descriptor = ctypes.c_uint64(), ctypes.c_int(-1)
        self.call("cuMemRetainAllocationHandle", ctypes.byref(handle), ctypes.c_void_p(address))
        try:
            self.call(
                "cuMemExportToShareableHandle",
                ctypes.byref(descriptor),
                handle,
                ctypes.c_uint(POSIX_FD),
                ctypes.c_uint64(0),
            )
        finally:
            self.call("cuMemRelease", handle)
        return descriptor.value, size.value, address - base.value


class Array:
    """Memory as PyTorch takes it without a copy."""

    def __init__(self, address, size):
        self.__cuda_array_interface__ = {
            "shape": (size,),
            "typestr": "|u1",
            "data": (address, False),
            "strides": None,
            "version": 3,
        }


class Imported:
    """Memory of another program, mapped by CUDA. It stays mapped."""

    def __init__(self, cuda, descriptor, size):
        self.size = size
        self.memory = ctypes.c_void_p()
        handle = HandleDesc(type=OPAQUE_FD, fd=descriptor, size=size)
        try:
            cuda.call("cuImportExternalMemory", ctypes.byref(self.memory), ctypes.byref(handle))
        except RuntimeError:
            # It is CUDA's only when that succeeds.
            os.close(descriptor)
            raise
        address = ctypes.c_uint64()
        buffer = BufferDesc(offset=0, size=size)
        cuda.call(
            "cuExternalMemoryGetMappedBuffer", ctypes.byref(address), self.memory, ctypes.byref(buffer)
        )
        self.address = address.value

    def tensor(self, torch):
        """Its bytes as a tensor of PyTorch."""
        tensor = torch.as_tensor(Array(self.address, self.size), device="cuda")
        if tensor.data_ptr() != self.address:
            raise RuntimeError("PyTorch made a copy of imported memory")
        return tensor


class Sums:
    """Sums of pictures, computed by kernels of PyTorch and left on the GPU to the end."""

    def __init__(self, torch, description, stream):
        self.torch = torch
        self.description = description
        names = {
            "u8": (torch.uint8, torch.uint8),
            "f16": (torch.int16, torch.float16),
            "bf16": (torch.int16, torch.bfloat16),
            "f32": (torch.int32, torch.float32),
        }
        self.integers, self.numbers = names[description["dtype"]]
        self.pictures = description["shape"][0]
        total = description["total"]
        elements = description["picture_bytes"] // torch.empty((), dtype=self.integers).element_size()
        self.weights = torch.arange(elements, device="cuda") % 65521 + 1
        self.sums = torch.zeros(total * self.pictures, dtype=torch.int64, device="cuda")
        self.means = torch.zeros(total, dtype=torch.float32, device="cuda")
        first = torch.zeros(self.pictures * description["picture_bytes"], dtype=torch.uint8, device="cuda")
        torch.cuda.synchronize()
        # Kernels are loaded now: that waits for the whole context, and later our stream waits for another program.
        with torch.cuda.stream(stream):
            self.add(first, 0, 1)
            torch.cuda._sleep(1000)
        torch.cuda.synchronize()

    def add(self, memory, offset, number):
        """Sums of tensor `number`, which begins at `offset` of `memory`, on the current stream."""
        length = self.pictures * self.description["picture_bytes"]
        part = memory[offset : offset + length]
        integers = part.view(self.integers).view(self.pictures, -1).to(self.torch.int64)
        first = (number - 1) * self.pictures
        self.torch.sum(integers * self.weights, 1, out=self.sums[first : first + self.pictures])
        # What a program would do with it.
        tensor = part.view(self.numbers).view(self.description["shape"])
        self.means[number - 1] = tensor.float().mean()

    def mean(self):
        """Mean of all elements; None if some are no numbers, as those of a control can be."""
        mean = float(self.means.mean())
        return round(mean, 4) if abs(mean) < float("inf") else None

    def wrong(self, tensors=None):
        """How many pictures of the first so many tensors were compared, and how many are wrong."""
        count = self.sums.numel() if tensors is None else tensors * self.pictures
        expected = self.description["expected"]
        seen = self.sums.cpu().tolist()[:count]
        return count, sum(s != expected[i % len(expected)] for i, s in enumerate(seen))


def given(torch, cuda, description):
    """A tensor of PyTorch's for all places, in one piece, and its descriptor, size and offset."""
    refused = []
    while len(refused) < 8:
        size = description["tensor_bytes"] * description["tensors"]
        memory = torch.empty(size, dtype=torch.uint8, device="cuda")
        piece = cuda.export_piece(memory.data_ptr(), size)
        if piece:
            return memory, piece
        # It stays allocated, so that the next one lies elsewhere.
        refused.append(memory)
    raise RuntimeError(f"PyTorch gave no tensor of {size} bytes that lies in one piece of its memory")
