"""Rounds are interleaved, rests are taken, and what is counted is one run."""

from __future__ import annotations

from symcell.bench.timing import Pace, interleaved


class Machine:
    """A clock that runs only while something runs, and remembers what did."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.log.append(f"rest {seconds}")

    def contender(self, name: str, *seconds: float):
        """Takes these seconds, one run after the other, the last ones for ever."""
        left = list(seconds)

        def run() -> None:
            self.now += left.pop(0) if len(left) > 1 else left[0]
            self.log.append(name)

        return run


def measured(machine: Machine, pace: Pace, **contenders) -> dict[str, list[float]]:
    return interleaved(contenders, pace, machine.clock, machine.sleep)


def test_rounds_are_interleaved_each_beginning_with_another():
    machine = Machine()
    contenders = {name: machine.contender(name, 1.0) for name in "abc"}
    measured(machine, Pace(rounds=3, least=3, rest=0.15, turn=0.02), **contenders)
    assert machine.log[:3] == ["a", "b", "c"]  # slow ones warm up once
    turns = machine.log[3:]
    assert turns[::2] == ["rest 0.15"] * 9
    assert turns[1::2] == list("abcbcacab")


def test_warming_up_is_not_counted():
    machine = Machine()
    run = machine.contender("a", 30.0, 1.0, 2.0, 4.0)
    assert measured(machine, Pace(rounds=3, least=3), a=run) == {"a": [1000.0, 2000.0, 4000.0]}


def test_a_quick_run_is_repeated_until_its_turn_is_long_enough():
    machine = Machine()
    quick, slow = machine.contender("quick", 0.004), machine.contender("slow", 0.5)
    times = measured(machine, Pace(rounds=1, least=1, rest=0.1, turn=0.02), quick=quick, slow=slow)
    first, second = " ".join(machine.log).split("rest 0.1")[1:]
    assert first.split() == ["quick"] * 5
    assert second.split() == ["slow"]
    assert [round(t, 6) for t in times["quick"]] == [4.0]


def test_the_budget_ends_it_after_the_least_number_of_rounds():
    for budget, rounds in ((0.0, 2), (35.0, 4), (1e9, 7)):
        machine = Machine()
        pace = Pace(rounds=7, least=2, budget=budget)
        assert len(measured(machine, pace, a=machine.contender("a", 10.0))["a"]) == rounds
