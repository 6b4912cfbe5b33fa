"""What can go wrong. Each class is also one that Python has, where it has one."""

from __future__ import annotations


class Error(Exception):
    """The base of all exceptions of this package."""


class OpenError(Error, OSError):
    """A file cannot be read, or is no video."""


class NotFoundError(OpenError, FileNotFoundError):
    """There is no such file."""


class NoPermissionError(OpenError, PermissionError):
    """The file may not be read."""


class UnsupportedError(Error):
    """The file is sound, but of a kind that is not decoded: another codec, a size or format that the engine lacks. The text names
    what it is."""


class CorruptError(Error):
    """A picture, or the file, is damaged. The text names the picture and what is wrong with it."""


class OptionError(Error, ValueError):
    """An argument makes no sense. The text names it, and what is possible."""


class OutOfMemory(Error, MemoryError):
    """There is no GPU memory left, or the limit of ``memory=`` allows no more."""


class DeviceError(Error, RuntimeError):
    """There is no such device, or it cannot be used."""


class DeviceLost(DeviceError):
    """The GPU, or a queue of it, failed while it worked."""


class SeekError(Error, LookupError):
    """There is no such picture."""


class PictureIndexError(SeekError, IndexError):
    """There is no picture of that number."""


class TimeRangeError(SeekError, IndexError, ValueError):
    """No picture is shown at that time."""


class BusyError(Error, RuntimeError):
    """Another thread is decoding with the same video."""


class ForkError(Error, RuntimeError):
    """The object belongs to the parent process, which opened it before ``fork()``."""


class ClosedError(Error, ValueError):
    """The video was closed."""


# What concerns one file: the next one may be sound. All else concerns the device, or how it is asked.
OF_A_FILE = (OpenError, UnsupportedError, CorruptError, SeekError)
