"""``python -m examples.demo``: the whole line, from the equations to trained networks. See ``make demo``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from . import adding, backend, digits, plot, table
from .tasks import Task
from .train import Run, stash, train

CELLS = ("rnn", "gru", "lstm")
SEED = 0
SUFFIXES = ("txt", "md", "tex")


def main(out: Path) -> int:
    """Derive, generate, verify, train and report; 1 if a claim does not hold."""
    started = time.perf_counter()
    console = Console(highlight=False, soft_wrap=True)
    for folder in (out / "derivations", out / "generated"):
        folder.mkdir(parents=True, exist_ok=True)

    heading(console, "1  Derive back-propagation through time")
    derivations = [out / "derivations" / f"{cell}.{suffix}" for cell in CELLS for suffix in SUFFIXES]
    for file in derivations:
        symcell(console, "derive", file.stem, "--out", str(file))

    heading(console, "2  Generate the modules")
    symcell(console, "generate", *CELLS, "--out", str(out / "generated"))

    heading(console, "3  Verify the kernels against the derived formulas")
    symcell(console, "verify", *CELLS)

    where = backend.find()
    heading(console, f"4  Train the emitted {where.target} modules on the {where.device}")
    modules = {cell: backend.load(out / "generated" / f"{cell}_{where.target}.py") for cell in CELLS}
    tasks = (digits.task(SEED), adding.task(SEED))
    runs = [run_with_bar(console, cell, modules[cell], task, where) for task in tasks for cell in CELLS]
    kept = {cell: stash(modules[cell], tasks[0].inputs, tasks[0].hidden, where) for cell in CELLS}

    found = table.claims(runs)
    plot.plot(out / "training.png", runs, tasks[0].every)
    table.write(out / "report.json", runs, kept, found, where, SEED)
    table.show(console, runs, kept)
    console.print()
    for claim in found:
        console.print("[green]✓[/]" if claim.holds else "[bold red]✗[/]", claim.text)
    console.print("\n[bold]To open[/]")
    for cell in CELLS:
        title = (modules[cell].__doc__ or "").partition("\n")[0]
        console.print(f"  {out}/derivations/{cell}.{{{','.join(SUFFIXES)}}}   the derivation: {title}")
    console.print(f"  {out}/generated/   the modules that were trained: each runs without symcell")
    console.print(f"  {out}/training.png   the training curves")
    console.print(f"  {out}/report.json   every number\n")
    ok = all(claim.holds for claim in found)
    verdict = "[bold green]all claims hold[/]" if ok else "[bold red]a claim does not hold[/]"
    console.print(f"{verdict} ({time.perf_counter() - started:.0f} s)")
    return 0 if ok else 1


def heading(console: Console, text: str) -> None:
    console.print(f"\n[bold cyan]{text}[/]")


def symcell(console: Console, *arguments: str) -> None:
    """Run a command of symcell and show it, so that it can be typed. Exits with the command's status if it fails."""
    from symcell.cli import app

    console.print(f"[dim]$ symcell {' '.join(arguments)}[/]")
    app(arguments, standalone_mode=False)


def run_with_bar(console: Console, cell: str, module: ModuleType, task: Task, where: backend.Backend) -> Run:
    """Train with a progress bar that shows the score."""
    score = TextColumn("{task.fields[score]}")
    with Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), score,
                  console=console) as bars:  # fmt: skip
        bar = bars.add_task(f"{task.name:<6} {cell:<4}", total=task.updates, score="")

        def tell(update: int, score: float) -> None:
            bars.update(bar, completed=update, score=f"{score:.4f}")

        run = train(cell, module, task, where, SEED, tell)
        tell(run.updates, run.score)
    return run


if __name__ == "__main__":
    arguments: Sequence[str] = sys.argv[1:]
    sys.exit(main(Path(arguments[0] if arguments else "demo-output")))
