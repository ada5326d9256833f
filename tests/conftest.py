"""How the whole suite runs; fixtures live beside the tests that use them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# compiled C modules are kept from run to run, and shared by the processes of one
os.environ.setdefault("SYMCELL_CACHE", str(Path(__file__).resolve().parent.parent / ".pytest_cache" / "compiled"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--whole", action="store_true", help="run all of the sweeps that are sampled otherwise")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what only ``--whole`` runs. Where processes share the tests (``--dist loadgroup``), those of one cell,
    and those with a module's fixture, go to one process, so that what is made for all of them is made once."""
    if not config.getoption("--whole"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("whole")])
        items[:] = [item for item in items if not item.get_closest_marker("whole")]
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            if group := _shared_work(item):
                item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture
def soon(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """C is compiled without optimisation, which takes a quarter of the time. With ``--whole`` it is compiled as users
    compile it, and so it is always for the contract of the cells that are shipped (tests/emit/test_targets.py)."""
    if not request.config.getoption("--whole"):
        monkeypatch.setenv("SYMCELL_CFLAGS", "-O0")


def _shared_work(item: pytest.Item) -> str:
    """What a test has in common with others: a fixture of its module, or the name of a cell; or nothing."""
    fixtures = getattr(item, "_fixtureinfo", None)
    if fixtures and any(found[-1].scope == "module" for found in fixtures.name2fixturedefs.values()):
        return item.path.stem
    name = item.callspec.params.get("name") if hasattr(item, "callspec") else None
    return name if isinstance(name, str) else ""
