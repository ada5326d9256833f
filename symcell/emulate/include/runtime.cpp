// Runs the threads of a launch on the host: blocks one after another, the threads of a block as fibers.
//
// A fiber starts threads one after another and calls the kernel for each. Only when a thread waits at a barrier does
// the fiber stay with it; another fiber then starts the threads that are left. So a kernel without a barrier runs as
// a plain loop on one fiber, and nothing needs to know beforehand whether a kernel synchronises.
//
// When no thread can run, either a barrier is complete and opens, or the kernel is wrong: it would hang or be undefined
// on a GPU. Here the launch fails with a message that names the barrier.
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fibers.h"

#define HIDDEN __attribute__((visibility("hidden")))
#ifdef __APPLE__
extern char shared_begin[] __asm("section$start$__DATA$symcell_shared");
extern char shared_end[] __asm("section$end$__DATA$symcell_shared");
#else  // weak: a kernel without a static __shared__ variable has no such section
extern "C" HIDDEN __attribute__((weak)) char __start_symcell_shared[], __stop_symcell_shared[];
#define shared_begin __start_symcell_shared
#define shared_end __stop_symcell_shared
#endif

struct Index { unsigned x, y, z; };  // the layout of both uint3 and dim3
HIDDEN Index threadIdx, blockIdx, blockDim, gridDim;

