"""The price of decoding: known before, and never exceeded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import CLIPS, DATA

import nvdec

MIB = 1 << 20


@pytest.mark.parametrize(
    "path, batch, options",
    [
        (DATA / "plain.mp4", 1, {}),
        (DATA / "plain.mp4", 5, {"size": (300, 400), "dtype": "float32"}),
        (DATA / "vfr.mp4", 16, {"engines": 1, "layout": "NHWC"}),
        (DATA / "matroska.mkv", 3, {"on_error": "skip", "size": (500, 500), "dtype": "float16"}),
        (CLIPS / "x_wpp.hevc", 4, {"channels": "grey", "size": (700, 900)}),
        (CLIPS / "x_wpp.hevc", 16, {"engines": [1, 2], "dtype": "bfloat16"}),
    ],
)
def test_no_more_is_allocated(path: Path, batch: int, options: dict[str, Any]) -> None:
    price = nvdec.price(path, batch=batch, **options)
    # In a process of its own, whose device has nothing else. What is read of it is the most that there was.
    program = f"""
import json, nvdec
path, batch, options = {str(path)!r}, {batch}, {options!r}
price = nvdec.price(path, batch=batch, **options)
begin = nvdec.probe()["memory_allocated"]
most = 0
video = nvdec.open(path, **options)
for taken in video.batches(batch):
    most = max(most, nvdec.probe()["memory_allocated"])
first = nvdec.open(path, **options)[:1].nbytes
print(json.dumps([begin, most, price.total, price.decoder, len(taken), first]))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    begin, most, total, decoder, _, first = json.loads(run.stdout)
    assert begin <= 64 << 10, "nothing is taken for pictures"
    assert total == price.total and decoder == price.decoder
    assert most <= total
    # It is a price and no guess into the blue: of surfaces, a short file needs not all.
    assert most > total // 8
    assert price.batch >= batch * first and price.batch % (2 * MIB) == 0


def test_parts() -> None:
    price = nvdec.price(DATA / "plain.mp4", batch=16, size=(1000, 1000))
    assert price.batch == 46 * MIB and price.batches == 2
    assert price.total == price.decoder + 2 * price.batch and price.single == price.decoder + price.batch
    assert nvdec.price(DATA / "plain.mp4", batch=16, size=(1000, 1000), on_error="skip").batches == 3
    assert nvdec.price(DATA / "plain.mp4", batch=16, size=(1000, 1000), dtype="float32").batch == 184 * MIB
    # Of a file that has more, 128 pictures are on their way, or 1 GiB, and one batch however large it is.
    assert nvdec.price(CLIPS / "x_wpp.hevc", batch=1, size=(3000, 3000), dtype="float32").batches == 9 + 2
    assert nvdec.price(DATA / "plain.mp4", batch=1, size=(8000, 8000), dtype="float32").batches == 1 + 2
    assert nvdec.price(DATA / "plain.mp4", batch=8, size=(4000, 4000), dtype="float16").batches == 1 + 2
    one = nvdec.price(DATA / "plain.mp4", engines=1)
    assert one.decoder < nvdec.price(DATA / "plain.mp4").decoder
    with pytest.raises(AttributeError, match="decoder"):
        one.decoder = 0  # type: ignore[misc]


def test_of_a_file_with_its_index_and_of_bytes(tmp_path: Path) -> None:
    path = DATA / "plain.mp4"
    price = nvdec.price(path)
    assert price == nvdec.price(path, index=nvdec.index(path)) == nvdec.price(path.read_bytes())
    with path.open("rb") as file:
        assert nvdec.price(file) == price


def test_larger_pictures_cost_more() -> None:
    small, large = nvdec.price(DATA / "plain.mp4"), nvdec.price(CLIPS / "x_wpp.hevc")
    assert large.decoder > small.decoder and large.batch > small.batch


def test_a_video_that_changes_its_size_has_the_highest_price(tmp_path: Path) -> None:
    parts = [CLIPS / "x_size_202x150.hevc", CLIPS / "x_wpp.hevc"]
    prices = [nvdec.price(part) for part in parts]
    assert prices[0].decoder < prices[1].decoder
    for order in (parts, parts[::-1]):
        joined = tmp_path / "joined.hevc"
        joined.write_bytes(b"".join(part.read_bytes() for part in order))
        assert nvdec.price(joined).decoder == prices[1].decoder


def test_what_cannot_be_priced(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        nvdec.price(tmp_path / "missing.mp4")
    with pytest.raises(nvdec.UnsupportedError, match="H264"):
        nvdec.price(DATA / "h264.mp4")
    with pytest.raises(nvdec.OptionError, match="batch"):
        nvdec.price(DATA / "plain.mp4", batch=0)
    with pytest.raises(nvdec.OptionError, match="on_error"):
        nvdec.price(DATA / "plain.mp4", on_error="never")
    with pytest.raises(nvdec.OptionError, match="engine"):
        nvdec.price(DATA / "plain.mp4", engines=99)
    with pytest.raises(TypeError, match="sizes"):
        nvdec.price(DATA / "plain.mp4", sizes=(1, 1))


def test_a_price_is_enough(plain: Path) -> None:
    # The limit of the device is the price: what is priced fits.
    program = f"""
import nvdec
price = nvdec.price({str(plain)!r}, batch=4, size=(700, 900), dtype="float32")
video = nvdec.open({str(plain)!r}, size=(700, 900), dtype="float32", memory=price.total)
print([len(batch) for batch in video.batches(4)])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert run.stdout.strip() == "[4, 4, 4, 4, 4, 4]", run.stderr
