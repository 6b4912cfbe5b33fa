"""Pictures by number and by time."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import nvdec
from conftest import DATA

FILES = ["plain.mp4", "vfr.mp4", "trimmed.mp4", "negative.mp4", "fragmented.mp4", "hev1.mp4", "matroska.mkv", "transport.ts", "stream.hevc"]


@pytest.mark.parametrize("name", FILES)
def test_any_order_gives_the_pictures_of_the_order_in_which_they_are_shown(name: str) -> None:
    with nvdec.open(DATA / name) as video:
        frames = list(video)
        assert [frame.index for frame in frames] == list(range(len(video))) and len(video) > 5
        every = np.stack([frame.numpy() for frame in frames])
        last = len(video) - 1
        wanted = [last, 0, 3, 3, last // 2, 1, last]
        batch = video[wanted]
        assert batch.index == tuple(wanted)
        np.testing.assert_array_equal(batch.numpy(), every[wanted])
        np.testing.assert_array_equal(video[2:last:3].numpy(), every[2:last:3])
        np.testing.assert_array_equal(video[::-4].numpy(), every[::-4])
        np.testing.assert_array_equal(video[-2].numpy(), every[-2])
        again = np.concatenate([batch.numpy() for batch in video.batches(5)])
        np.testing.assert_array_equal(again, every)
        # Pictures differ, or this says nothing.
        assert len({picture.tobytes() for picture in every}) == len(every)


def test_a_single_picture_has_no_first_dimension(plain: Path) -> None:
    video = nvdec.open(plain)
    frame, batch = video[4], video[[4]]
    assert (frame.shape, batch.shape, len(batch)) == ((3, 96, 128), (1, 3, 96, 128), 1)
    assert (frame.layout, batch.layout, frame.ndim) == ("CHW", "NCHW", 3)
    assert (frame.index, frame.pts, frame.pts_seconds, frame.duration, frame.errors) == (4, 2048, 4 / 24, 512, None)
    assert frame.duration_seconds == pytest.approx(1 / 24) and not frame.key and video[0].key
    assert frame.numpy().shape == frame.shape and frame.nbytes == frame.numpy().nbytes


def test_numbers_may_be_those_of_numpy(plain: Path) -> None:
    video = nvdec.open(plain)
    assert video[np.int64(3)].index == 3
    assert video[np.array([3, -1])].index == (3, 23)
    assert video[iter([1, 2])].index == (1, 2)
    assert video[5:5].shape == (0, 3, 96, 128) and video[[]].numpy().shape == (0, 3, 96, 128)
    for wrong in (1.5, "1", True, [True], None):
        with pytest.raises(TypeError):
            video[wrong]  # type: ignore[call-overload]


@pytest.mark.parametrize("wrong", [24, -25, [0, 24], 1 << 70])
def test_a_picture_that_is_not_there(plain: Path, wrong: object) -> None:
    video = nvdec.open(plain)
    with pytest.raises(IndexError, match="the video has 24") as raised:
        video[wrong]  # type: ignore[call-overload]
    assert isinstance(raised.value, nvdec.SeekError)


def test_times(plain: Path) -> None:
    video = nvdec.open(plain)
    assert video.info.time_base == Fraction(1, 12288) and video.info.frame_rate == 24
    for number in range(24):
        assert video.at(number / 24).index == number
    assert video.at(0.999).index == 23
    for wrong in (-0.01, 1.0, float("nan")):
        with pytest.raises(nvdec.TimeRangeError, match="0.0 s to before 1.0 s"):
            video.at(wrong)
    assert video.indices(0.25, 0.5) == list(range(6, 12))
    assert video.indices(0.9) == [21, 22, 23]
    assert video.between(0, None, fps=6).index == (0, 4, 8, 12, 16, 20)
    assert video.between(0, 0.2, fps=48).index == (0, 0, 1, 1, 2, 2, 3, 3, 4, 4)
    assert video.between(0.5, 0.5).index == ()
    for fps in (0, -1, 1e9, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="fps"):
            video.between(0, 1, fps=fps)


@pytest.mark.parametrize("name", ["vfr.mp4", "trimmed.mp4", "two_tracks.mp4"])
def test_times_are_those_that_another_demuxer_has(name: str) -> None:
    """By the times that FFmpeg wrote down, in the order in which pictures are shown."""
    lines = [line.split(",") for line in (DATA / f"{name}.expected").read_text().split()]
    shown = sorted(int(line[0]) for line in lines if "D" not in line[4])
    video = nvdec.open(DATA / name)
    base = video.info.time_base
    assert base is not None and len(video) == len(shown)
    batch = video[:]
    first = shown[0] - (batch.pts[0] or 0)
    assert [pts + first for pts in batch.pts if pts is not None] == shown
    for number, seconds in enumerate(batch.pts_seconds):
        assert seconds is not None and video.at(seconds).index == number
    # At any time the last picture is there that began before.
    begin, end = video.info.begin or 0.0, (video.info.begin or 0.0) + (video.info.duration or 0.0)
    for time in np.linspace(begin, end, 50, endpoint=False):
        expected = max(n for n, pts in enumerate(batch.pts_seconds) if pts is not None and pts <= time)
        assert video.at(time).index == expected
    step = 1 / 10
    steps = np.arange(0, 1000) * step + begin
    expected_steps = [video.at(time).index for time in steps if time < end]
    assert list(video.between(begin, None, fps=10).index) == expected_steps


def test_a_stream_without_times_is_read_by_number(clip: Path) -> None:
    video = nvdec.open(clip)
    if video.info.time_base is None:
        with pytest.raises(nvdec.TimeRangeError, match="number"):
            video.at(0)
        assert video[0].pts is None and video[0].pts_seconds is None
    assert len(video) == 16 and video[7].index == 7


def test_batches(plain: Path) -> None:
    video = nvdec.open(plain)
    assert [len(batch) for batch in video.batches(7)] == [7, 7, 7, 3]
    assert [len(batch) for batch in video.batches(7, drop_last=True)] == [7, 7, 7]
    assert [batch.index for batch in video.batches(2, indices=[1, 5, 9])] == [(1, 5), (9,)]
    assert [batch.index for batch in video.batches(2, indices=[9, 5, 5])] == [(9, 5), (5,)]
    assert list(video.batches(100))[0].shape[0] == 24
    with pytest.raises(ValueError, match="n: 0"):
        video.batches(0)


def test_reading_in_two_places_at_a_time(plain: Path) -> None:
    video = nvdec.open(plain)
    every = video[:].numpy()
    for frame, batch in zip(video, video.batches(1)):
        np.testing.assert_array_equal(frame.numpy(), batch.numpy()[0])
        np.testing.assert_array_equal(video[23 - frame.index].numpy(), every[23 - frame.index])
    # One that is left in the middle is no harm.
    for frame in video:
        if frame.index == 3:
            break
    np.testing.assert_array_equal(video[:].numpy(), every)


def test_into(plain: Path) -> None:
    video = nvdec.open(plain, size=(24, 32))
    expected = video[:].numpy()
    array = np.zeros((24, 3, 24, 32), "u1")
    assert video.into(array, range(24)) is array
    np.testing.assert_array_equal(array, expected)
    plainest = bytearray(2 * 3 * 24 * 32)
    video.into(plainest, [7, 3])
    assert bytes(plainest) == expected[[7, 3]].tobytes()
    video.into(array[5], 9)
    np.testing.assert_array_equal(array[5], expected[9])
    half = nvdec.open(plain, size=(24, 32), dtype="float16")
    halves = np.zeros((3, 3, 24, 32), "f2")
    half.into(halves, slice(0, 3))
    np.testing.assert_array_equal(halves, half[:3].numpy())
    for wrong, why in [
        (np.zeros((23, 3, 24, 32), "u1"), "bytes"),
        (np.zeros((24, 3, 24, 64), "u1")[..., ::2], "side by side"),
        (bytes(24 * 3 * 24 * 32), "written"),
        (np.zeros((24, 3, 24, 32), "i1"), "int8"),
    ]:
        with pytest.raises(ValueError, match=why):
            video.into(wrong, range(24))


class Elsewhere:
    """An array in memory of another device."""

    def __init__(self, kind: int) -> None:
        self._kind = kind

    def __dlpack_device__(self) -> tuple[int, int]:
        return (self._kind, 0)


def test_into_memory_that_the_device_cannot_write(plain: Path) -> None:
    video = nvdec.open(plain)
    with pytest.raises(nvdec.OptionError, match="cuda:N"):
        video.into(Elsewhere(2), [0])
    with pytest.raises(nvdec.UnsupportedError, match="device"):
        video.into(Elsewhere(7), [0])


def test_ahead_as_far_as_there_is_memory(plain: Path) -> None:
    price = nvdec.price(plain, batch=2, size=(512, 512), dtype="float32")
    # Of 24 pictures all are on their way where there is memory for them.
    limit = price.decoder + 4 * price.batch
    assert price.batches == 12
    script = f"""
