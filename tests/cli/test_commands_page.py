"""The page on the command line: its commands run, and the data has the keys that it promises, and no others."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text("utf-8")
TABLES = re.findall(r"<!-- keys: symcell (.*?) -->\n(.*?)\n\n", PAGE + "\n", re.DOTALL)


def keys(data: object, depth: int = 2) -> set[str]:
    """``cells``, ``cells.name``: the keys of JSON data, those of lists' entries too."""
    if isinstance(data, list):
        return {key for entry in data for key in keys(entry, depth)}
    if not isinstance(data, dict) or not depth:
        return set()
    return {*data, *(f"{key}.{more}" for key, value in data.items() for more in keys(value, depth - 1))}


@pytest.mark.parametrize(("command", "table"), TABLES, ids=[command.split()[0] for command, _ in TABLES])
def test_data_has_the_keys_of_the_page(symcell, tmp_path, command, table):
    (tmp_path / "bad.cell").write_text("h[t] = 1 +\n")
    data = json.loads(symcell(*shlex.split(command)).stdout)
    promised = {key for row in table.splitlines()[2:] for key in re.findall(r"`([\w.]+)`", row.split("|")[1])}
    found = keys(data)
    assert promised <= found
    whole = {key.partition(".")[0] for key in promised if "." in key}
    unsaid = {key for key in found - promised if "." not in key or key.partition(".")[0] in whole}
    assert not unsaid - {"cost"}


def test_commands_of_the_page_run(symcell):
    commands = [line.partition("#")[0] for line in re.findall(r"^symcell .*$", PAGE, re.MULTILINE)]
    assert commands
    for command in commands:
        symcell(*shlex.split(command)[1:])
