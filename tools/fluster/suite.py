#!/usr/bin/env python3
"""Makes a test suite for fluster of HEVC streams that are at hand, with the sums of FFmpeg's pictures.

usage: suite.py NAME FOLDER STREAM|FOLDER...

Writes FOLDER/suites/NAME.json, and a copy of each stream below FOLDER/resources. Of a folder it takes the files that end in .hevc,
.h265, .265, .bit or .bin. A stream that FFmpeg has something to say of is left out, and named: nobody knows its right pictures.
Needs ffmpeg and ffprobe.

    suite.py clips /tmp/own tools/clips
    ./fluster.py -tsd /tmp/own/suites -r /tmp/own/resources run -ts clips -d nvdec-decode-H.265
"""

import json
import shutil
import subprocess
import sys
from hashlib import md5
from pathlib import Path

ENDINGS = {".hevc", ".h265", ".265", ".bit", ".bin"}


def said(*command):
    """What a command writes to standard output, if it ends well and has no complaint."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    complaint = done.stderr.strip()
    if done.returncode != 0 or complaint:
        raise ValueError(complaint.splitlines()[0] if complaint else f"exit code {done.returncode}")
    return done.stdout.strip()


def vector(stream):
    """What fluster is told of a stream."""
    show = ["-v", "error", "-select_streams", "v:0", "-of", "csv=p=0"]
    pixels, *_ = said("ffprobe", *show, "-show_entries", "stream=pix_fmt", str(stream)).splitlines() or [""]
    if not pixels:
        raise ValueError("FFmpeg finds no video in it")
    # The pictures as they are, one behind the other, each in its own size.
    whole = ["-flags", "unaligned", "-i", str(stream), "-map", "0:v:0", "-autoscale", "0", "-vsync", "passthrough"]
    result = said("ffmpeg", "-v", "error", *whole, "-c:v", "rawvideo", "-f", "md5", "-")
    return {
        "name": stream.stem,
        "source": "",
        "source_checksum": md5(stream.read_bytes()).hexdigest(),
        "input_file": stream.name,
        "output_format": pixels,
        "result": result.removeprefix("MD5="),
    }


def streams(paths):
    for path in map(Path, paths):
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in inside if file.suffix in ENDINGS or file == path)


def main(arguments):
    if len(arguments) < 3:
        sys.exit(__doc__)
    name, folder = arguments[0], Path(arguments[1])
    vectors = {}
    for stream in streams(arguments[2:]):
        try:
            made = vector(stream)
        except ValueError as error:
            print(f"left out: {stream}: {error}", file=sys.stderr)
            continue
        if vectors.get(made["name"], made) != made:
            sys.exit(f"suite.py: two streams are called {made['name']}")
        vectors[made["name"]] = made
        place = folder / "resources" / name / made["name"]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(stream, place / stream.name)
    suite = {
        "name": name,
        "codec": "H.265",
        "description": "Streams at hand, with the sums of FFmpeg's pictures",
        "test_method": "md5",
        "test_vectors": list(vectors.values()),
    }
    (folder / "suites").mkdir(parents=True, exist_ok=True)
    (folder / "suites" / f"{name}.json").write_text(json.dumps(suite, indent=4) + "\n")
    print(f"{len(vectors)} streams in {folder / 'suites' / name}.json")


if __name__ == "__main__":
    main(sys.argv[1:])
