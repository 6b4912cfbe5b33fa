#!/usr/bin/env python3
"""Prints what tools/measure.sh kept: a line for each setting of each benchmark.

usage: table.py FOLDER
"""

import json
import pathlib
import sys

MIB = 1 << 20


def median(value):
    return value["median"] if isinstance(value, dict) else value


def stream(result):
    for row in result["rows"]:
        busy = f", {100 * median(row['busy']):.1f} % busy" if row["busy"] else ""
        bound = row["bound"] or {}
        reached = f", {100 * bound['reached']:.0f} % of the bound" if bound.get("reached") else ""
        memory = row["gpu_memory"]["measured"]
        yield (
            f"{row['mode']}, {row['engines']} engines: {median(row['pictures_per_second']):.0f} pictures/s{busy}{reached}, "
            f"CPU {median(row['cpu_us_per_picture']):.1f} us, {row['surfaces']['used']} surfaces, "
            f"{(memory or 0) / MIB:.0f} MiB taken, first picture {median(row['first_picture_ms']):.1f} ms"
        )


def many(result):
    memory, check = result["gpu_memory"], result["check"]
    exact = f", {check['bit_exact']} bit-exact, {check['differ']} differ" if check else ""
    yield (
        f"{result['streams']} streams: {result['pictures_per_second']:.0f} pictures/s, each {result['slowest']:.0f} to "
        f"{result['fastest']:.0f}, {result['starved']} starved, CPU {result['process_cpu_us_per_picture']:.1f} us, "
        f"{memory['priced'] / MIB:.0f} MiB priced, {(memory['measured'] or 0) / MIB:.0f} taken{exact}"
    )


def others(result):
    figures = {key: median(value) for key, value in result.items() if isinstance(value, (dict, float))}
    yield ", ".join(f"{key} {value:.3f}" for key, value in figures.items() if isinstance(value, float))


def detile(result):
    for row in result["rows"]:
        yield f"to {row['to']}: {median(row['pictures_per_second']):.0f} pictures/s, {median(row['gb_per_second']):.0f} GB/s"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    kinds = {"stream": stream, "many": many, "detile": detile}
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.json")):
        result = json.loads(path.read_text())
        for line in kinds.get(result["benchmark"], others)(result):
            print(f"{path.stem:16} {line}")


if __name__ == "__main__":
    main()