import nvdec
video = nvdec.open({str(plain)!r}, device="emulated:9", size=(512, 512), dtype="float32", memory={limit})
numbers = [number for batch in video.batches(2) for number in batch.index]
assert numbers == list(range(24)), numbers
assert nvdec.probe("emulated:9")["memory_allocated"] <= {limit}
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_index_that_is_kept(plain: Path, tmp_path: Path) -> None:
    index = nvdec.index(plain)
    index.save(tmp_path / "plain.nvidx")
    again = nvdec.Index.load(tmp_path / "plain.nvidx")
    assert again == index and len(bytes(index)) < 4096
    assert nvdec.open(plain).index() == index
    for kept in (again, bytes(again)):
        video = nvdec.open(plain, index=kept)
        np.testing.assert_array_equal(video[[3, 20]].numpy(), nvdec.open(plain)[[3, 20]].numpy())
    with pytest.raises(nvdec.OpenError, match="size"):
        nvdec.open(DATA / "vfr.mp4", index=again)
    with pytest.raises(nvdec.OpenError, match="index"):
        nvdec.open(plain, index=b"nonsense")


def test_engines_give_the_same(plain: Path) -> None:
    number = int(nvdec.probe()["engines"][0].removeprefix("NVDEC"))
    one, all_of_them = nvdec.open(plain, engines=number), nvdec.open(plain)
    np.testing.assert_array_equal(one[::-1].numpy(), all_of_them[::-1].numpy())
    np.testing.assert_array_equal(nvdec.open(plain, engines=[number])[3].numpy(), all_of_them[3].numpy())


def test_a_batch_of_more_pictures_than_there_are_surfaces(plain: Path) -> None:
    video = nvdec.open(plain, size=(12, 16))
    expected = video[:].numpy()
    wanted = [number % 24 for number in range(0, 7 * 300, 7)]
    np.testing.assert_array_equal(video[wanted].numpy(), expected[wanted])
