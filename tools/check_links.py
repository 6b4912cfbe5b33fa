#!/usr/bin/env python3
"""Checks the links of all Markdown pages that git tracks, or would track.

usage: check_links.py [ROOT]

Files and folders that a page links to have to be there, and be of the repository; anchors have to be headings of the
page that they point into, by GitHub's rules. Addresses on the network are not asked for. One line for each link that
leads nowhere: page, line, link, what is wrong with it. Exit code: 0 if there is none, else 1.
"""

import posixpath
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
HEADING = re.compile(r"^ {0,3}#{1,6}(?:\s+(.*?))?(?:\s+#+)?\s*$")
CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)")
# [text](target), [text](<target> "title"), and images.
INLINE = re.compile(
    r"\]\(\s*(?:<([^<>]*)>|([^\s()]*(?:\([^\s()]*\)[^\s()]*)*))(?:\s+(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))?\s*\)"
)
# [label]: target
REFERENCE = re.compile(r"^ {0,3}\[[^\]^]+\]:\s*(?:<([^<>]*)>|(\S+))")
HTML_ANCHOR = re.compile(r"<[^<>]*\s(?:id|name)\s*=\s*[\"']([^\"']+)[\"']")
ADDRESS = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]*:|//)")


def lines_of(text):
    """The lines of a page with their numbers, without code blocks.

    >>> list(lines_of("a\\n```sh\\n[b](c)\\n```\\nd"))
    [(1, 'a'), (5, 'd')]
    """
    fence = None
    for number, line in enumerate(text.splitlines(), 1):
        mark = FENCE.match(line)
        if fence is None and mark:
            fence = mark[1]
        elif fence is not None:
            if mark and mark[1].startswith(fence) and not line.strip(" `~"):
                fence = None
        else:
            yield number, line


def slug(heading):
    """The anchor that GitHub gives a heading.

    >>> slug("The kernel seam, and the `hcq::Queue` model")
    'the-kernel-seam-and-the-hcqqueue-model'
    >>> slug("What [CI](testing.md#ci) checks: _all_ of snake_case")
    'what-ci-checks-all-of-snake_case'
    """
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    text = re.sub(r"(?<!\w)([*_]{1,3})(\S(?:.*?\S)?)\1(?!\w)", r"\2", text)
    text = re.sub(r"[^\w\- ]", "", text.lower())
    return text.strip().replace(" ", "-")


def anchors_of(text):
    """All anchors of a page. Headings that are alike are numbered from the second on.

    >>> sorted(anchors_of('# A b\\n## A b\\n<a id="c"></a>\\n```\\n# d\\n```'))
    ['a-b', 'a-b-1', 'c']
    """
    anchors = set()
    for _, line in lines_of(text):
        anchors.update(HTML_ANCHOR.findall(CODE.sub("", line)))
        heading = HEADING.match(line)
        if not heading:
            continue
        anchor = first = slug(heading[1] or "")
        count = 0
        while anchor in anchors:
            count += 1
            anchor = f"{first}-{count}"
        anchors.add(anchor)
    return anchors


def links_of(text):
    """The targets of a page's links, with their lines. What stands in code is no link.

    >>> list(links_of('[a](b.md#c) `[d](e)` ![f](<g h.png> "i")\\n[j]: k.md\\n'))
    [(1, 'b.md#c'), (1, 'g h.png'), (2, 'k.md')]
    """
    for number, line in lines_of(text):
        line = CODE.sub("", line)
        for match in [*INLINE.finditer(line), *REFERENCE.finditer(line)]:
            yield number, match[1] if match[1] is not None else match[2]


def fault_of(page, target, pages, files):
    """What is wrong with a link, if anything is. `pages` are the texts of all pages, `files` the paths of all files.

    >>> pages = {"README.md": "# Top", "docs/a.md": "## Here"}
    >>> files = {*pages, "docs/a.png"}
    >>> links = "#here", "a.png", "../docs", "../README.md#top", "https://x"
    >>> [fault_of("docs/a.md", link, pages, files) for link in links]
    [None, None, None, None, None]
    >>> fault_of("docs/a.md", "README.md", pages, files)
    'there is no docs/README.md'
    >>> fault_of("README.md", "docs/a.md#gone", pages, files)
    'docs/a.md has no heading #gone'
    >>> fault_of("README.md", "../x", pages, files)
    'leads out of the repository'
    """
    if ADDRESS.match(target):
        return None
    path, _, anchor = target.partition("#")
    path = unquote(path)
    if path.startswith("/"):
        return "begins at the root of a server"
    to = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
    if to == ".." or to.startswith("../"):
        return "leads out of the repository"
    if to != "." and to not in files and not any(file.startswith(to + "/") for file in files):
        return f"there is no {to}"
    if anchor and to in pages and unquote(anchor) not in anchors_of(pages[to]):
        return f"{to} has no heading #{anchor}"
    return None


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    command = ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    files = {name for name in listed.stdout.decode().split("\0") if name and (root / name).is_file()}
    pages = {name: (root / name).read_text(encoding="utf-8") for name in files if name.endswith(".md")}
    found, links = 0, 0
    for page, text in sorted(pages.items()):
        for number, target in links_of(text):
            links += 1
            fault = fault_of(page, target, pages, files)
            if fault:
                found += 1
                print(f"{page}:{number}: {target}: {fault}")
    if found == 0:
        print(f"{links} links of {len(pages)} pages lead somewhere")
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main())