namespace symcell_emulator {
struct Launch {  // as in cuda_host.h
    unsigned grid[3], block[3];
    unsigned long long shared_bytes;
    int cooperative, reversed;
};
enum Operation { SYNC, COUNT, ANY, ALL, SHUFFLE, BALLOT };
HIDDEN void *dynamic_shared;

namespace {
const unsigned MOST_PAUSES = 1000000;  // between two barriers: more means that what a loop spins for never comes
enum State : unsigned char { NEW, READY, AT_BLOCK, AT_WARP, AT_GRID, PAUSED, DONE };

struct Thread {
    State state;
    Operation operation;
    int line, value, source;
    unsigned mask;
    unsigned long long bits;
    Fiber *fiber;
};

struct Block {
    unsigned number, started;
    Thread *threads;
    void *dynamic;
    char *statics;  // its static shared memory while another block of a cooperative launch runs
    bool finished;
};

// One launch at a time uses this.
pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
const Launch *launch;
void (*thread_function)(void **);
void **arguments;
unsigned thread_count;
Block *block;
Thread *thread;
unsigned pauses;
bool failed;
char reason[512];

void report(const char *format, ...) {
    if (failed) return;  // the first failure is the cause
    failed = true;
    va_list list;
    va_start(list, format);
    vsnprintf(reason, sizeof reason, format, list);
    va_end(list);
}

Index unravel(unsigned long long i, const unsigned *extent) {
    return {unsigned(i % extent[0]), unsigned(i / extent[0] % extent[1]), unsigned(i / extent[0] / extent[1])};
}

// ---- threads ----------------------------------------------------------------------------------------------------
void select_thread(unsigned i) {
    thread = &block->threads[i];
    threadIdx = unravel(i, launch->block);
}

// The body of every fiber: start the threads that are left, then be idle until there are new ones.
void start_threads() {
    fiber_entered();
    for (;;) {
        while (block->started < thread_count) {
            unsigned i = block->started++;
            select_thread(launch->reversed ? thread_count - 1 - i : i);
            thread_function(arguments);
            thread->state = DONE;
        }
        become_idle();
    }
}

void wait_as(State state, Operation operation, int line) {
    thread->state = state;
    thread->operation = operation;
    thread->line = line;
    thread->fiber = fiber;
    Thread *self = thread;
    to_scheduler();
    self->state = NEW;  // running: neither waiting nor done
}

// ---- opening barriers --------------------------------------------------------------------------------------------
unsigned count_threads(State state) {
    unsigned n = 0;
    for (unsigned i = 0; i < thread_count; i++) n += block->threads[i].state == state;
    return n;
}

bool open_block_barrier() {
    Thread *threads = block->threads;
    if (count_threads(AT_BLOCK) != thread_count) return false;
    int sum = 0;
    for (unsigned i = 0; i < thread_count; i++) {
        if (threads[i].line != threads[0].line) {
            report("divergent __syncthreads(): threads of block %u wait at different barriers, in lines %d and %d",
                   block->number, threads[0].line, threads[i].line);
            return false;
        }
        sum += threads[i].value;
    }
    for (unsigned i = 0; i < thread_count; i++) {
        Operation o = threads[i].operation;
        threads[i].value = o == COUNT ? sum : o == ANY ? sum > 0 : sum == int(thread_count);
        threads[i].state = READY;
    }
    pauses = 0;
    return true;
}

// Lanes that a mask names and that have finished, or never existed, are not waited for.
bool warp_complete(Thread *lanes, unsigned count, unsigned mask, Operation operation) {
    for (unsigned i = 0; i < count; i++) {
        if (!(mask >> i & 1) || lanes[i].state == DONE) continue;
        if (lanes[i].state != AT_WARP || lanes[i].mask != mask || lanes[i].operation != operation) return false;
    }
    return true;
}

void open_warp(Thread *lanes, unsigned count, unsigned mask, Operation operation) {
    unsigned long long sent[32], ballot = 0;
    bool here[32] = {};
    for (unsigned i = 0; i < count; i++) {
        here[i] = (mask >> i & 1) && lanes[i].state == AT_WARP;
        sent[i] = lanes[i].bits;
        if (here[i] && sent[i]) ballot |= 1ull << i;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!here[i]) continue;
        unsigned from = unsigned(lanes[i].source);
        bool valid = from < count && here[from];  // undefined in CUDA otherwise; NaN here, so that it shows
        lanes[i].bits = operation == BALLOT ? ballot : valid ? sent[from] : ~0ull;
        lanes[i].state = READY;
    }
}

bool open_warps() {
    bool opened = false;
    for (unsigned first = 0; first < thread_count; first += 32) {
        unsigned count = thread_count - first < 32 ? thread_count - first : 32;
        Thread *lanes = block->threads + first;
        for (unsigned i = 0; i < count; i++) {
            if (lanes[i].state != AT_WARP) continue;
            unsigned mask = lanes[i].mask;
            Operation operation = lanes[i].operation;
            if (!warp_complete(lanes, count, mask, operation)) continue;
            open_warp(lanes, count, mask, operation);
            opened = true;
        }
    }
    return opened;
}

void report_stuck() {
    static const struct { State state; const char *name; } waits[] = {
        {AT_BLOCK, "__syncthreads()"}, {AT_WARP, "a warp operation"}, {AT_GRID, "grid.sync()"}};
    for (auto wait : waits) {
        for (unsigned i = 0; i < thread_count; i++) {
            if (block->threads[i].state != wait.state) continue;
            report("divergent %s in line %d: %u of the %u threads of block %u wait there, %u have finished and the "
                   "others wait elsewhere", wait.name, block->threads[i].line, count_threads(wait.state), thread_count,
                   block->number, count_threads(DONE));
            return;
        }
    }
}

// ---- running blocks ----------------------------------------------------------------------------------------------
size_t static_bytes() { return shared_begin ? size_t(shared_end - shared_begin) : 0; }

// Makes `next` the running block; shared memory never written reads as NaN.
void select_block(Block *next) {
    if (block && block != next && block->statics && !block->finished)
        memcpy(block->statics, shared_begin, static_bytes());
    block = next;
    blockIdx = unravel(next->number, launch->grid);
    dynamic_shared = next->dynamic;
    if (next->started == 0) {
        if (static_bytes()) memset(shared_begin, 0xff, static_bytes());
        if (launch->shared_bytes) memset(next->dynamic, 0xff, launch->shared_bytes);
    } else if (next->statics) {
        memcpy(shared_begin, next->statics, static_bytes());
    }
}

bool resume_threads(State state) {
    bool ran = false;
    for (unsigned k = 0; k < thread_count && !failed; k++) {
        unsigned i = launch->reversed ? thread_count - 1 - k : k;
        if (block->threads[i].state != state) continue;
        select_thread(i);
        ran = true;
        resume(thread->fiber);
    }
    return ran;
}

// Runs one block until it has finished, or until all of its threads wait at grid.sync().
void advance(Block *next) {
    select_block(next);
    while (block->started < thread_count && !failed) resume(idle_fiber(start_threads));
    while (!failed) {
        if (resume_threads(READY) || open_warps() || open_block_barrier()) continue;
        if (count_threads(DONE) == thread_count) block->finished = true;
        if (block->finished || count_threads(AT_GRID) == thread_count) return;
        // A thread that spins may wait for another block: then leave this one, with its spinning threads ready.
        if (count_threads(PAUSED)) {
            for (unsigned i = 0; i < thread_count; i++)
                if (block->threads[i].state == PAUSED) block->threads[i].state = READY;
            if (launch->cooperative) return;
            continue;
        }
        if (!failed) report_stuck();
    }
}

void *allocate(size_t bytes) {
    void *memory = bytes ? aligned_alloc(128, (bytes + 127) / 128 * 128) : nullptr;
    if (bytes && !memory) report("out of memory for shared memory");
    return memory;
}

void init_block(Block *b, unsigned number) {
    b->number = number;
    b->started = 0;
    b->finished = false;
    memset(b->threads, 0, thread_count * sizeof(Thread));
}

void run_one_by_one(unsigned blocks) {
    Block only = {};
    only.threads = static_cast<Thread *>(calloc(thread_count, sizeof(Thread)));
    // Exactly as large as asked for, so that ASan sees a write past its end.
    void *memory = nullptr;
    if (launch->shared_bytes && posix_memalign(&memory, 128, launch->shared_bytes)) report("out of memory");
    only.dynamic = memory;
    for (unsigned i = 0; i < blocks && !failed; i++) {
        init_block(&only, launch->reversed ? blocks - 1 - i : i);
        advance(&only);
    }
    free(only.threads);
    free(memory);
}

bool open_grid_barrier(Block *all, unsigned blocks) {
    unsigned waiting = 0, first = blocks;
    int line = 0;
    for (unsigned i = 0; i < blocks; i++) {
        if (all[i].finished || all[i].threads[0].state != AT_GRID) continue;
        if (!waiting++) first = i, line = all[i].threads[0].line;
    }
    if (waiting == 0) return false;
    if (waiting < blocks) {
        for (unsigned i = 0; i < blocks; i++)
            if (all[i].finished)
                report("divergent grid.sync() in line %d: block %u waits there and block %u has finished", line, first, i);
        return false;  // others spin: let them run
    }
    for (unsigned i = 0; i < blocks; i++)
        for (unsigned j = 0; j < thread_count; j++) all[i].threads[j].state = READY;
    return true;
}

void run_together(unsigned blocks) {
    Block *all = static_cast<Block *>(calloc(blocks, sizeof(Block)));
    for (unsigned i = 0; i < blocks; i++) {
        all[i].threads = static_cast<Thread *>(calloc(thread_count, sizeof(Thread)));
        all[i].dynamic = allocate(launch->shared_bytes);
        all[i].statics = static_cast<char *>(allocate(static_bytes()));
        init_block(&all[i], i);
    }
    for (unsigned finished = 0; finished < blocks && !failed;) {
        finished = 0;
        for (unsigned k = 0; k < blocks && !failed; k++) {
            Block *b = &all[launch->reversed ? blocks - 1 - k : k];
            if (!b->finished && !(b->started && b->threads[0].state == AT_GRID)) advance(b);
            finished += b->finished;
        }
        if (!failed && finished < blocks) open_grid_barrier(all, blocks);
    }
    for (unsigned i = 0; i < blocks; i++) free(all[i].threads), free(all[i].dynamic), free(all[i].statics);
    free(all);
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
    wait_as(AT_BLOCK, operation, line);
    return self->value;
}

HIDDEN unsigned long long warp_exchange(Operation operation, unsigned mask, unsigned long long bits, int source, int line) {
    Thread *self = thread;
    unsigned lane = unsigned(self - block->threads) % 32;
    if (!(mask >> lane & 1)) fail("a warp operation's mask leaves out the thread that calls it", line);
    self->mask = mask;
    self->bits = bits;
    self->source = source;
    wait_as(AT_WARP, operation, line);
    return self->bits;
}

HIDDEN void grid_barrier(int line) {
    if (!launch->cooperative) fail("grid.sync() in a kernel compiled without enable_cooperative_groups=True", line);
    wait_as(AT_GRID, SYNC, line);
}

HIDDEN void pause() {
    if (++pauses > MOST_PAUSES) fail("a loop spins without end on __nanosleep()", 0);
    wait_as(PAUSED, SYNC, 0);
}

// Returns 0, or 1 with a message: what the kernel did wrong.
HIDDEN int run(const Launch *what, void (*function)(void **), void **args, char *message, size_t message_size) {
    pthread_mutex_lock(&lock);
    launch = what;
    thread_function = function;
    arguments = args;
    failed = false;
    pauses = 0;
    block = nullptr;
    thread_count = what->block[0] * what->block[1] * what->block[2];
    blockDim = {what->block[0], what->block[1], what->block[2]};
    gridDim = {what->grid[0], what->grid[1], what->grid[2]};
    unsigned blocks = what->grid[0] * what->grid[1] * what->grid[2];
    what->cooperative ? run_together(blocks) : run_one_by_one(blocks);
    release_fibers(failed);
    if (failed) snprintf(message, message_size, "%s", reason);
    int code = failed;
    pthread_mutex_unlock(&lock);
    return code;
}
}  // namespace symcell_emulator
