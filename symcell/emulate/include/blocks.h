// Running the blocks of a launch: one after another, cluster by cluster, or all together. Included by runtime.cpp.
#pragma once
#include "barriers.h"

namespace symcell_emulator {
namespace {
const unsigned MOST_ROUNDS = 10000;  // in which all that runs spins: what a loop waits for then never comes

// The body of every fiber: start the threads that are left, then be idle until there are new ones.
void start_threads() {
    fiber_entered();
    for (;;) {
        while (block->started < thread_count) {
            select_thread(block->pass.at(block->started++));
            resumed++;
            thread_function(arguments);
            thread->state = DONE;
            moved = true;
        }
        become_idle();
    }
}

void wait_as(State state, Operation operation, unsigned line) {
    thread->state = state;
    thread->operation = operation;
    thread->line = line;
    thread->fiber = fiber;
    Thread *self = thread;
    to_scheduler();
    self->state = NEW;  // running: neither waiting nor done
}

// Makes `next` the running block; shared memory never written reads as NaN.
void select_block(Block *next) {
    if (block && block != next && block->statics && !block->finished)
        memcpy(block->statics, shared_begin, static_bytes());
    bool other = block != next;
    block = next;
    blockIdx = unravel(next->number, launch->grid);
    dynamic_shared = next->dynamic;
    if (next->started == 0) {
        if (static_bytes()) memset(shared_begin, 0xff, static_bytes());
        if (launch->shared_bytes) memset(next->dynamic, 0xff, launch->shared_bytes);
    } else if (next->statics && other) {
        memcpy(shared_begin, next->statics, static_bytes());
    }
}

bool resume_threads(State state) {
    bool ran = false;
    Pass pass = pass_over(thread_count);
    for (unsigned k = 0; k < thread_count && !failed; k++) {
        unsigned i = pass.at(k);
        Thread *next = &block->threads[i];
        if (next->state != state) continue;
        const volatile void *watched = next->watched;
        unsigned long long seen = next->seen;
        select_thread(i);
        ran = true;
        resumed++;
        resume(next->fiber);
        if (next->state != PAUSED || next->watched != watched || next->seen != seen) moved = true;
    }
    return ran;
}

// Lets the spinning threads of the running block look again. False where there are none.
bool wake_spinning() {
    unsigned spinning = 0;
    for (unsigned i = 0; i < thread_count; i++) {
        if (block->threads[i].state != PAUSED) continue;
        block->threads[i].state = READY;
        spinning++;
    }
    return spinning > 0;
}

// What the running block waits for comes from outside of it.
bool waits_for_others() {
    unsigned at_cluster = count_threads(block, AT_CLUSTER);
    return count_threads(block, AT_GRID) == thread_count ||
           (at_cluster && at_cluster + count_threads(block, DONE) == thread_count);
}

// Runs one block until it has finished or waits for others; where blocks run together, also until those of its threads
// that could run spin.
void advance(Block *next) {
    select_block(next);
    while (block->started < thread_count && !failed) resume(idle_fiber(start_threads));
    for (unsigned rounds = 0; !failed;) {
        if (resume_threads(READY) || open_warps()) continue;
        if (open_block_barrier()) {
            if (together && gives_way()) return;
            continue;
        }
        block->finished = count_threads(block, DONE) == thread_count;
        if (block->finished || waits_for_others()) return;
        if (!failed && !wake_spinning()) report_stuck();
        if (together) return;
        rounds = moved ? 0 : rounds + 1;
        moved = false;
        if (rounds > MOST_ROUNDS) report_spin(block, 1);
    }
}

// Exactly as large as asked for, so that ASan sees a write past its end.
void *allocate(size_t bytes) {
    void *memory = nullptr;
    if (bytes && posix_memalign(&memory, 1024, bytes)) report("out of memory for shared memory");
    return memory;
}

void init_block(Block *b, unsigned number) {
    thread = nullptr;
    b->number = number;
    b->started = 0;
    b->finished = false;
    b->pass = pass_over(thread_count);
    memset(b->threads, 0, thread_count * sizeof(Thread));
    races_block_begins(b);
}

void run_one_by_one() {
    Block only = {};
    only.threads = static_cast<Thread *>(calloc(thread_count, sizeof(Thread)));
    only.dynamic = allocate(launch->shared_bytes);
    Pass pass = pass_over(block_count);
    for (unsigned i = 0; i < block_count && !failed; i++) {
        init_block(&only, pass.at(i));
        advance(&only);
    }
    free(only.threads);
    free(only.dynamic);
}

// Runs blocks that may wait for each other.
void run_together(Block *all, unsigned blocks) {
    unsigned rounds = 0;
    for (unsigned finished = 0; finished < blocks && !failed;) {
        finished = 0;
        moved = false;
        Pass pass = pass_over(blocks);
        for (unsigned k = 0; k < blocks && !failed; k++) {
            Block *b = &all[pass.at(k)];
            if (!b->finished) advance(b);
            finished += b->finished;
        }
        if (failed || finished == blocks) return;
        open_grid_barrier(all, blocks);
        for (unsigned i = 0; i < blocks; i++) open_cluster_barrier(all, blocks, cluster_of(all[i].number));
        rounds = moved ? 0 : rounds + 1;
        if (!failed && rounds > MOST_ROUNDS) report_spin(all, blocks);
    }
}

// Runs all blocks together, or one cluster after another.
void run_in_groups(unsigned size) {
    Block *all = static_cast<Block *>(calloc(size, sizeof(Block)));
    for (unsigned i = 0; i < size; i++) {
        all[i].threads = static_cast<Thread *>(calloc(thread_count, sizeof(Thread)));
        all[i].dynamic = allocate(launch->shared_bytes);
        all[i].statics = static_cast<char *>(allocate(static_bytes()));
    }
    Pass pass = pass_over(block_count / size);
    for (unsigned k = 0; k < block_count / size && !failed; k++) {
        block = nullptr;
        for (unsigned i = 0; i < size; i++) init_block(&all[i], size == cluster_size ? block_of(pass.at(k), i) : i);
        run_together(all, size);
    }
    for (unsigned i = 0; i < size; i++) free(all[i].threads), free(all[i].dynamic), free(all[i].statics);
    free(all);
}
}  // namespace
}  // namespace symcell_emulator
