// Runs the threads of a launch on the host: as fibers, which one thread of the operating system switches between.
//
// A fiber starts threads one after another and calls the kernel for each. Only when a thread waits at a barrier does
// the fiber stay with it; another fiber then starts the threads that are left. So a kernel without a barrier runs as
// a plain loop on one fiber, and nothing needs to know beforehand whether a kernel synchronises.
//
// When no thread can run, either a barrier is complete and opens, or the kernel is wrong: it would hang or be undefined
// on a GPU. Here the launch fails with a message that names the barrier. The same holds where all that runs spins.
#include <pthread.h>

#include "patience.h"

namespace symcell_emulator {
namespace {
pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
unsigned long long ticks;

// A thread that reads the same twice spins: then others run.
void look(const volatile void *address, unsigned long long value, unsigned where) {
    bool again = thread->watched == address && thread->seen == value;
    thread->watched = address;
    thread->seen = value;
    if (again) wait_as(PAUSED, SYNC, where);
}
}  // namespace

// ---- what kernels call (declared in cuda_host.h) -------------------------------------------------------------------
[[noreturn]] HIDDEN void fail(const char *why, int line) {
    report("%s in line %d, thread (%u, %u, %u) of block %u", why, line, threadIdx.x, threadIdx.y, threadIdx.z,
           block->number);
    for (;;) to_scheduler();
}

HIDDEN int block_barrier(Operation operation, int value, int line) {
    Thread *self = thread;
    self->value = value;
    wait_as(AT_BLOCK, operation, LINE | unsigned(line));
    return self->value;
}

HIDDEN Bits warp_exchange(Operation operation, unsigned mask, Bits bits, int source, int line) {
    Thread *self = thread;
    unsigned lane = unsigned(self - block->threads) % 32;
    if (!(mask >> lane & 1)) fail("a warp operation's mask leaves out the thread that calls it", line);
    self->mask = mask;
    self->bits = bits;
    self->source = source;
    wait_as(AT_WARP, operation, LINE | unsigned(line));
    return self->bits;
}

HIDDEN void grid_barrier(int line) {
    if (!launch->cooperative) fail("grid.sync() in a kernel compiled without enable_cooperative_groups=True", line);
    wait_as(AT_GRID, SYNC, LINE | unsigned(line));
}

HIDDEN void cluster_barrier(int line) { wait_as(AT_CLUSTER, SYNC, LINE | unsigned(line)); }

HIDDEN void pause(int line) { wait_as(PAUSED, SYNC, LINE | unsigned(line)); }

HIDDEN Bits atomic_load(const volatile void *address, size_t size, Bits value, int does, int line) {
    value = races_load(address, size, value, does, LINE | unsigned(line));
    look(address, value, LINE | unsigned(line));
    return value;
}

HIDDEN void atomic_store(const volatile void *address, size_t size, Bits old, Bits value, int does, int line) {
    races_store(address, size, old, value, does, LINE | unsigned(line));
    if (value != old) thread->watched = nullptr;
    else if (does & READS) look(address, value, LINE | unsigned(line));
}

HIDDEN void fence() { races_fence(); }

HIDDEN void constant(const volatile void *p, size_t size, int line) { races_constant(p, size, LINE | unsigned(line)); }

// A clock that only runs where somebody looks: a loop that waits for a time ends, and others run meanwhile.
HIDDEN unsigned long long clock_ticks(int line) {
    pause(line);
    return ticks += 100;
}

// Returns 0, or 1 with a message: what the kernel did wrong.
HIDDEN int run(const Launch *what, void (*function)(void **), void **args, char *message, size_t message_size) {
    pthread_mutex_lock(&lock);
    launch = what;
    thread_function = function;
    arguments = args;
    failed = false;
    ticks = 0;
    block = nullptr;
    set_order(what->order, what->seed);
    thread_count = what->block[0] * what->block[1] * what->block[2];
    blockDim = {what->block[0], what->block[1], what->block[2]};
    gridDim = {what->grid[0], what->grid[1], what->grid[2]};
    block_count = what->grid[0] * what->grid[1] * what->grid[2];
    cluster_size = what->cluster[0] * what->cluster[1] * what->cluster[2];
    together = what->cooperative || cluster_size > 1;
    races_begin();
    start_timer();
    together ? run_in_groups(what->cooperative ? block_count : cluster_size) : run_one_by_one();
    stop_timer();
    races_end();
    release_fibers(failed);
    if (failed) snprintf(message, message_size, "%s", reason);
    int code = failed;
    pthread_mutex_unlock(&lock);
    return code;
}
}  // namespace symcell_emulator

#ifdef SYMCELL_RACES
#include "instrumented.h"
#endif
