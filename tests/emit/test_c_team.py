"""The team of threads: members meet, none is lost, and what a call started is gone when it returns."""

from __future__ import annotations

import array
import ctypes
import os
import subprocess
import threading
import time
import types
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_modules import module, rendered

PARTS = """
#include <stdlib.h>

struct totals { long long n, rounds, wrong, bad, counts; long long *parts; };

/* Sums 1..n in shares, again and again: in each round all write, all meet, all read all. */
static void add(void *record, struct member *me) {
    struct totals *work = record;
    if (me->number == work->bad) fail(me);
    meet(me);
    if (failed(me)) return;
    for (long long round = 0; round < work->rounds; ++round) {
        long long sum = 0, total = 0;
        for (long long k = me->number; k < work->n; k += me->count) sum += k + 1 + round;
        work->parts[me->number] = sum;
        meet(me);
        for (long long k = 0; k < me->count; ++k) total += work->parts[k];
        const int wrong = total != work->n * (work->n + 1) / 2 + work->n * round;
        __atomic_add_fetch(&work->wrong, wrong, __ATOMIC_RELAXED);
        meet(me);
    }
    if (me->number == 0) work->counts = me->count;
}

/* Member 0 fails between two meetings: to the others that is so from the second on, however quick it was. */
static void fail_late(void *record, struct member *me) {
    long long *wrong = record;
    meet(me);
    if (me->number == 0) fail(me);
    while (!__atomic_load_n(&me->team->failing, __ATOMIC_RELAXED)) sched_yield();
    if (me->number && failed(me)) __atomic_add_fetch(wrong, 1, __ATOMIC_RELAXED);
    meet(me);
    if (!failed(me)) __atomic_add_fetch(wrong, 1, __ATOMIC_RELAXED);
}

int late(long long *record, long long threads) {
    return run_team(fail_late, record, threads);
}

/* record: n, rounds, bad; then results: how often a total was wrong, members. */
int totals(long long *record, long long threads) {
    long long parts[MOST_MEMBERS];
    struct totals work = {.n = record[0], .rounds = record[1], .bad = record[2], .parts = parts};
    const int status = run_team(add, &work, threads);
    record[3] = work.wrong;
    record[4] = work.counts;
    return status;
}
"""


def source(before: str = "", behind: str = "") -> str:
    return before + rendered("team.c") + PARTS + behind


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> types.ModuleType:
    return compiled(source(), tmp_path_factory)


def compiled(text: str, folders: pytest.TempPathFactory, flags: str = "-Wall -Wextra -Werror") -> types.ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYMCELL_CACHE", str(folders.mktemp("cache")))
        patch.setenv("SYMCELL_CFLAGS", flags)
        made = module(text, ["totals", "late"])
        try:
            made._compiler()
        except RuntimeError as error:
            pytest.skip(str(error))
        made._library("float")
    return made


def totals(made: types.ModuleType, threads: int, n: int = 1000, rounds: int = 3, bad: int = -1) -> tuple[int, int, int]:
    """The call's status, how many totals were wrong, and how many members there were."""
    record = array.array("q", [n, rounds, bad, -1, -1])
    status = made._library("float").totals(record.buffer_info()[0], threads)
    return status, record[3], record[4]


@pytest.mark.parametrize("threads", range(1, 9))
def test_every_member_sees_what_the_others_wrote_before_they_met(toy: types.ModuleType, threads: int) -> None:
    for _ in range(1000 if threads < 4 else 300):
        assert totals(toy, threads) == (0, 0, threads)


def test_many_meetings_of_more_members_than_processors(toy: types.ModuleType) -> None:
    assert totals(toy, 8, n=100, rounds=1000) == (0, 0, 8)


@pytest.mark.parametrize(("threads", "members"), [(-1, 1), (0, 1), (10**12, 256)])
def test_numbers_of_threads_that_no_team_has(toy: types.ModuleType, threads: int, members: int) -> None:
    assert totals(toy, threads, rounds=1) == (0, 0, members)


