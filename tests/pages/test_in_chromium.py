"""The page of a derivation as people see it: in Chromium, wide and narrow, in light and dark, by mouse and keyboard."""

import base64

import pytest

from symcell.pipeline import derive

FACTS = """
const ids = new Set([...document.querySelectorAll("[id]")].map((e) => e.id));
const shown = [...document.querySelectorAll("math")].filter((m) => m.checkVisibility());
const flat = (m) => { const r = m.getBoundingClientRect(); return !(r.width > 0 && r.height > 0); };
return {
  overflow: document.documentElement.scrollWidth - innerWidth,
  broken: [...document.querySelectorAll('a[href^="#"]')].map((a) => a.hash.slice(1)).filter((h) => !ids.has(h)),
  math: shown.length,
  flat: shown.filter(flat).length,
  fraction: document.querySelector("mfrac").getBoundingClientRect().height / 17,
};
"""
TIP = "const t = document.querySelector('.tip'); return t.hidden ? '' : t.textContent;"


@pytest.fixture(scope="module", params=["lstm", *(pytest.param(name, marks=pytest.mark.whole)
                                                  for name in ("deltanet", "layernorm_lstm", "nas"))])  # fmt: skip
def page(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / f"{request.param}.html"
    path.write_text(derive(request.param).render("html"), "utf-8")
    return path


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_a_page_opens(browser, page, width, dark):
    browser.open(page, width, dark=dark)
    facts = browser.run(FACTS)
    assert facts["overflow"] <= 0
    assert not facts["broken"]
    assert facts["math"] > 100
    assert not facts["flat"]
    assert facts["fraction"] > 1.5
    assert not browser.requests()
    assert not browser.complaints()
    paper = browser.run("return getComputedStyle(document.querySelector('.symcell')).backgroundColor")
    assert paper == ("rgb(20, 23, 28)" if dark else "rgb(255, 255, 255)")


def test_a_long_formula_scrolls_in_its_box(browser, page):
    browser.open(page, 390)
    assert browser.run("return [...document.querySelectorAll('.f')].some((f) => f.scrollWidth > f.clientWidth + 20)")
    assert browser.run("return [...document.querySelectorAll('.f')].every((f) => f.clientWidth < 390)")


def test_a_symbol_says_what_it_is(browser, page):
    from selenium.webdriver import ActionChains

    browser.open(page, 1280)
    symbol = browser.run("const s = document.querySelector('.eq .s'); s.scrollIntoView({block: 'center'}); return s;")
    ActionChains(browser.driver).move_to_element(symbol).perform()
    said = browser.run(TIP)
    own = browser.run("return document.querySelector(`[data-d='${arguments[0].dataset.s}']`).textContent;", symbol)
    assert said == own
    browser.run("document.querySelector('h1').click()")
    assert not browser.run(TIP)
    browser.run("arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", symbol)
    assert browser.run(TIP) == own


def test_the_keyboard_reaches_what_a_formula_says(browser, page):
    from selenium.webdriver import ActionChains, Keys

    browser.open(page, 390)
    browser.run("document.querySelector('.eq .n').focus()")
    ActionChains(browser.driver).send_keys(Keys.TAB).perform()
    assert browser.run(TIP)
    ActionChains(browser.driver).send_keys(Keys.ESCAPE).perform()
    assert not browser.run(TIP)


@pytest.mark.parametrize("width", [1400, 390])
def test_kernels_stand_beside_or_below_formulas(browser, page, width):
    browser.open(page, width)
    visible = "return [...document.querySelectorAll('.codes .code')].filter((c) => c.checkVisibility()).length;"
    assert not browser.run(visible)
    browser.run("document.querySelector('.c-c').click()")
    assert browser.run(visible) > 5
    assert browser.run(FACTS)["overflow"] <= 0
    beside = browser.run("""
      const eq = [...document.querySelectorAll(".eq")].find((e) => e.querySelector(".k-c"));
      const [f, c] = [".row", ".k-c"].map((s) => eq.querySelector(s).getBoundingClientRect());
      return c.left >= f.right;""")
    assert beside is (width == 1400)


def test_a_page_can_be_printed(browser, page):
    browser.open(page, 1280, dark=True)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    ink = browser.run("return getComputedStyle(document.querySelector('.symcell')).color")
    hidden = browser.run("return !document.querySelector('section.kernels').checkVisibility()")
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert ink == "rgb(0, 0, 0)"
    assert hidden
    made = browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert base64.b64decode(made["data"]).startswith(b"%PDF")
