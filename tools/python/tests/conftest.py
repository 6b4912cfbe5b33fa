"""Where the files of the tests are, and what they should be decoded to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Without word, tests run on the emulated GPU also where there is a real one.
os.environ.setdefault("NVDEC_DEVICE", "emulated")

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / "nvdec" / "containers" / "tests" / "data"
CLIPS = ROOT / "tools" / "clips"


@pytest.fixture(scope="session")
def plain() -> Path:
    """24 pictures of 128x96, 24 a second."""
    return DATA / "plain.mp4"


@pytest.fixture(scope="session")
def vfr() -> Path:
    """Times with gaps."""
    return DATA / "vfr.mp4"


@pytest.fixture(scope="session")
def trimmed() -> Path:
    """An edit list that begins in the middle of a group of pictures."""
    return DATA / "trimmed.mp4"


@pytest.fixture(scope="session")
def clip() -> Path:
    """16 pictures of 416x240, without a container."""
    return CLIPS / "x_wpp.hevc"
