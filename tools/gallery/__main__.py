"""Makes the site: a page for every cell beside the pages of docs/, put together by Sphinx.

    python tools/gallery                        all cells, into build/site/html (open index.html)
    python tools/gallery --out DIR --cells lstm,gru --jobs 2

Nothing is fetched. A warning is an error, a link inside that leads nowhere is a warning, and the same input gives the
same files.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

import sources
from sphinx.cmd.build import build_main

import symcell


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tools/gallery", description="Make the site.")
    parser.add_argument("--out", type=Path, default=Path("build/site"), help="where to (default: build/site)")
    parser.add_argument("--cells", help="these cells alone: lstm,gru")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="processes that write the pages")
    parser.add_argument("--quick", action="store_true", help="leave out what takes long: verification and flow")
    arguments = parser.parse_args()
    names = arguments.cells.split(",") if arguments.cells else list(symcell.names())
    source, html = arguments.out.resolve() / "source", arguments.out.resolve() / "html"
    for folder in (source, html):
        shutil.rmtree(folder, ignore_errors=True)
    sources.write(source, names, jobs=arguments.jobs, quick=arguments.quick)
    os.environ.setdefault("SOURCE_DATE_EPOCH", "0")
    kept = source.parent / "doctrees"
    status = build_main(["-q", "-W", "--keep-going", "-E", "-d", str(kept), str(source), str(html)])
    if status == 0:
        print(f"open {os.path.relpath(html / 'index.html')}")
    return status


if __name__ == "__main__":
    sys.exit(main())
