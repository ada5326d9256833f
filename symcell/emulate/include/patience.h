// Ends a launch in which one thread runs on and on without letting others run: a loop without end, or one that waits
// for a volatile number without __nanosleep(), which only a search for races sees. Included by runtime.cpp. On Linux
// alone.
//
// A timer of this thread of the operating system counts the time that it computes. Its signal finds the library that it
// belongs to in its value, as libraries share the handler.
#pragma once
#include "blocks.h"

#ifdef __linux__
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace symcell_emulator {
namespace {
const int PATIENCE_SIGNAL = SIGRTMAX - 3;
pthread_t runner;
timer_t timer;
bool timed;
unsigned long long resumed_before;

void call(int, siginfo_t *info, void *) { reinterpret_cast<void (*)()>(info->si_value.sival_ptr)(); }

// Nothing of the kernel's is lost: the launch has failed, and its fibers are freed.
void tick() {
    bool runs = timed && pthread_equal(runner, pthread_self()) && thread && thread->state == NEW;
    bool still = runs && resumed == resumed_before;
    resumed_before = resumed;
    if (!still) return;
    report("thread (%u, %u, %u) of block %u has run for %llu s: its loop has no end, or waits for another thread and "
           "lets none run, as __nanosleep() and atomic operations do", threadIdx.x, threadIdx.y, threadIdx.z,
           block->number, launch->patience);
    for (;;) to_scheduler();
}

void start_timer() {
    struct sigaction action = {};
    action.sa_sigaction = call;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART;
    sigaction(PATIENCE_SIGNAL, &action, nullptr);
    struct sigevent event = {};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = PATIENCE_SIGNAL;
    event.sigev_value.sival_ptr = reinterpret_cast<void *>(tick);
    event._sigev_un._tid = int(syscall(SYS_gettid));
    runner = pthread_self();
    resumed_before = resumed - 1;
    timed = launch->patience && timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) == 0;
    struct itimerspec every = {};
    every.it_value.tv_sec = every.it_interval.tv_sec = time_t(launch->patience);
    if (timed) timer_settime(timer, 0, &every, nullptr);
}
void stop_timer() {
    if (timed) timer_delete(timer);
    timed = false;
    thread = nullptr;
}
}  // namespace
}  // namespace symcell_emulator
#else
namespace symcell_emulator {
namespace {
void start_timer() {}
void stop_timer() {}
}  // namespace
}  // namespace symcell_emulator
#endif
