#!/usr/bin/env python3
"""Compiles the GPU programs of this project: every *.cu of FOLDERS to cubin/NAME.sm_NN.cubin beside it, for each architecture.

The cubins are committed, so that building the project needs no compiler of NVIDIA's. manifest.json beside them says what they
were made of.

    build.py                  compiles all, writes cubin/ and manifest.json
    build.py --check          compares manifest.json with sources and cubins; needs no compiler
    build.py --rebuild-check  compiles to a temporary folder and compares with cubin/
    --install FOLDER          first puts the compiler, from PyPI, into a virtual environment there; nothing is downloaded
                              without it
    --nvcc PATH               the compiler; otherwise that of --install, of $NVCC, or the one in $PATH

The same sources and the same compiler give the same bytes, wherever they are compiled. nvcc needs gcc, for its preprocessor.
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
VERSION = "13.5.37"
WHEELS = ["nvidia-cuda-nvcc", "nvidia-nvvm", "nvidia-cuda-crt", "nvidia-cuda-runtime"]
ALL = [75, 80, 86, 87, 89, 90, 100, 103, 110, 120, 121]
# Folders with programs, and the architectures that they are for. Tests need one for each GPU of the model.
FOLDERS = {"nvdec/kernels": ALL, "nvdec/examples/kernels": ALL, "hcq/tests/kernels": [80, 86, 89, 90, 100, 120]}
FLAGS = ["-cubin", "-O3"]


def fail(text):
    sys.exit(f"build.py: {text}")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Folder:
    """A folder with programs."""

    def __init__(self, name, architectures):
        self.name, self.path, self.architectures = name, ROOT / name, architectures

    def sources(self):
        return sorted(self.path.glob("*.cu"))

    def cubins(self, target):
        return [
            (source, number, target / f"{source.stem}.sm_{number}.cubin")
            for source in self.sources()
            for number in self.architectures
        ]


def folders():
    return [Folder(name, architectures) for name, architectures in FOLDERS.items()]


def install(folder):
    folder = pathlib.Path(folder).resolve()
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    wheels = [f"{wheel}=={VERSION}" for wheel in WHEELS]
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", "--no-deps", *wheels], check=True)
    found = sorted(folder.glob("lib/python*/site-packages/nvidia/cu*/bin/nvcc"))
    return found[0] if found else fail(f"the wheels brought no nvcc to {folder}")


def find_compiler(given):
    nvcc = given or os.environ.get("NVCC") or shutil.which("nvcc")
    if not nvcc:
        fail("no nvcc: name it with --nvcc, or let --install FOLDER fetch it")
    said = subprocess.run([nvcc, "--version"], check=True, capture_output=True, text=True).stdout
    version = re.search(r"V([0-9.]+)", said)
    if not version or version[1] != VERSION:
        fail(f"{nvcc} is version {version and version[1]}; the cubins are made with {VERSION}, so that anyone gets the same")
    return pathlib.Path(nvcc).resolve()


def compile_all(nvcc, folder, target):
    for source, number, cubin in folder.cubins(target):
        # In the folder of the source, with its bare name: no path comes into the bytes.
        command = [nvcc, *FLAGS, f"-arch=sm_{number}", "-o", cubin, source.name]
        if subprocess.run(command, cwd=folder.path).returncode != 0:
            fail(f"{folder.name}/{source.name} does not compile for sm_{number}")


def manifest(folder):
    return {
        "compiler": f"nvcc {VERSION}",
        "flags": FLAGS,
        "sources": {source.name: digest(source) for source in folder.sources()},
        "cubins": {cubin.name: digest(cubin) for _, _, cubin in folder.cubins(folder.path / "cubin")},
    }


def check(folder):
    cubins = [cubin for _, _, cubin in folder.cubins(folder.path / "cubin")]
    missing = [cubin.name for cubin in cubins if not cubin.is_file()]
    if missing:
        fail(f"missing in {folder.name}/cubin: {', '.join(missing)}; run build.py")
    said, is_so = json.loads((folder.path / "manifest.json").read_text()), manifest(folder)
    for part in is_so:
        if said.get(part) != is_so[part]:
            fail(f"{folder.name}/manifest.json says otherwise in {part!r}: a source was changed and not compiled; run build.py")
    expected = {cubin.name for cubin in cubins}
    more = sorted(path.name for path in (folder.path / "cubin").iterdir() if path.name not in expected)
    if more:
        fail(f"nothing makes these files of {folder.name}/cubin: {', '.join(more)}")


def rebuild_check(nvcc, folder):
    with tempfile.TemporaryDirectory() as target:
        compile_all(nvcc, folder, pathlib.Path(target))
        for _, _, cubin in folder.cubins(pathlib.Path(target)):
            committed = folder.path / "cubin" / cubin.name
            if not committed.is_file() or cubin.read_bytes() != committed.read_bytes():
                fail(f"{folder.name}: {cubin.name} comes out otherwise than it is committed")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--rebuild-check", action="store_true")
    parser.add_argument("--install", metavar="FOLDER")
    parser.add_argument("--nvcc", metavar="PATH")
    options = parser.parse_args()
    installed = install(options.install) if options.install else None
    if options.check:
        for folder in folders():
            check(folder)
    if options.rebuild_check:
        nvcc = find_compiler(options.nvcc or installed)
        for folder in folders():
            rebuild_check(nvcc, folder)
    if not options.check and not options.rebuild_check:
        nvcc = find_compiler(options.nvcc or installed)
        for folder in folders():
            (folder.path / "cubin").mkdir(exist_ok=True)
            compile_all(nvcc, folder, folder.path / "cubin")
            (folder.path / "manifest.json").write_text(json.dumps(manifest(folder), indent=2) + "\n")


if __name__ == "__main__":
    main()
