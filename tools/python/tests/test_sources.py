"""Where videos come from, and what is not one."""

import errno
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import nvdec
from conftest import DATA


class Limited:
    """The least that a file-like object may be, which counts what is read."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")
        self.read_bytes = 0

    def read(self, size: int) -> bytes:
        # Fewer than were asked for are no end.
        data = self.file.read(min(size, 1000))
        self.read_bytes += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)


def test_all_kinds_of_sources(plain: Path) -> None:
    expected = nvdec.open(plain)[[1, 20]].numpy()
    data = plain.read_bytes()
    with plain.open("rb") as file:
        limited = Limited(plain)
        for source in (str(plain), data, bytearray(data), memoryview(data), np.frombuffer(data, "u1"), io.BytesIO(data), file, limited):
            video = nvdec.open(source)
            np.testing.assert_array_equal(video[[1, 20]].numpy(), expected)
        assert limited.read_bytes > 0
        limited.file.close()
    for wrong in (7, None, object()):
        with pytest.raises(TypeError, match="source"):
            nvdec.open(wrong)


def test_an_index_of_what_is_no_file(plain: Path) -> None:
    data = plain.read_bytes()
    for index in (nvdec.index(data), nvdec.index(io.BytesIO(data))):
        for source in (data, io.BytesIO(data)):
            assert nvdec.open(source, index=index)[5].numpy().any()


def test_an_object_that_fails(plain: Path) -> None:
    class Fails(Limited):
        fails = True

        def read(self, size: int) -> bytes:
            if self.fails:
                raise ConnectionResetError("the line is dead")
            return super().read(size)

    source = Fails(plain)
    with pytest.raises(ConnectionResetError, match="the line is dead"):
        nvdec.open(source)
    source.fails = False
    video = nvdec.open(source)
    expected = video[9].numpy()
    source.fails = True
    with pytest.raises(ConnectionResetError, match="the line is dead"):
        video[9]
    # It may work again later.
    source.fails = False
    np.testing.assert_array_equal(video[9].numpy(), expected)
    source.file.close()


def test_an_object_that_lies(plain: Path) -> None:
    class Lies(Limited):
        def read(self, size: int) -> bytes:
            return b"x" * (size + 1)

    source = Lies(plain)
    with pytest.raises(ValueError, match="more bytes"):
        nvdec.open(source)
    source.file.close()


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        nvdec.open(tmp_path / "missing.mp4")
    assert isinstance(missing.value, nvdec.OpenError)
    assert (missing.value.errno, missing.value.filename) == (errno.ENOENT, str(tmp_path / "missing.mp4"))
    with pytest.raises(nvdec.OpenError):
        nvdec.open(tmp_path)
    if os.getuid():
        closed = tmp_path / "closed"
        closed.touch(0)
        with pytest.raises(PermissionError):
            nvdec.open(closed)
    for nothing in (b"", b"no video at all " * 999):
        with pytest.raises(nvdec.OpenError):
            nvdec.open(nothing)
    for other in ("h264.mp4", "stream.h264"):
        with pytest.raises((nvdec.UnsupportedError, nvdec.OpenError), match="(?i)h\\.?264"):
            nvdec.open(DATA / other)
    with pytest.raises(nvdec.UnsupportedError, match="HEVC"):
        nvdec.open(DATA / "h264.mp4")


def test_tracks() -> None:
    path = DATA / "two_tracks.mp4"
    assert len(nvdec.open(path)) == 24
    with pytest.raises(nvdec.UnsupportedError):
        nvdec.open(path, track=0)
    assert len(nvdec.open(path, track=1)) == 24


def test_info() -> None:
    info = nvdec.open(DATA / "colour.mp4").info
    assert (info.codec, info.container, info.height, info.width) == ("hevc", "MP4", 96, 128)
    assert (info.matrix, info.range, info.primaries, info.transfer, info.bit_depth) == ("bt2020", "limited", 9, 16, 8)
    assert (info.chroma_format, info.frames, info.frame_rate, info.duration) == ("4:2:0", 24, 24, 1.0)
    assert info.display_size == (96, 192) and info.key_frames == (0, 12) and info.device == "emulated"
    assert info.rotation == 0 and info.coded_size == (96, 128)


def damaged(path: Path, tmp_path: Path) -> Path:
    """A copy in which one picture in the second half has another end."""
    copy = tmp_path / "damaged.mp4"
    shutil.copy(path, copy)
    data = bytearray(copy.read_bytes())
    sizes = [int(line.split(",")[3]) for line in (DATA / f"{path.name}.expected").read_text().split()]
    begin = data.index(b"mdat") + 4
    at = begin + sum(sizes[:12])
    # A key picture, which all behind it are predicted from: its slice data, not its header.
    data[at + sizes[12] // 2 : at + sizes[12] - 8] = bytes(sizes[12] - 8 - sizes[12] // 2)
    copy.write_bytes(data)
    return copy


def test_a_damaged_picture_is_an_error_or_marked_or_left_out(plain: Path, tmp_path: Path) -> None:
    path = damaged(plain, tmp_path)
    good = nvdec.open(plain)[:12].numpy()
    video = nvdec.open(path)
    np.testing.assert_array_equal(video[:12].numpy(), good)
    with pytest.raises(nvdec.CorruptError, match="picture 12: .*on_error"):
        video[10:14]
    with pytest.raises(nvdec.CorruptError, match="picture 15"):
        video[15]
    # It goes on with the same decoder.
    np.testing.assert_array_equal(video[:12].numpy(), good)
    seen = []
    with pytest.raises(nvdec.CorruptError, match="picture 12"):
        for frame in video:
            seen.append(frame.index)
    assert seen == list(range(12))

    marked = nvdec.open(path, on_error="mark")[:]
    assert len(marked) == 24 and marked.errors[:12] == (None,) * 12 and all(marked.errors[12:])
    np.testing.assert_array_equal(marked.numpy()[:12], good)
    assert nvdec.open(path, on_error="mark")[12].errors

    skipping = nvdec.open(path, on_error="skip")
    left = skipping[8:20]
    assert left.index == (8, 9, 10, 11) and left.errors == (None,) * 4
    np.testing.assert_array_equal(left.numpy(), good[8:])
    assert [batch.index for batch in skipping.batches(5)] == [(0, 1, 2, 3, 4), (5, 6, 7, 8, 9), (10, 11)]
    with pytest.raises(nvdec.CorruptError, match="nothing is left"):
        skipping[14]
    with pytest.raises(nvdec.OptionError, match="skip"):
        skipping.into(bytearray(4), [0])


def test_what_is_left_is_whole_while_the_memory_it_was_in_is_used_again(plain: Path, tmp_path: Path) -> None:
    video = nvdec.open(damaged(plain, tmp_path), size=(600, 800), dtype="float32", on_error="skip")
    expected = nvdec.open(plain, size=(600, 800), dtype="float32")[8:12].numpy()
    for _ in range(3):
        left, other = video[8:14], video[[0, 1, 2, 3, 4, 5]]
        np.testing.assert_array_equal(left.numpy(), expected)
        del left, other
