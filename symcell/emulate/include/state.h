// What a launch, its blocks and its threads are to the scheduler. Included by runtime.cpp.
#pragma once
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fibers.h"
#include "order.h"

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
    unsigned grid[3], block[3], cluster[3];
    unsigned long long shared_bytes, seed, patience;
    int cooperative, order;
};
enum Operation { SYNC, COUNT, ANY, ALL, SHUFFLE, BALLOT, PRODUCT };
typedef unsigned long long Bits;  // of a value of at most 8 bytes
enum Does { READS = 1, WRITES = 2, ACQUIRES = 4, RELEASES = 8 };
HIDDEN void *dynamic_shared;

namespace {
const unsigned LINE = 1u << 31;  // marks a line of the source; without it, a place in the compiled code
enum State : unsigned char { NEW, READY, AT_BLOCK, AT_WARP, AT_CLUSTER, AT_GRID, PAUSED, DONE };

struct Thread {
    State state;
    Operation operation;
    int value, source;
    unsigned line, mask;
    Bits bits;
    Fiber *fiber;
    const volatile void *watched;  // what it read last by an atomic operation that changed nothing, and found there
    Bits seen;
};

struct Block {
    unsigned number, started;
    Pass pass;  // the order in which its threads start
    Thread *threads;
    void *dynamic;
    char *statics;  // its static shared memory while another block of a cooperative launch runs
    bool finished;
};

// One launch at a time uses this.
const Launch *launch;
void (*thread_function)(void **);
void **arguments;
unsigned thread_count, block_count, cluster_size;
bool together;  // blocks run at the same time: all of the launch, or those of a cluster
Block *block;
Thread *thread;
unsigned long long resumed;  // how often a thread was started or resumed
bool moved;  // a thread did something else than spin, since this was last cleared
bool failed;
char reason[1024];

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

unsigned ravel(Index i, const unsigned *extent) { return i.x + extent[0] * (i.y + extent[1] * i.z); }

// The clusters of a launch have numbers, as blocks have.
Index clusters() {
    return {launch->grid[0] / launch->cluster[0], launch->grid[1] / launch->cluster[1],
            launch->grid[2] / launch->cluster[2]};
}
unsigned cluster_of(unsigned number) {
    Index all = clusters(), i = unravel(number, launch->grid);
    const unsigned extent[] = {all.x, all.y, all.z};
    return ravel({i.x / launch->cluster[0], i.y / launch->cluster[1], i.z / launch->cluster[2]}, extent);
}
unsigned block_of(unsigned cluster, unsigned member) {
    Index all = clusters(), within = unravel(member, launch->cluster);
    const unsigned extent[] = {all.x, all.y, all.z};
    Index i = unravel(cluster, extent);
    return ravel({i.x * launch->cluster[0] + within.x, i.y * launch->cluster[1] + within.y,
                  i.z * launch->cluster[2] + within.z}, launch->grid);
}

size_t static_bytes() { return shared_begin ? size_t(shared_end - shared_begin) : 0; }

void select_thread(unsigned i) {
    thread = &block->threads[i];
    threadIdx = unravel(i, launch->block);
}

void describe_line(char *text, size_t size, unsigned where) {
    snprintf(text, size, where & LINE ? "line %u" : "@%x", where & ~LINE);
}

unsigned count_threads(const Block *of, State state) {
    unsigned n = 0;
    for (unsigned i = 0; i < thread_count; i++) n += of->threads[i].state == state;
    return n;
}
}  // namespace
}  // namespace symcell_emulator