@pytest.mark.parametrize("threads", [1, 4])
def test_one_failure_is_known_to_all_and_ends_the_call(
    toy: types.ModuleType, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bad in range(threads):
        status, wrong, members = totals(toy, threads, bad=bad)
        assert (status != 0, wrong, members) == (True, 0, 0)  # nobody went on
    monkeypatch.setenv("SYMCELL_NUM_THREADS", str(threads))
    function, much = toy._library("float").totals, 10**9
    with pytest.raises(MemoryError, match="toy: there is no memory for totals's work"):
        toy._Call(function, [1000, 3, 0, 0, 0], much)()
    toy._Call(function, [1000, 3, -1, 0, 0], much)()


@pytest.mark.parametrize("threads", [1, 3])
def test_all_agree_on_whether_somebody_has_failed(toy: types.ModuleType, threads: int) -> None:
    wrong = array.array("q", [0])
    assert toy._library("float").late(wrong.buffer_info()[0], threads) != 0
    assert wrong[0] == 0


def test_fewer_threads_than_asked_for_do_all_the_work(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The system gives two threads and no more: the count is known before anybody works by it."""
    limit = """
#include <pthread.h>
static _Thread_local int given;
static int limited(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *argument) {
    return given++ % 3 == 2 ? 11 : pthread_create(thread, how, run, argument);
}
#define pthread_create limited
"""
    made = compiled(source(limit), tmp_path_factory)
    for _ in range(100):
        assert totals(made, 8) == (0, 0, 3)


def test_calls_from_several_python_threads(toy: types.ModuleType) -> None:
    found: list[tuple[int, int, int]] = []

    def call() -> None:
        found.extend(totals(toy, 3) for _ in range(100))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [(0, 0, 3)] * 400


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork.. was called")  # by JAX, where another test has imported it
def test_a_forked_child_runs_a_team(toy: types.ModuleType) -> None:
    assert totals(toy, 4) == (0, 0, 4)
    child = os.fork()
    if not child:
        os._exit(0 if totals(toy, 4) == (0, 0, 4) else 1)
    assert os.waitpid(child, 0)[1] == 0


TASKS = Path("/proc/self/task")


@pytest.mark.skipif(not TASKS.is_dir(), reason="nothing says how many threads there are")
def test_no_thread_is_left(toy: types.ModuleType) -> None:
    before = len([*TASKS.iterdir()])
    for _ in range(10):
        totals(toy, 8)
    end = time.monotonic() + 5  # the system may count a thread that has ended for a moment more
    while len([*TASKS.iterdir()]) > before:
        assert time.monotonic() < end


TSAN_MAIN = """
#include <stdio.h>
static void *caller(void *argument) {
    (void)argument;
    for (int k = 0; k < 30; ++k) {
        long long record[5] = {100, 5, k % 5 == 4 ? 2 : -1};
        if (totals(record, 4) != (record[2] == 2) || record[3]) return "wrong";
    }
    return 0;
}
int main(void) {
    pthread_t callers[2];
    int wrong = 0;
    for (int k = 0; k < 2; ++k) pthread_create(&callers[k], 0, caller, 0);
    for (int k = 0; k < 2; ++k) {
        void *found;
        pthread_join(callers[k], &found);
        wrong += found != 0;
    }
    puts(wrong ? "wrong" : "right");
    return wrong;
}
"""


def sanitized(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a program under ThreadSanitizer."""
    program = folder / "program"
    command = [*module()._compiler(), "-O1", "-g", "-std=gnu11", "-pthread", "-fsanitize=thread", "-o", str(program)]
    made = subprocess.run([*command, "-x", "c", "-"], input=text, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no ThreadSanitizer: {made.stderr.strip()[-200:]}")
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False, timeout=60)
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("ThreadSanitizer does not run on this kernel")
    return done


def test_the_thread_sanitizer_finds_nothing(tmp_path: Path, toy: types.ModuleType) -> None:
    done = sanitized(source(behind=TSAN_MAIN), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "right\n", "")


def test_the_thread_sanitizer_would_find_a_meeting_that_orders_nothing(tmp_path: Path, toy: types.ModuleType) -> None:
    """The test above can fail."""
    text = source(behind=TSAN_MAIN)
    for order in ("ACQUIRE", "RELEASE", "ACQ_REL"):
        text = text.replace(f"__ATOMIC_{order})", "__ATOMIC_RELAXED)")
    done = sanitized(text, tmp_path)
    assert "data race" in done.stderr


ENVIRONMENT = ("SYMCELL_NUM_THREADS", "OMP_NUM_THREADS")


@pytest.mark.parametrize(("values", "threads"), [
    (("3", "5"), 3), (("", "5"), 5), ((None, "4,2"), 4), ((" 2 ", None), 2), ((None, None), None), (("", ""), None),
])  # fmt: skip
def test_how_many_threads(values: Sequence[str | None], threads: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    threads_of = module()._threads
    for name, value in zip(ENVIRONMENT, values, strict=True):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    if threads is None:
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert threads_of() == threads


@pytest.mark.parametrize("name", ENVIRONMENT)
@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "1_0", " ", ",2", "9" * 5000])
def test_a_bad_number_of_threads_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    threads_of = module()._threads
    monkeypatch.delenv(ENVIRONMENT[0], raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=rf"^{name} is '{value}', expected a number of threads, 1 or more$"):
        threads_of()


def test_a_record_reaches_c_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers, NumPy's too; of arrays, written to or not, the addresses; zero for None; again at every call."""
    seen: list[Any] = []

    def function(address: int, threads: int) -> int:
        seen.append(([*(ctypes.c_longlong * 7).from_address(address)], threads))
        return 0

    monkeypatch.setenv("SYMCELL_NUM_THREADS", "5")
    plain, fixed, none = np.arange(3.0), np.arange(2), np.empty((0, 4))
    fixed.flags.writeable = False
    call = module()._Call(function, (-1, 2**62, np.int64(7), None, plain, fixed, none), 10**9)
    call()
    call()
    addresses = [a.ctypes.data for a in (plain, fixed)]
    assert [(record[:-1], threads) for record, threads in seen] == [([-1, 2**62, 7, 0, *addresses], 5)] * 2


def test_the_arrays_of_a_record_live_as_long_as_it_does() -> None:
    """Nothing else may refer to them."""
    numbers = np.arange(3.0)
    alive = weakref.ref(numbers)
    call = module()._Call(lambda address, threads: 0, [numbers], 1)
    del numbers
    assert alive() is not None
    del call
    assert alive() is None
