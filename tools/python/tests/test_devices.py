"""Which device a video is opened on, of several, and what it is called then. Each test has emulated GPUs of its own."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA

import nvdec
from nvdec.compat.torchcodec import VideoDecoder

_numbers = itertools.count(20)


@pytest.fixture
def pair() -> list[str]:
    """Two devices that were not opened before."""
    return [f"emulated:{next(_numbers)}" for _ in range(2)]


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``cuda:N`` is ``emulated:N``. Its name is all that is looked at here; ``test_cuda_model.py`` has what CUDA is told."""
    monkeypatch.setenv("NVDEC_EMULATED_CUDA", "1")
    yield


def test_threads_that_open_at_once_are_spread(plain: Path, pair: list[str]) -> None:
    barrier = threading.Barrier(8)
    videos: list[nvdec.Video] = []
    wrong: list[BaseException] = []

    def work() -> None:
        try:
            barrier.wait(60)
            videos.append(nvdec.open(plain, device=pair))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not wrong and Counter(video.device for video in videos) == {pair[0]: 4, pair[1]: 4}


def test_the_first_of_those_that_are_used_alike(plain: Path, pair: list[str]) -> None:
    videos = [nvdec.open(plain, device=given) for given in (pair, tuple(pair), ",".join(pair), pair[::-1], pair[::-1])]
    assert [video.device for video in videos] == [*pair, pair[0], pair[1], pair[1]]


def test_a_video_that_is_closed_or_gone_is_not_counted(plain: Path, pair: list[str]) -> None:
    first = nvdec.open(plain, device=pair)
    first.close()
    second = nvdec.open(plain, device=pair)
    assert (first.device, second.device) == (pair[0], pair[0])
    third = nvdec.open(plain, device=pair)
    assert third.device == pair[1]
    del second
    assert nvdec.open(plain, device=pair).device == pair[0]


