"""What the numbers are."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

import nvdec
from conftest import CLIPS, DATA


@pytest.mark.parametrize("name", ["x_wpp.hevc", "x_size_202x150.hevc"])
def test_samples_are_those_that_another_decoder_has(name: str) -> None:
    """By hashes of 8-bit 4:2:0 planes that FFmpeg wrote down."""
    lines = (CLIPS / f"{name}.framemd5").read_text().splitlines()
    expected = [line.split(",")[-1].strip() for line in lines if line and not line.startswith("#")]
    video = nvdec.open(CLIPS / name, channels="yuv", chroma="nearest")
    found = []
    for frame in video:
        luma, cb, cr = frame.numpy()
        planes = b"".join(plane.tobytes() for plane in (luma, cb[::2, ::2], cr[::2, ::2]))
        found.append(hashlib.md5(planes).hexdigest())
    assert found == expected


def test_types_and_layouts_are_of_the_same_values(plain: Path) -> None:
    wanted = [2, 17]
    exact = nvdec.open(plain, dtype="float32")[wanted].numpy()
    assert exact.dtype == np.float32 and 0 <= exact.min() < 0.1 < 0.9 < exact.max() <= 1
    # Bytes are rounded once, and not by way of float32.
    np.testing.assert_allclose(nvdec.open(plain)[wanted].numpy(), exact.astype("f8") * 255, rtol=0, atol=0.5 + 1e-4)
    np.testing.assert_array_equal(nvdec.open(plain, dtype="float16")[wanted].numpy(), exact.astype("f2"))
    last = nvdec.open(plain, dtype="float32", layout="NHWC")
    assert last[wanted].shape == (2, 96, 128, 3) and last[0].layout == "HWC"
    np.testing.assert_array_equal(last[wanted].numpy().transpose(0, 3, 1, 2), exact)
    bgr = nvdec.open(plain, dtype="float32", channels="bgr")
    np.testing.assert_array_equal(bgr[wanted].numpy()[:, ::-1], exact)
    part = nvdec.open(plain, dtype="float32", crop=(8, 16, 64, 32))
    np.testing.assert_array_equal(part[wanted].numpy(), exact[:, :, 16:48, 8:72])
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    norm = nvdec.open(plain, dtype="float32", mean=mean, std=std)[wanted].numpy()
    shape = (1, 3, 1, 1)
    expected = (exact.astype("f8") - np.reshape(mean, shape)) / np.reshape(std, shape)
    np.testing.assert_allclose(norm, expected, rtol=0, atol=2e-6)
    one = nvdec.open(plain, dtype="float32", mean=0.5, std=0.5)[wanted].numpy()
    np.testing.assert_allclose(one, exact * 2.0 - 1.0, rtol=0, atol=1e-6)


def test_colours_are_those_of_the_standard(plain: Path) -> None:
    luma, cb, cr = nvdec.open(plain, channels="yuv", chroma="nearest", dtype="float32")[5].numpy().astype("f8") * 255
    kr, kb = 0.299, 0.114
    y, pb, pr = (luma - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    r, b = y + 2 * (1 - kr) * pr, y + 2 * (1 - kb) * pb
    g = (y - kr * r - kb * b) / (1 - kr - kb)
    expected = np.clip(np.stack([r, g, b]), 0, 1)
    found = nvdec.open(plain, chroma="nearest", dtype="float32")[5].numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    grey = nvdec.open(plain, channels="grey", dtype="float32")[5]
    assert grey.shape == (1, 96, 128)
    np.testing.assert_allclose(grey.numpy()[0], np.clip(y, 0, 1), rtol=0, atol=1e-5)


def test_sizes(plain: Path) -> None:
    video = nvdec.open(plain, size=(48, 96))
    assert video.shape == (3, 48, 96) == video[0].shape
    boxed = nvdec.open(plain, size=(128, 128), fit="letterbox:1")[0].numpy()
    assert (boxed[:, :16] == 255).all() and (boxed[:, -16:] == 255).all() and not (boxed[:, 16:112] == 255).all()
    assert video.batch_bytes(10) == 10 * 3 * 48 * 96
    assert nvdec.open(plain, dtype="bfloat16").batch_bytes(1) == 2 * 3 * 96 * 128


def test_a_turned_video_comes_out_upright() -> None:
    path = DATA / "rotated.mp4"
    turned = nvdec.open(path)
    assert turned.info.rotation in (90, 270) and turned.shape == (3, 128, 96) == turned[0].shape
    assert turned.info.display_size == (128, 96)
    flat = nvdec.open(path, orientation="none")[0].numpy()
    assert flat.shape == (3, 96, 128)
    times = {90: -1, 270: 1}[turned.info.rotation]
    np.testing.assert_array_equal(turned[0].numpy(), np.rot90(flat, times, axes=(1, 2)))


def test_bfloat16_is_not_numpys(plain: Path) -> None:
    frame = nvdec.open(plain, dtype="bfloat16")[0]
    with pytest.raises(nvdec.UnsupportedError, match="bfloat16"):
        frame.numpy()
    # The upper halves of float32, rounded.
    exact = nvdec.open(plain, dtype="float32")[0].numpy()
    upper = np.frombuffer(frame.host(), "u2").astype("u4").reshape(frame.shape) << 16
    np.testing.assert_allclose(upper.view("f4"), exact, rtol=2**-8, atol=0)
    assert frame.__dlpack__() is not None
    assert "dltensor_versioned" in repr(frame.__dlpack__(max_version=(1, 0)))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"dtype": "float64"}, "dtype: 'float64'.*uint8, float16"),
        ({"layout": "CHWN"}, "layout"),
        ({"size": (0, 5)}, "size"),
        ({"mean": 0.5}, "mean"),
        ({"dtype": "float32", "std": 0}, "std"),
        ({"crop": (0, 0, 0, 5)}, "crop"),
        ({"channels": "cmyk"}, "channels"),
        ({"resize": "lanczos"}, "resize"),
        ({"fit": "cover"}, "fit"),
        ({"matrix": "bt709,range=full"}, "matrix"),
        ({"siting": 6}, "siting"),
        ({"orientation": "45"}, "orientation"),
        ({"on_error": "ignore"}, "on_error"),
        ({"engines": "some"}, "engines"),
        ({"engines": 0}, "engines.*NVDEC0.*NVDEC1, NVDEC2"),
        ({"engines": 99}, "engines"),
        ({"engines": []}, "engines"),
        ({"memory": "lots"}, "memory"),
        ({"device": "tpu:0"}, "device"),
        ({"device": "cuda:x"}, "device"),
        ({"track": 9}, "track 9"),
        ({"track": -1}, "track"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(plain: Path, options: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        nvdec.open(plain, **options)  # type: ignore[arg-type]
    assert isinstance(raised.value, nvdec.OptionError)
