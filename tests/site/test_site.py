"""The site, made for two cells: it fetches nothing, its links lead somewhere, and it fits its window."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("index.html", "start.html", "language.html", "commands.html", "pytorch.html", "cells/index.html",
         "cells/lstm.html", "cells/deltanet.html", "recipes/stack.html", "api/symcell.html")  # fmt: skip

pytestmark = pytest.mark.whole
needed = [name for name in ("sphinx", "furo", "myst_parser", "matplotlib") if importlib.util.find_spec(name) is None]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    if needed:
        pytest.skip(f"the extra docs is not installed: no {', '.join(needed)}")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, str(ROOT / "tools" / "gallery"), "--cells", "lstm,deltanet", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / "html"


class Page(HTMLParser):
    """``ids``: what can be linked to; ``links``: where links lead; ``loaded``: what a browser fetches by itself."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and not {"search", "index", "next", "prev"} & set(values.get("rel", "").split()):
            self.loaded.append(values.get("href", ""))
        if tag in ("script", "img", "iframe", "source"):
            self.loaded.append(values.get("src", ""))


def test_every_link_inside_leads_somewhere(site):
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for link in (link for link in page.links if not re.match(r"[a-z]+:", link)):
            file, anchor = urldefrag(unquote(link))
            target = (path.parent / file).resolve() if file else path
            if not target.is_file() or (anchor and target in pages and anchor not in pages[target].ids):
                broken.append(f"{path.relative_to(site.resolve())}: {link}")
    assert not broken


def test_a_browser_fetches_nothing_from_elsewhere(site):
    for path in site.rglob("*.html"):
        for place in Page(path).loaded:
            assert place.startswith("data:") or not re.match(r"([a-z]+:)?//", place), f"{path}: {place}"
    for path in site.rglob("*.css"):
        text = re.sub(r"/\*.*?\*/", "", path.read_text("utf-8"), flags=re.DOTALL)
        assert not re.search(r"@import|url\(\s*[\"']?(?:https?:)?//", text), path


def test_a_page_of_a_cell_has_all_its_parts(site):
    page = (site / "cells" / "lstm.html").read_text("utf-8")
    for heading in ("Text", "Derivation", "Cost", "Gradient flow", "Kernels", "Verification"):
        assert f"<h2>{heading}<a" in page
    assert "all are within tolerance" in page
    assert page.count("<math") > 100
    for name in ("derivation.html", "derivation.tex", "lstm_numpy.py", "lstm_c.py", "lstm_cupy.py"):
        assert (site / "cells" / "lstm" / name).is_file()


def test_the_same_input_gives_the_same_pages(site, tmp_path):
    """Protects pages that are compared from build to build; `--quick` leaves out what is measured in floating point."""
    sys.path.insert(0, str(ROOT / "tools" / "gallery"))
    try:
        import cell_page

        assert cell_page.page("rnn", quick=True) == cell_page.page("rnn", quick=True)
    finally:
        sys.path.remove(str(ROOT / "tools" / "gallery"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (shutil.which("chromium") and shutil.which("chromedriver") and importlib.util.find_spec("selenium")):
        pytest.skip("no chromium with chromedriver and selenium")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for switch in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync",
                   "disable-background-networking", "disable-component-update"):  # fmt: skip
        options.add_argument(f"--{switch}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit_their_window(site, browser, width):
    """Only boxes that scroll by themselves are wider; nothing is reported to the console."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for page in PAGES:
        browser.get((site / page).as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, page
        assert not browser.get_log("browser"), page


def test_the_index_sorts_by_a_click(site, browser):
    from selenium.webdriver.common.by import By

    browser.get((site / "cells" / "index.html").as_uri())
    head = next(h for h in browser.find_elements(By.CSS_SELECTOR, "table.sorted th") if "at 256" in h.text)

    def first() -> str:
        return browser.find_element(By.CSS_SELECTOR, "table.sorted tbody tr td").text

    browser.execute_script("arguments[0].click()", head)
    assert first() == "deltanet"
    browser.execute_script("arguments[0].click()", head)
    assert first() == "lstm"


def test_dark_pages_are_dark(site, browser):
    """The derivation follows the theme: its text is light where the page is dark."""
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    browser.get((site / "cells" / "lstm.html").as_uri())
    colours = browser.execute_script(
        "return [getComputedStyle(document.body).backgroundColor,"
        " getComputedStyle(document.querySelector('.symcell p')).color]"
    )
    paper, ink = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert paper < 200 < 500 < ink