def test_a_video_that_could_not_be_opened_is_not_counted(
    plain: Path, pair: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without the device itself, and behind it.
    monkeypatch.setenv("NVDEC_EMULATED_MEMORY", "nothing")
    with pytest.raises(nvdec.DeviceError, match="NVDEC_EMULATED_MEMORY"):
        nvdec.open(plain, device=pair[0])
    monkeypatch.delenv("NVDEC_EMULATED_MEMORY")
    with pytest.raises(nvdec.OptionError, match="engines: none is named"):
        nvdec.open(plain, device=pair, engines=[])
    videos = [nvdec.open(plain, device=pair) for _ in range(2)]
    assert [video.device for video in videos] == pair


def test_a_device_that_cannot_be_opened_is_passed_over(plain: Path, pair: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    held = nvdec.open(plain, device=pair[1])
    # Those that are open stay.
    monkeypatch.setenv("NVDEC_EMULATED_MEMORY", "nothing")
    assert nvdec.open(plain, device=pair).device == held.device
    # A loader does not do without one.
    with pytest.raises(nvdec.DeviceError, match="NVDEC_EMULATED_MEMORY"):
        nvdec.Clips([plain]).loader(device=pair)


def test_a_child_has_none_of_the_videos_of_its_parent(plain: Path) -> None:
    program = f"""
import os, nvdec
pair = ["emulated", "emulated:1"]
video = nvdec.open({str(plain)!r}, device=pair)
read, write = os.pipe()
child = os.fork()
if child == 0:
    os.write(write, nvdec.open({str(plain)!r}, device=pair).device.encode())
    os._exit(0)
os.close(write)
said = os.read(read, 100).decode()
os.waitpid(child, 0)
print(video.device, said, nvdec.open({str(plain)!r}, device=pair).device)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert run.stdout.split() == ["emulated", "emulated", "emulated:1"], run.stderr


def test_a_pickled_video_keeps_the_list(plain: Path, pair: list[str]) -> None:
    given = list(pair)
    video = nvdec.open(plain, device=given)
    given.clear()
    again = pickle.loads(pickle.dumps(video))
    assert [video.device, again.device] == pair
    assert (again[3].numpy() == video[3].numpy()).all()


def test_what_looks_at_a_device_takes_several(plain: Path, pair: list[str]) -> None:
    held = nvdec.open(plain, device=pair[1])
    assert nvdec.probe(pair)["device"] == nvdec.probe(",".join(pair))["device"] == held.device
    assert nvdec.price(plain, device=pair) == nvdec.price(plain, device=pair[1])
    assert nvdec.probe(pair[0])["device"] == pair[0]
    # Both are open now, and the one with the video is used more.
    assert nvdec.probe(pair)["device"] == held.device
    del held
    assert nvdec.probe(pair)["device"] == pair[0]


def test_torchcodecs_decoder_takes_several(plain: Path, pair: list[str]) -> None:
    decoders = [VideoDecoder(plain, device=pair) for _ in range(2)]
    assert [decoder._video.device for decoder in decoders] == pair
    with pytest.raises(nvdec.UnsupportedError, match="CPU"):
        VideoDecoder(plain, device=[pair[0], "cpu"])


@pytest.mark.parametrize("wrong", [[], "", ",", "emulated,nothing", ["emulated", "nothing"], ["emulated", ""]])
def test_a_list_that_names_no_device_is_refused(plain: Path, wrong: Any) -> None:
    for use in (lambda: nvdec.open(plain, device=wrong), lambda: nvdec.Clips([plain]).loader(device=wrong)):
        with pytest.raises(nvdec.OptionError, match="device: "):
            use()


def number_of(device: str) -> int:
    return int(device.rsplit(":", 1)[-1])


@pytest.mark.usefixtures("cuda")
def test_what_the_environment_calls_cuda_is_called_so(plain: Path, pair: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"cuda:{number_of(device)}" for device in pair]
    monkeypatch.setenv("NVDEC_DEVICE", names[0])
    video = nvdec.open(plain)
    for device in (video.device, video.info.device, video[0].device, video[:2].device, nvdec.probe()["device"]):
        assert device == names[0]
    assert video[:2].__dlpack_device__() == (2, number_of(names[0]))
    monkeypatch.setenv("NVDEC_DEVICE", ",".join(names))
    other = nvdec.open(plain)
    assert other.device == other[0].device == names[1]
    assert other[0].__dlpack_device__() == (2, number_of(names[1]))
    batches = list(nvdec.Clips([plain] * 4, frames=1).loader(size=(24, 32)))
    assert [batch.device for batch in batches] == names * 2
    assert [batch.__dlpack_device__() for batch in batches] == [(2, number_of(name)) for name in names] * 2
    # A number that is not said is the first.
    monkeypatch.setenv("NVDEC_DEVICE", "cuda")
    assert nvdec.open(plain).device == "cuda:0"


@pytest.mark.usefixtures("cuda")
def test_a_device_with_two_names_is_one(plain: Path, pair: list[str]) -> None:
    names = [f"cuda:{number_of(device)}" for device in pair]
    held = [nvdec.open(plain, device=names[0]), nvdec.open(plain, device=pair[0])]
    assert [video.device for video in held] == [names[0], pair[0]], "each has the name that it was asked for by"
    assert [video[0].__dlpack_device__() for video in held] == [(2, number_of(names[0])), (1, 0)]
    # Both count, whatever they are called.
    others = [nvdec.open(plain, device=given) for given in (pair, [names[0], pair[1]], names)]
    assert [video.device for video in others] == [pair[1], pair[1], names[0]]
    # Of a list that names one twice, the first name is taken.
    assert nvdec.open(plain, device=[names[0], pair[0]]).device == names[0]
    assert nvdec.open(plain, device=[pair[0], names[0]]).device == pair[0]
    loader = nvdec.Clips([DATA / "plain.mp4"] * 4, frames=1).loader(device=[names[0], pair[0], pair[1], names[1]])
    assert [batch.device for batch in loader] == [names[0], pair[1]] * 2
