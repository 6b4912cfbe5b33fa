"""The recipes of the cookbook run, each on its own."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from conftest import DATA, ROOT

PAGE = "docs/cookbook.md"
TEXT = (ROOT / PAGE).read_text()
# What a recipe may need that is not always there.
OPTIONAL = ("ray", "torch", "webdataset")


def recipes() -> list[tuple[str, int, str]]:
    """Heading, line and text of each block."""
    found = []
    for block in re.finditer(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        heading = re.findall(r"^## (.*)$", TEXT[: block.start()], re.MULTILINE)[-1]
        found.append((heading, TEXT[: block.start(1)].count("\n"), block[1]))
    return found


def needed(text: str) -> list[str]:
    return [name for name in OPTIONAL if re.search(rf"^import {name}\b", text, re.MULTILINE)]


class Ranges(BaseHTTPRequestHandler):
    """Answers with the clip, or parts of it."""

    data = (DATA / "plain.mp4").read_bytes()
    asked: list[tuple[int, int]] = []

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.data)))
        self.end_headers()

    def do_GET(self) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"])
        assert found
        first, last = int(found[1]), int(found[2])
        self.asked.append((first, last))
        part = self.data[first : last + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(self.data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Ranges) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/clip.mp4"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("heading, line, text", [pytest.param(*recipe, id=f"{recipe[0]}, line {recipe[1]}") for recipe in recipes()])
def test_a_recipe(heading: str, line: int, text: str, url: str, tmp_path: Path) -> None:
    missing = [name for name in needed(text) if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)}: not installed")
    shutil.copy(DATA / "plain.mp4", tmp_path / "clip.mp4")
    (tmp_path / "videos").mkdir()
    for name, data in (("clip.mp4", "vfr.mp4"), ("other.mkv", "matroska.mkv")):
        shutil.copy(DATA / data, tmp_path / "videos" / name)
    (tmp_path / "videos" / "broken.mp4").write_bytes((DATA / "plain.mp4").read_bytes()[:300])
    # A program of its own: what a recipe sets, such as the limit of memory, concerns all of a process. It has as many lines in front as
    # the page has, so that a failure has the line of the page.
    (tmp_path / "recipe.py").write_text(f"url = {url!r}" + "\n" * line + text)
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    run = subprocess.run([sys.executable, "recipe.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stderr
    if heading == "From a URL":
        assert Ranges.asked and all(first <= last for first, last in Ranges.asked)


def test_there_are_recipes() -> None:
    headings = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    assert len(headings) >= 10
    # Each runs, but what needs PyTorch with a GPU.
    assert {heading for heading, _, _ in recipes()} == set(headings) - {"Ray Train"}
    # Those that need nothing else always run.
    assert sum(not needed(text) for _, _, text in recipes()) >= 10


def test_pictures_that_recipes_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    import nvdec

    shutil.copy(DATA / "plain.mp4", tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    for heading, _, text in recipes():
        if heading in ("A thumbnail of the middle", "A contact sheet"):
            exec(compile(text, PAGE, "exec"), {"__name__": "page"})
    data = (tmp_path / "thumbnail.ppm").read_bytes()
    with nvdec.open("clip.mp4", size=(120, 160), layout="NHWC") as video:
        assert data == b"P6 160 120 255\n" + video[12].numpy().tobytes()
    header, sheet = (tmp_path / "sheet.ppm").read_bytes().split(b"255\n", 1)
    assert header == b"P6 640 360 "
    pixels = np.frombuffer(sheet, "u1").reshape(360, 640, 3)
    with nvdec.open("clip.mp4", size=(90, 160), fit="letterbox", layout="NHWC") as video:
        # The third line, the second from the left.
        np.testing.assert_array_equal(pixels[180:270, 160:320], video[9 * 24 // 16].numpy())
