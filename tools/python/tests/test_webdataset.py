"""Videos in tar files, by WebDataset."""

from __future__ import annotations

import io
import logging
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DATA

import nvdec
import nvdec.webdataset

wds = pytest.importorskip("webdataset")

# It leaves tar files to be closed by nobody.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

SIZE = (24, 32)
NAMES = {"a.mp4": "plain.mp4", "b.mp4": "vfr.mp4", "c.mkv": "matroska.mkv", "d.ts": "transport.ts"}


def shards(folder: Path, members: dict[str, bytes]) -> list[str]:
    """Two tar files that have the members by turns, each with a text of the same name."""
    paths = [folder / f"shard-{number}.tar" for number in range(2)]
    tars = [tarfile.open(path, "w") for path in paths]
    for number, (name, data) in enumerate(members.items()):
        for member, content in ((name, data), (f"{name.split('.')[0]}.txt", name.encode())):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tars[number % 2].addfile(info, io.BytesIO(content))
    for tar in tars:
        tar.close()
    return [str(path) for path in paths]


def samples(urls: list[str], decode: Any, **options: Any) -> dict[str, Any]:
    dataset = wds.WebDataset(urls, shardshuffle=False, empty_check=False).decode(decode, **options)
    found = list(dataset)
    assert len({sample["__key__"] for sample in found}) == len(found)
    return {sample["txt"]: sample[sample["txt"].split(".")[1]] for sample in found}


def test_every_picture_of_every_member(tmp_path: Path) -> None:
    urls = shards(tmp_path, {name: (DATA / file).read_bytes() for name, file in NAMES.items()})
    found = samples(urls, nvdec.webdataset.decoder(size=SIZE))
    assert sorted(found) == sorted(NAMES)
    for name, array in found.items():
        with nvdec.open(DATA / NAMES[name], size=SIZE) as video:
            np.testing.assert_array_equal(array, video[:].numpy())


def test_some_pictures_evenly_spread(tmp_path: Path) -> None:
    urls = shards(tmp_path, {"a.mp4": (DATA / "plain.mp4").read_bytes()})
    decode = pickle.loads(pickle.dumps(nvdec.webdataset.decoder(4, size=SIZE, dtype="float32", layout="NHWC")))
    (array,) = samples(urls, decode).values()
    with nvdec.open(DATA / "plain.mp4", size=SIZE, dtype="float32", layout="NHWC") as video:
        np.testing.assert_array_equal(array, video[[3, 9, 15, 21]].numpy())
    assert samples(urls, nvdec.webdataset.decoder(30, size=SIZE))["a.mp4"].shape == (30, 3, *SIZE)


def test_a_damaged_member_is_reported_and_not_fatal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    members = {name: (DATA / file).read_bytes() for name, file in NAMES.items()}
    members["b.mp4"] = members["b.mp4"][:300]
    members["c.mkv"] = (DATA / "h264.mp4").read_bytes()
    urls = shards(tmp_path, members)
    failures = nvdec.webdataset.Failures()
    with caplog.at_level(logging.WARNING):
        found = samples(urls, nvdec.webdataset.decoder(size=SIZE), handler=failures)
    assert sorted(found) == ["a.mp4", "d.ts"]
    assert sorted((url, name) for url, name, _ in failures) == sorted([(urls[1], "b.mp4"), (urls[0], "c.mkv")])
    assert any("H264" in text for _, _, text in failures) and len(caplog.records) == 2


def test_what_is_no_fault_of_a_member_is_raised() -> None:
    with pytest.raises(nvdec.DeviceError) as raised:
        nvdec.webdataset.decoder(device="nv:99")("a.mp4", (DATA / "plain.mp4").read_bytes())
    # As WebDataset gives it to the handler.
    error = wds.autodecode.DecodingError(url="a.tar", key="a", k="mp4")
    error.__cause__ = raised.value
    failures = nvdec.webdataset.Failures()
    with pytest.raises(wds.autodecode.DecodingError):
        failures(error)
    error.__cause__ = nvdec.CorruptError("it is damaged")
    assert failures(error) and failures == [("a.tar", "a.mp4", "it is damaged")]


def test_arguments_are_checked() -> None:
    with pytest.raises(nvdec.OptionError, match="frames"):
        nvdec.webdataset.decoder(0)
    with pytest.raises(nvdec.OptionError, match="dtype"):
        nvdec.webdataset.decoder(dtype="bfloat16")
