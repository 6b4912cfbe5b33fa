#!/usr/bin/env python3
"""Compares side data of HEVC streams with what public tools read out of the same streams.

usage: side_data.py [--decoder PROGRAM] hdr10plus STREAM JSON
       side_data.py [--decoder PROGRAM] dovi STREAM BIN

hdr10plus  JSON is what `hdr10plus_tool --skip-validation extract STREAM -o JSON` writes: metadata of SMPTE ST 2094-40, by picture
dovi       BIN is what `dovi_tool extract-rpu STREAM -o BIN` writes: start codes, and behind each a NAL unit of type 62 without its header

Both tools write in output order; dovi_tool does unless it is told otherwise. The messages are those that
`nvdec-decode --parse STREAM --json` prints, which needs no GPU. HDR10+ is read here from the bytes of the payload, by its syntax table in
CTA-861-H S.2.1, so that nothing of the tool is compared with itself.

Prints one line. Exit code: 0 all pictures have the same, 1 some do not, 2 wrong command line or a program failed.
"""

import json
import subprocess
import sys


class Bits:
    """The bits of a payload, the first one first."""

    def __init__(self, data):
        self.value, self.left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, count):
        self.left -= count
        if self.left < 0:
            raise ValueError("the payload is too short")
        return self.value >> self.left & (1 << count) - 1


def peak_luminance(bits):
    """The values of a table of actual peak luminance, row by row."""
    rows, columns = bits.read(5), bits.read(5)
    return [[bits.read(4) for _ in range(columns)] for _ in range(rows)]


def hdr10_plus(payload):
    """What hdr10plus_tool calls a scene, of a payload from its country code on."""
    bits = Bits(payload)
    if [bits.read(8), bits.read(16), bits.read(16), bits.read(8)] != [0xB5, 0x3C, 1, 4]:
        raise ValueError("not ST 2094-40")
    bits.read(8)  # application_version
    windows = bits.read(2)
    for _ in range(1, windows):
        bits.read(16 * 4 + 16 * 2 + 8 + 16 * 3 + 1)
    scene = {"NumberOfWindows": windows, "TargetedSystemDisplayMaximumLuminance": bits.read(27)}
    if bits.read(1):
        peak_luminance(bits)
    for _ in range(windows):
        scene["MaxScl"] = [bits.read(17) for _ in range(3)]
        scene["AverageRGB"] = bits.read(17)
        percentiles = [(bits.read(7), bits.read(17)) for _ in range(bits.read(4))]
        scene["DistributionIndex"] = [percentage for percentage, _ in percentiles]
        scene["DistributionValues"] = [value for _, value in percentiles]
        bits.read(10)  # fraction_bright_pixels
    if bits.read(1):
        peak_luminance(bits)
    for _ in range(windows):
        if bits.read(1):
            scene["KneePointX"], scene["KneePointY"] = bits.read(12), bits.read(12)
            scene["Anchors"] = [bits.read(10) for _ in range(bits.read(4))]
    return scene


def flat(scene):
    """An entry of SceneInfo, with the keys of `hdr10_plus`."""
    luminance = scene["LuminanceParameters"]
    result = {key: scene[key] for key in ("NumberOfWindows", "TargetedSystemDisplayMaximumLuminance")}
    result |= {key: luminance[key] for key in ("MaxScl", "AverageRGB")}
    result |= luminance["LuminanceDistributions"]
    return result | scene.get("BezierCurveData", {})


def units(data):
    """What stands between the start codes of a byte stream."""
    return [part.hex() for part in data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]]


def messages(decoder, stream, wanted):
    """Values of the messages that `wanted` takes, of all pictures in decoding order, with the places of these in output order."""
    command = [decoder, "--parse", stream, "--json"]
    run = subprocess.run(command, capture_output=True, text=True)
    try:
        pictures = json.loads(run.stdout)["pictures"]
    except (ValueError, KeyError):
        sys.exit(f"side_data.py: {' '.join(command)}: {run.stderr.strip() or 'no pictures'}")
    shown = (picture for picture in pictures if picture["output"] is not None)
    return [(p["output"], [m["values"]["data"] for m in p["messages"] if wanted(m)]) for p in shown]


def in_output_order(pictures):
    return [of_picture for _, of_picture in sorted(pictures, key=lambda picture: picture[0])]


def held(pictures):
    """Has what a picture says hold in decoding order until another one says something; of several, the last."""
    last = []
    for output, of_picture in pictures:
        last = of_picture[-1:] or last
        yield output, last


def main(arguments):
    decoder = "nvdec-decode"
    if arguments[:1] == ["--decoder"] and len(arguments) > 1:
        decoder, arguments = arguments[1], arguments[2:]
    if len(arguments) != 3 or arguments[0] not in ("hdr10plus", "dovi"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    kind, stream, path = arguments
    if kind == "hdr10plus":
        of_type = lambda m: m["payload_type"] == 4 and m["values"].get("kind") == "HDR10+"
        payloads = in_output_order(held(messages(decoder, stream, of_type)))
        found = [[hdr10_plus(bytes.fromhex(data)) for data in of_picture] for of_picture in payloads]
        with open(path, encoding="utf-8") as file:
            expected = [[flat(scene)] for scene in json.load(file)["SceneInfo"]]
    else:
        found = in_output_order(messages(decoder, stream, lambda m: m["payload_type"] is None))
        with open(path, "rb") as file:
            expected = [[unit] for unit in units(file.read())]
    different = [at for at, pair in enumerate(zip(found, expected)) if pair[0] != pair[1]]
    print(f"{stream}: {len(found)} pictures, {len(expected)} expected, {len(different)} differ")
    for at in different[:3]:
        print(f"  picture {at}: {found[at]} and not {expected[at]}")
    return int(bool(different) or len(found) != len(expected))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
