"""The README is true: what it shows of files and output is what they are now, and its examples run."""

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="there is no sh for the commands of the README")

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "README.md").read_text("utf-8")
_spec = importlib.util.spec_from_file_location("readme_tool", ROOT / "tools" / "readme.py")
readme = importlib.util.module_from_spec(_spec)
sys.modules["readme_tool"] = readme
_spec.loader.exec_module(readme)


@pytest.mark.parametrize("part", readme.parts(PAGE), ids=lambda part: part.command)
def test_generated_part(part):
    if part.command.startswith("symcell verify") and importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is one of the witnesses that the README shows, and it is not installed")
    fresh = part.fresh()
    assert not part.stale(fresh), f"run `make readme`; the output is now\n{fresh}"


def test_examples_run(tmp_path):
    found = list(readme.examples(PAGE))
    assert {example.kind for example in found} == {"file", "sh", "python"}
    for example in found:
        if "import torch" not in example.text or importlib.util.find_spec("torch") is not None:
            readme.execute(example, tmp_path)


def test_every_marker_is_understood():
    markers = re.findall(r"^<!-- (\w+(?: run)?)", PAGE, re.MULTILINE)
    assert set(markers) <= {"generated", "sample", "file", "not run", "end"}
    assert len(readme.parts(PAGE)) == markers.count("generated") + markers.count("sample")


def test_make_targets_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", PAGE)) <= targets


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "docs/commands.md", "docs/design.md", "docs/flow.md", "docs/formats.md",
             "docs/gpu.md", "docs/language.md", "docs/pytorch.md"]
)
def test_links_lead_somewhere(name):
    page = ROOT / name
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_stale_parts_are_found():
    page = "<!-- generated: printf 'a\\nb\\nc\\n' | from b to c -->\n```text\nold\n```\n"
    assert readme.refreshed(page) == page.replace("old", "b\nc")


def test_a_part_without_a_body_swallows_nothing():
    first, next_ = "<!-- generated: printf a -->\n", "## Next\n\n<!-- generated: printf b -->\n"
    fresh = f"{first}\na\n\n<!-- end -->\n\n{next_}\nb\n\n<!-- end -->\n"
    assert readme.refreshed(f"{first}<!-- end -->\n\n{next_}old\n<!-- end -->\n") == fresh
    assert len(readme.parts(f"{first}\n{next_}old\n<!-- end -->\n")) == 1  # the first, without an end, is no part
