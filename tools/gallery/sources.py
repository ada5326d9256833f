"""What Sphinx reads: the pages of docs/site and docs/, and one that is written for each cell."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import api
import comparison
from cell_page import Page, page

import symcell
from symcell import shipped

ROOT = Path(symcell.__file__).parents[1]
DOCS = ("commands", "design", "formats", "gpu", "language", "pytorch")
"""Pages that stand in docs/, for readers of the repository too."""
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)\s#]+)(#[^)\s]*)?\)")


def write(source: Path, names: Sequence[str], *, jobs: int, quick: bool) -> None:
    """All that Sphinx reads, into a new folder."""
    shutil.copytree(ROOT / "docs" / "site", source)
    (source / "texts").mkdir()
    for name in shipped.names():
        (source / "texts" / f"{name}.cell").write_text(shipped.text(name), "utf-8")
    for name in DOCS:
        _copy(ROOT / "docs" / f"{name}.md", source)
    api.write(source / "api")
    pages = _pages(source, names, jobs, quick)
    (source / "cells" / "index.md").write_text(comparison.index([page.facts for page in pages]), "utf-8")


def _pages(source: Path, names: Sequence[str], jobs: int, quick: bool) -> list[Page]:
    (source / "cells").mkdir()
    made = []
    make = partial(page, quick=quick)
    with ProcessPoolExecutor(jobs) as pool:
        for found in pool.map(make, names):
            (source / "cells" / f"{found.name}.md").write_text(found.text, "utf-8")
            for file, text in found.files.items():
                place = source / "extra" / "cells" / found.name / file
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text, "utf-8")
            made.append(found)
            if sys.stderr.isatty():
                print(f"\r{len(made)} of {len(names)} cells", end="", file=sys.stderr, flush=True)
    return made


def _copy(page: Path, source: Path) -> None:
    """A page of docs/ for the site: images come with it, and what is not of the site is named by its path."""

    def relinked(match: re.Match[str]) -> str:
        image, text, target = match.group(1, 2, 3)
        place = (page.parent / target).resolve()
        if image:
            (source / "images").mkdir(exist_ok=True)
            shutil.copyfile(place, source / "images" / place.name)
            return f"![{text}](images/{place.name})"
        if place.parent == page.parent and place.stem in DOCS:
            return match[0]
        return f"{text} (`{place.relative_to(ROOT)}` in the repository)"

    (source / page.name).write_text(_LINK.sub(relinked, page.read_text("utf-8")), "utf-8")
