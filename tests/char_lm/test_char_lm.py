"""The character model: its text, its log and checkpoints, and that a killed run loses nothing."""

import hashlib
import math
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from examples.char_lm import checkpoint, compare, log  # noqa: E402
from examples.char_lm.evaluate import bits_per_character  # noqa: E402
from examples.char_lm.model import build  # noqa: E402
from examples.char_lm.optimizer import factor, optimizer  # noqa: E402
from examples.char_lm.options import Options  # noqa: E402
from examples.char_lm.sample import sample  # noqa: E402
from examples.char_lm.text import FILE, Streams, Text  # noqa: E402
from examples.char_lm.train import Trainer, train  # noqa: E402

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
CELL = "lstm"
OWN = ROOT / "examples" / "char_lm" / "mycell.cell"
SMALL = Options(cell=CELL, embedding=8, hidden=12, layers=2, batch=8, steps=10, updates=12, warmup=2, line=2, every=4)


def curve(file):
    return [[getattr(line, name) for name in log.CURVE] for line in log.read(file)]


def silent(line):
    pass


@pytest.fixture(autouse=True)
def one_thread():
    """A small model on several threads waits for them, long where others are at work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_text_is_the_one_whose_source_is_recorded():
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() in (FILE.parent / "README.md").read_text("utf-8")
    text = Text.read()
    assert len(text.characters) == 148_476
    assert text.decode(text.encode("Alice")) == "Alice"
    with pytest.raises(ValueError, match="the text has no 'é'"):
        text.encode("é")


def test_streams_read_all_of_the_text_once():
    numbers = torch.arange(101)
    streams = Streams.of(numbers, 4)
    pieces = [streams.piece(k, 10) for k in range(streams.pieces(10))]
    x, target = (torch.cat(parts) for parts in zip(*pieces, strict=True))
    assert (target == x + 1).all()
    assert x.T.tolist() == [list(range(k * 25, k * 25 + 24)) for k in range(4)]
    assert torch.equal(torch.cat([streams.part(k, 2).numbers for k in range(2)], 1), streams.numbers)
    with pytest.raises(ValueError, match="4 streams cannot be shared by 3"):
        streams.part(0, 3)
    with pytest.raises(ValueError, match="a smaller batch"):
        Streams.of(numbers, 60)


def test_a_model_that_knows_nothing_needs_the_logarithm_of_the_alphabet():
    text = Text.read()
    model = build(SMALL, len(text.vocabulary))
    torch.nn.init.zeros_(model.head.weight)
    torch.nn.init.zeros_(model.head.bias)
    bits = bits_per_character(model, text.validation(4), CPU)
    assert bits == pytest.approx(math.log2(len(text.vocabulary)), rel=1e-6)


def test_the_rate_rises_and_falls_and_biases_do_not_decay():
    rates = [factor(k, SMALL) for k in range(SMALL.updates + 1)]
    assert rates[:2] == [0.5, 1.0]
    assert rates[-1] == pytest.approx(0.1)
    assert rates[2:] == sorted(rates[2:], reverse=True)
    model = build(SMALL, 72)
    decay = {p: group["weight_decay"] for group in optimizer(model, SMALL).param_groups for p in group["params"]}
    assert {p.ndim for p, rate in decay.items() if rate} == {2}
    assert len(decay) == len(list(model.parameters()))


@pytest.mark.parametrize("cell", [CELL, str(OWN), "nn.GRU"], ids=["cell", "own cell", "PyTorch's own"])
def test_training_lowers_the_loss_and_is_logged(tmp_path, cell):
    told = []
    options = replace(SMALL, cell=cell, updates=60, line=10, every=30, rate=0.01)
    train(options, tmp_path, CPU, told.append)
    lines = log.read(tmp_path / log.NAME)
    assert lines == told
    assert [line.update for line in lines] == [10, 20, 30, 40, 50, 60]
    assert [line.valid is None for line in lines] == [True, True, False, True, True, False]
    assert lines[-1].valid < 5 < lines[0].bits
    assert [line.seconds for line in lines] == sorted(line.seconds for line in lines)


def test_stopped_anywhere_a_run_goes_on_bit_for_bit(tmp_path):
    """Model, optimizer, rate, place, carried state and generator (dropout) are all in the checkpoint."""
    train(SMALL, tmp_path / "whole", CPU, silent)

    def stop(line):
        if line.update == 6:  # past the checkpoint of update 4, and logged
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train(SMALL, tmp_path / "stopped", CPU, stop)
    torch.manual_seed(99)
    resumed = train(SMALL, tmp_path / "stopped", CPU, silent)
    assert curve(tmp_path / "stopped" / log.NAME) == curve(tmp_path / "whole" / log.NAME)
    again = train(SMALL, tmp_path / "whole", CPU, silent)  # nothing is left to do
    for mine, its in zip(resumed.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(mine, its)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from examples.char_lm.options import Options
from examples.char_lm.train import train

torch.set_num_threads(1)

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def tell(line):
    if line.update == 6:
        {fatal}

train({options!r}, Path(sys.argv[1]), torch.device("cpu"), tell)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
@pytest.mark.parametrize("fatal", ["die()", "os.fsync = die"], ids=["while training", "while saving"])
def test_killed_a_run_goes_on_bit_for_bit(tmp_path, fatal):
    """SIGKILL: nothing is flushed, no handler runs; a checkpoint that is half written takes no one's place."""
    program = KILLED.format(fatal=fatal, options=SMALL)
    killed = subprocess.run([sys.executable, "-W", "error", "-c", program, str(tmp_path / "killed")], cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert checkpoint.load(tmp_path / "killed" / checkpoint.NAME)["done"] == 4
    assert log.read(tmp_path / "killed" / log.NAME)[-1].update == (6 if fatal == "die()" else 8)
    train(SMALL, tmp_path / "killed", CPU, silent)
    train(SMALL, tmp_path / "whole", CPU, silent)
    assert curve(tmp_path / "killed" / log.NAME) == curve(tmp_path / "whole" / log.NAME)


def test_a_checkpoint_of_another_run_is_refused(tmp_path, monkeypatch):
    train(replace(SMALL, updates=4), tmp_path, CPU, silent)
    with pytest.raises(checkpoint.CheckpointError, match=r"updates is 12 here and 4 there"):
        train(SMALL, tmp_path, CPU, silent)
    trainer = Trainer(replace(SMALL, updates=4), Text("another text, of some length " * 40), CPU)
    with pytest.raises(checkpoint.CheckpointError, match="the text is another"):
        trainer.resume(tmp_path / checkpoint.NAME)
    monkeypatch.setattr("examples.char_lm.train.equations", lambda options: "h[t] = x[t]")
    with pytest.raises(checkpoint.CheckpointError, match=r"the equations of lstm have changed"):
        train(replace(SMALL, updates=4), tmp_path, CPU, silent)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    file = tmp_path / checkpoint.NAME
    checkpoint.save(file, {"done": 1})
    assert [entry.name for entry in tmp_path.iterdir()] == [checkpoint.NAME]
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(checkpoint.CheckpointError, match="no checkpoint that can be read"):
        checkpoint.load(file)
    torch.save({"version": 0}, file)
    with pytest.raises(checkpoint.CheckpointError, match="has version 0"):
        checkpoint.load(file)


def test_samples_follow_the_temperature():
    text = Text.read()
    model = build(SMALL, len(text.vocabulary))
    drawn = [sample(model, text, "Alice", 50, temperature, seed=1) for temperature in (0, 1.0, 1.0)]
    assert all(len(found) == 55 and found.startswith("Alice") for found in drawn)
    assert drawn[1] == drawn[2] != drawn[0]
    torch.nn.init.zeros_(model.head.weight)
    model.head.bias.data = 10.0 * (torch.arange(len(text.vocabulary)) == 40)
    assert sample(model, text, "Alice", 5, 0) == "Alice" + 5 * text.vocabulary[40]
    for prompt, temperature, message in (("", 1, "at least one character"), ("a", -1, "temperature is -1")):
        with pytest.raises(ValueError, match=message):
            sample(model, text, prompt, 5, temperature)


def test_a_log_that_was_cut_off_is_read_to_its_last_whole_line(tmp_path):
    file = tmp_path / log.NAME
    lines = [log.Line(k, 4.0, None, 1.0, 0.1, float(k), 7) for k in (2, 4)]
    written = log.Log(file, 0)
    for line in lines:
        written.add(line)
    written.close()
    file.write_text(file.read_text("utf-8") + "6,3.9,,1.", "utf-8")
    assert log.read(file) == lines
    log.Log(file, 2).close()
    assert log.read(file) == lines[:1]


def test_from_the_same_weights_a_cell_has_pytorchs_curve():
    """Dropout included: both draw the same masks."""
    found = []
    for which in ({"cell": "nn.LSTM", "frozen": "bias_hh"}, {"cell": "lstm", "like": "nn.LSTM"}):
        trainer = Trainer(replace(SMALL, **which), Text.read(), CPU)  # seeds the generator, so one after the other
        curve = [trainer.update()[:2] for _ in range(SMALL.updates)]
        found.append([*np.ravel(curve), trainer.validate()])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


def test_the_committed_report_is_what_the_logs_say(tmp_path):
    """The cell has the curve of PyTorch's module over all updates, and the picture is drawn from what is there."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    out = FILE.parents[1] / "results"
    report = compare.read(out)
    assert compare.results(out, {result.title: result.speed for result in report}) == report
    assert report[1].apart < 1e-3
    assert compare.markdown(report).count("\n") == 1 + len(compare.RUNS)
    shutil.copytree(out, tmp_path / "results")
    (tmp_path / "results" / compare.PICTURE).unlink()
    compare.draw(tmp_path / "results")
    assert (tmp_path / "results" / compare.PICTURE).read_bytes().startswith(b"\x89PNG")
