// Finds races: two accesses to the same bytes by different threads, one of them a write, that nothing orders.
//
// Kernels are compiled with -fsanitize=thread, which puts a call before each access; the functions that it calls are
// in instrumented.h and not ThreadSanitizer's, as only the emulator knows what its threads are and what orders them:
// barriers those that meet, releases and acquires, and fences with atomic operations, as in CUDA's memory model; a
// shuffle orders nothing. The first race ends the launch. Nothing must be in the process, and a launch gives the same
// answer each time.
#pragma once
#include <dlfcn.h>

#include "versions.h"

namespace symcell_emulator {
namespace {
const Key STATIC_SHARED = 1ull << 62, DYNAMIC_SHARED = 1ull << 61;
const char *code_begin;
unsigned *arrived, arrivals;  // at a barrier that opens

Key key_of(const volatile void *address) {
    const char *p = static_cast<const char *>(const_cast<const void *>(address));
    if (shared_begin && p >= shared_begin && p < shared_end)
        return STATIC_SHARED | Key(block->number) << 32 | Key(p - shared_begin);
    const char *dynamic = static_cast<const char *>(block->dynamic);
    if (dynamic && p >= dynamic && p < dynamic + launch->shared_bytes)
        return DYNAMIC_SHARED | Key(block->number) << 32 | Key(p - dynamic);
    return Key(p);
}

void describe_place(char *text, size_t size, Key key) {
    if (key & (STATIC_SHARED | DYNAMIC_SHARED))
        snprintf(text, size, "byte %u of %s shared memory", unsigned(key), key & STATIC_SHARED ? "static" : "dynamic");
    else
        snprintf(text, size, "0x%llx", key);
}
[[noreturn]] void race(Key key, bool writes, unsigned where, unsigned other, bool other_writes, unsigned other_where) {
    char place[64], here[24], there[24];
    describe_place(place, sizeof place, key);
    describe_line(here, sizeof here, where);
    describe_line(there, sizeof there, other_where);
    Index index = unravel(other % thread_count, launch->block);
    report("race: thread (%u, %u, %u) of block %u %s %s in %s, thread (%u, %u, %u) of block %u %s it in %s, and "
           "nothing orders the two", threadIdx.x, threadIdx.y, threadIdx.z, block->number, writes ? "writes" : "reads",
           place, here, index.x, index.y, index.z, other / thread_count, other_writes ? "wrote" : "read", there);
    for (;;) to_scheduler();
}

// The cache that __ldg() reads by keeps what it has for the whole launch, whatever barriers there are.
[[noreturn]] void not_constant(Key key, unsigned where, const char *why) {
    char place[64], here[24];
    describe_place(place, sizeof place, key);
    describe_line(here, sizeof here, where);
    report("thread (%u, %u, %u) of block %u %s %s in %s: __ldg() is for what no thread of a launch writes", threadIdx.x,
           threadIdx.y, threadIdx.z, block->number, why, place, here);
    for (;;) to_scheduler();
}

void visit(Cell &cell, Key key, bool writes, bool atomically, unsigned where, const Knowledge &k, unsigned self) {
    if (cell.writer && cell.writer - 1 != self && !(atomically && cell.atomic) &&
        seen_of(k.clock, cell.writer - 1) < cell.written)
        race(key, writes, where, cell.writer - 1, true, cell.where);
    if (!writes) {
        if (!atomically) add_reader(cell, k, self, where);
        return;
    }
    if (cell.constant) not_constant(key, where, "writes what was read by __ldg(),");
    for (unsigned i = 0; i < cell.count; i++) {
        int lane = unknown_lane(cell.readers[i], k.clock, self);
        if (lane >= 0) race(key, true, where, reader(cell.readers[i], unsigned(lane)), false, cell.readers[i].where);
    }
    cell.count = 0;
    cell.writer = self + 1;
    cell.written = k.own;
    cell.where = where;
    cell.atomic = atomically;
}

// A kernel's own stack, its parameters and built-in variables are nobody else's.
bool is_private(const volatile void *address) {
    const volatile char *p = static_cast<const volatile char *>(address);
    return (p >= fiber->stack && p < fiber->stack + STACK) || address == &dynamic_shared || address == &threadIdx ||
           address == &blockIdx || address == &blockDim || address == &gridDim;
}

void visit(const volatile void *address, size_t size, bool writes, bool atomically, unsigned where) {
    Key key = key_of(address);
    const unsigned self = me();
    const Knowledge &k = knowledge(self);
    bool words = key % 4 == 0 && size % 4 == 0;
    for (size_t done = 0; done < size;) {
        Page *page = page_of(key + done, words);
        visit(page->cells[(key + done) % 256 >> page->shift], key + done, writes, atomically, where, k, self);
        done += 1u << page->shift;
    }
}

void visit_constant(const volatile void *address, size_t size, unsigned where) {
    visit(address, size, false, false, where);
    Key key = key_of(address);
    for (size_t done = 0; done < size; done++) {
        Page *page = page_of(key + done, key % 4 == 0 && size % 4 == 0);
        Cell &cell = page->cells[(key + done) % 256 >> page->shift];
        if (cell.writer) not_constant(key + done, where, "reads by __ldg() what was written,");
        cell.constant = true;
    }
}

// ---- what the scheduler says -------------------------------------------------------------------------------------
void races_begin() {
    Dl_info info;
    bool found = dladdr(reinterpret_cast<void *>(races_begin), &info);
    code_begin = found ? static_cast<const char *>(info.dli_fbase) : nullptr;
    everyone = block_count * thread_count;
    latest = 0;
    known = static_cast<Knowledge *>(calloc(known_count(), sizeof(Knowledge)));
    arrived = static_cast<unsigned *>(calloc(known_count(), sizeof(unsigned)));
    arrivals = 0;
}
void races_block_begins(const Block *b) {
    for (unsigned i = 0; i < thread_count; i++) forget(knowledge(identity(b, i)));
}
// Threads that reach a barrier are named one by one, and then have met.
void races_arrives(const Block *b, unsigned i) { arrived[arrivals++] = identity(b, i); }
void races_met() {
    meet(arrived, arrivals);
    arrivals = 0;
}
void races_fence() { fence_clocks(knowledge(me())); }

// A load; what it finds. A volatile one finds the `last`, as the kernel itself reads it.
Bits races_load(const volatile void *address, size_t size, Bits value, int does, unsigned where, bool last = false) {
    if (is_private(address)) return value;
    visit(address, size, false, true, where);
    unsigned self = me();
    Knowledge &k = knowledge(self);
    Variable &v = variable_at(key_of(address), value);
    const Version &found = version(v, last ? v.newest : found_by(v, self, k.clock));
    learn(does & ACQUIRES ? k.clock : k.pending, found.message);
    return found.value;
}

// A write, after which the value is there; one that READS as well has found `old`.
void races_store(const volatile void *address, size_t size, Bits old, Bits value, int does, unsigned where) {
    if (is_private(address)) return;
    visit(address, size, true, true, where);
    unsigned self = me();
    Knowledge &k = knowledge(self);
    Variable &v = variable_at(key_of(address), old);
    if (does & READS) learn(does & ACQUIRES ? k.clock : k.pending, newest(v).message);
    if (value != old) add_version(v, value, self, k.own);
    v.seen[self] = (v.newest + 1) | (value == old) * LOOKED;
    if (does & RELEASES) {
        learn(newest(v).message, k.clock, self, k.own);
        k.own = ++latest;
    } else if (k.fenced) {
        learn(newest(v).message, k.fence, self, k.fenced);
    }
}

void races_constant(const volatile void *address, size_t size, unsigned where) {
    if (!is_private(address)) visit_constant(address, size, where);
}

void races_end() {
    for (unsigned i = 0; i < known_count(); i++) forget(known[i]);
    clear_variables();
    clear_shadow();
    free(known), free(arrived);
}
}  // namespace
}  // namespace symcell_emulator
