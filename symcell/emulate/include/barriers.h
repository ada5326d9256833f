// Opening barriers once all have arrived, and saying what is wrong where they never will. Included by runtime.cpp.
#pragma once
#ifdef SYMCELL_RACES
#include "races.h"
#else
#include "races_off.h"
#endif

#include "products.h"

namespace symcell_emulator {
namespace {
bool open_block_barrier() {
    Thread *threads = block->threads;
    if (count_threads(block, AT_BLOCK) != thread_count) return false;
    int sum = 0;
    for (unsigned i = 0; i < thread_count; i++) {
        if (threads[i].line != threads[0].line) {
            report("divergent __syncthreads(): threads of block %u wait at different barriers, in lines %u and %u",
                   block->number, threads[0].line & ~LINE, threads[i].line & ~LINE);
            return false;
        }
        sum += threads[i].value;
    }
    for (unsigned i = 0; i < thread_count; i++) {
        Operation o = threads[i].operation;
        threads[i].value = o == COUNT ? sum : o == ANY ? sum > 0 : sum == int(thread_count);
        threads[i].state = READY;
        races_arrives(block, i);
    }
    races_met();
    return moved = true;
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
    unsigned met = 0, first = unsigned(lanes - block->threads);
    for (unsigned i = 0; i < count; i++) {
        here[i] = (mask >> i & 1) && lanes[i].state == AT_WARP;
        met |= unsigned(here[i]) << i;
        sent[i] = lanes[i].bits;
        if (here[i] && sent[i]) ballot |= 1ull << i;
    }
    if (operation == PRODUCT) {
        if (met == ~0u) multiply(sent);
        else report("mma.sync in line %u needs all 32 lanes, and %d are there", lanes[__builtin_ctz(met)].line & ~LINE,
                    __builtin_popcount(met));
    }
    for (unsigned i = 0; i < count; i++) {
        if (!here[i]) continue;
        unsigned from = unsigned(lanes[i].source);
        bool valid = from < count && here[from];  // undefined in CUDA otherwise; NaN here, so that it shows
        lanes[i].bits = operation == BALLOT ? ballot : valid ? sent[from] : ~0ull;
        lanes[i].state = READY;
        if (operation == SYNC) races_arrives(block, first + i);  // the others order no memory
    }
    if (operation == SYNC) races_met();
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
            opened = moved = true;
        }
    }
    return opened;
}

void release(Block *b, State state) {
    for (unsigned i = 0; i < thread_count; i++) {
        if (b->threads[i].state != state) continue;
        b->threads[i].state = READY;
        races_arrives(b, i);
    }
}

bool open_grid_barrier(Block *all, unsigned blocks) {
    unsigned waiting = 0, first = blocks;
    unsigned line = 0;
    for (unsigned i = 0; i < blocks; i++) {
        if (all[i].finished || all[i].threads[0].state != AT_GRID) continue;
        if (!waiting++) first = i, line = all[i].threads[0].line & ~LINE;
    }
    if (waiting == 0) return false;
    if (waiting < blocks) {
        for (unsigned i = 0; i < blocks; i++)
            if (all[i].finished)
                report("divergent grid.sync() in line %u: block %u waits there and block %u has finished", line, first,
                       i);
        return false;  // others spin: let them run
    }
    for (unsigned i = 0; i < blocks; i++) release(&all[i], AT_GRID);
    races_met();
    return moved = true;
}

// Threads that have finished are not waited for.
bool open_cluster_barrier(Block *all, unsigned blocks, unsigned cluster) {
    unsigned waiting = 0;
    for (unsigned i = 0; i < blocks; i++) {
        if (cluster_of(all[i].number) != cluster) continue;
        unsigned here = count_threads(&all[i], AT_CLUSTER);
        if (here + count_threads(&all[i], DONE) != thread_count) return false;
        waiting += here;
    }
    if (waiting == 0) return false;
    for (unsigned i = 0; i < blocks; i++)
        if (cluster_of(all[i].number) == cluster) release(&all[i], AT_CLUSTER);
    races_met();
    return moved = true;
}

// ---- what never comes ----------------------------------------------------------------------------------------------
void report_stuck() {
    static const struct { State state; const char *name; } waits[] = {
        {AT_BLOCK, "__syncthreads()"}, {AT_WARP, "a warp operation"}, {AT_GRID, "grid.sync()"},
        {AT_CLUSTER, "a cluster's barrier"}};
    for (auto wait : waits) {
        for (unsigned i = 0; i < thread_count; i++) {
            if (block->threads[i].state != wait.state) continue;
            report("divergent %s in line %u: %u of the %u threads of block %u wait there, %u have finished and the "
                   "others wait elsewhere", wait.name, block->threads[i].line & ~LINE, count_threads(block, wait.state),
                   thread_count, block->number, count_threads(block, DONE));
            return;
        }
    }
}

// All that can run spins, and nothing that it waits for has changed. `blocks` are those that were started.
void report_spin(const Block *blocks, unsigned count) {
    unsigned finished = 0, i = 0, j = 0;
    for (unsigned k = 0; k < count; k++) finished += blocks[k].finished;
    auto spins = [&] { return blocks[i].threads[j].state == READY || blocks[i].threads[j].state == PAUSED; };
    while (i < count && !spins())
        if (++j == thread_count) i++, j = 0;
    if (i == count) {
        report("deadlock: blocks wait at barriers of the grid and of clusters, and none of them is complete");
        return;
    }
    const Thread *found = &blocks[i].threads[j];
    Index index = unravel(j, launch->block);
    char seen[80] = "", others[240] = "", line[24];
    describe_line(line, sizeof line, found->line);
    if (found->watched)
        snprintf(seen, sizeof seen, ", where %p stays %lld", const_cast<const void *>(found->watched),
                 (long long)found->seen);
    if (together && finished)
        snprintf(others, sizeof others, ", and %u of the %u blocks have finished", finished, count);
    if (!launch->cooperative && block_count > count)
        snprintf(others, sizeof others, "; the blocks of a plain launch run one after another, and only those of a "
                 "cluster or a cooperative launch (CuPy's enable_cooperative_groups=True) may wait for each other");
    report("deadlock: thread (%u, %u, %u) of block %u spins in %s%s, while nothing else can run%s", index.x, index.y,
           index.z, blocks[i].number, line, seen, others);
}
}  // namespace
}  // namespace symcell_emulator
