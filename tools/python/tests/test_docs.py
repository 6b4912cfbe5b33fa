"""The pages say what is true: their blocks run, and everything public is explained."""

import inspect
import re
import shutil
import warnings
from pathlib import Path
from types import ModuleType

import pytest

import nvdec
from conftest import DATA, ROOT


@pytest.mark.parametrize("page", ["docs/python.md", "tools/python/README.md"])
def test_the_blocks_of_a_page_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(DATA / "plain.mp4", tmp_path / "clip.mp4")
    shutil.copy(DATA / "matroska.mkv", tmp_path / "other.mkv")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / page).read_text()
    blocks = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {"__name__": "page"}
    count = 0
    for block in blocks:
        # With as many lines in front as the page has, so that a failure has the line of the page.
        lines = text[: block.start(1)].count("\n")
        exec(compile("\n" * lines + block[1], page, "exec"), names)
        count += 1
    assert count


def test_every_error_is_in_the_table() -> None:
    table = (ROOT / "docs" / "python.md").read_text()
    errors = [name for name in nvdec.__all__ if isinstance(getattr(nvdec, name), type) and issubclass(getattr(nvdec, name), Exception)]
    assert len(errors) > 10
    for name in errors:
        assert f"`{name}`" in table or f"`nvdec.{name}`" in table, name


def test_every_option_is_explained() -> None:
    for name in inspect.signature(nvdec.open).parameters:
        assert f":param {name}:" in (nvdec.open.__doc__ or ""), name


def imported(name: str) -> ModuleType:
    with warnings.catch_warnings():
        # Others warn of what their own dependencies do.
        warnings.simplefilter("ignore")
        module: ModuleType = pytest.importorskip(name, exc_type=ImportError)
    return module


def test_every_option_of_a_reader_of_ray_is_explained() -> None:
    read = imported("nvdec.ray").read_videos
    for name in inspect.signature(read).parameters:
        assert f":param {name}:" in (read.__doc__ or ""), name


@pytest.mark.parametrize("name", ["nvdec", "nvdec.compat.torchcodec", "nvdec.ray", "nvdec.torch", "nvdec.webdataset"])
def test_everything_public_says_what_it_is(name: str) -> None:
    module = imported(name)
    missing = []
    for name in module.__all__:
        thing = getattr(module, name)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        if not thing.__doc__:
            missing.append(name)
        for member, value in vars(thing).items() if inspect.isclass(thing) else ():
            is_method = inspect.isfunction(value) or isinstance(value, (property, classmethod))
            if is_method and not member.startswith("_") and not value.__doc__:
                missing.append(f"{name}.{member}")
    assert not missing
