"""docs/pytorch.md is true: its program runs, and what it shows of files and counts is what they are now."""

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "pytorch.md").read_text("utf-8")
_spec = importlib.util.spec_from_file_location("readme_tool", ROOT / "tools" / "readme.py")
readme = importlib.util.module_from_spec(_spec)
sys.modules["readme_tool"] = readme
_spec.loader.exec_module(readme)


@pytest.mark.parametrize("part", readme.parts(PAGE), ids=lambda part: f"{part.command} {part.first}")
def test_generated_part(part):
    fresh = part.fresh()
    assert not part.stale(fresh), f"run `make readme`; the output is now\n{fresh}"


def test_the_program_of_the_page_runs(tmp_path):
    """Its blocks are one program."""
    blocks = [example.text for example in readme.examples(PAGE)]
    assert len(blocks) > 8
    readme.execute(readme.Example("python", "", "\n".join(blocks)), tmp_path)
