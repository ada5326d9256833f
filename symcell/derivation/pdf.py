"""A LaTeX source on paper: a TeX that is installed here, in a folder of its own, without a shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

ENGINES = ("pdflatex", "lualatex")
RUNS = 4
"""References settle in two runs, tables over several pages in three."""
SECONDS = 240
_OPTIONS = ("-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error")
_DEBIAN = {"kotex.sty": "texlive-lang-korean", "tikz.sty": "texlive-pictures", "lmodern.sty": "lmodern"}


class TexError(RuntimeError):
    """TeX is missing, or could not set the source; ``log`` is where its log lies."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message if log is None else f"{message}\nits log: {log}")
        self.log = log


def engine() -> str:
    """The first TeX there is. Raises TexError."""
    found = next(filter(None, map(shutil.which, ENGINES)), None)
    if found is None:
        raise TexError(f"a PDF needs a TeX, and none of {', '.join(ENGINES)} is on the path (Debian: lmodern, "
                       "texlive-pictures, texlive-latex-extra); the format latex is its source")  # fmt: skip
    return found


def typeset(source: str) -> bytes:
    """The PDF of a LaTeX document, the same bytes every time. Raises TexError, and then leaves the log."""
    tex = engine()
    folder = Path(tempfile.mkdtemp(prefix="symcell-tex-"))
    (folder / "derivation.tex").write_text(source, "utf-8")
    for run in range(RUNS):
        log = _run(tex, folder, *(() if run else ("-draftmode",)))  # the first run is for its references alone
        if run and not re.search(r"Rerun (?:to|LaTeX)|rerunfilecheck Warning", log):
            break
    if missing := sorted(set(re.findall(r"Missing character: There is no (\S+)", log))):
        raise TexError(f"{Path(tex).name} has no font with {' '.join(missing)}", folder / "derivation.log")
    pdf = (folder / "derivation.pdf").read_bytes()
    shutil.rmtree(folder, ignore_errors=True)
    return pdf


def _run(tex: str, folder: Path, *more: str) -> str:
    """One run, its log. Raises TexError."""
    same = {"SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "openout_any": "p", "max_print_line": "1000"}
    log = folder / "derivation.log"
    try:
        command = [tex, *_OPTIONS, *more, "derivation.tex"]
        done = subprocess.run(command, cwd=folder, env={**os.environ, **same}, check=False, timeout=SECONDS,
                              stdin=subprocess.DEVNULL, capture_output=True)  # fmt: skip
    except subprocess.TimeoutExpired:
        raise TexError(f"{Path(tex).name} was not done after {SECONDS} s", log) from None
    said = log.read_text("utf-8", errors="replace") if log.exists() else done.stdout.decode(errors="replace")
    if done.returncode:
        raise TexError(f"{Path(tex).name}: {_first_error(said)}", log)
    return said


def _first_error(log: str) -> str:
    """What TeX complains about first, in one line."""
    if missing := re.search(r"File `([^']+)' not found", log):
        package = _DEBIAN.get(missing[1])
        return f"{missing[1]} is not installed" + (f" (Debian: {package})" if package else "")
    found = re.search(r"^! (.+)", log, re.M)
    where = re.search(r"^(l\.\d+ .*)", log, re.M)
    parts = [m[1].strip() for m in (found, where) if m]
    return "; ".join(parts) or "it failed and did not say why"
