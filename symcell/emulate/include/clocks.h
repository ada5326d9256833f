// What each thread knows to have happened: vector clocks. Included by races.h.
//
// Every access carries its thread's time, `own`, which moves on where the thread lets others know what it did: at
// barriers, fences and releases. An access of thread t at time e happened before what thread u does now if u's clock
// has at least e for t. Threads that met at a barrier share one clock: a step costs one for a block, not one for a
// thread.
#pragma once
#include "state.h"

namespace symcell_emulator {
namespace {
typedef unsigned Time;

struct Clock {
    int owners;
    Time at[];  // of each thread of the launch
};

struct Knowledge {
    Clock *clock;    // null: nothing of others
    Time own;
    Clock *fence;    // what was known at the last __threadfence(), at which it was `fenced`: atomic writes hand it on
    Time fenced;
    Clock *pending;  // what atomic reads found: the next __threadfence() makes it known
};

unsigned everyone;  // threads of the launch
Knowledge *known;   // of all of them, or, in a plain launch, of those of the block that runs
Time latest;

unsigned identity(const Block *b, unsigned i) { return b->number * thread_count + i; }
Knowledge &knowledge(unsigned who) { return known[together ? who : who % thread_count]; }
unsigned known_count() { return together ? everyone : thread_count; }
unsigned me() { return identity(block, unsigned(thread - block->threads)); }
Time seen_of(const Clock *clock, unsigned who) { return clock ? clock->at[who] : 0; }

Clock *keep(Clock *clock) {
    if (clock) clock->owners++;
    return clock;
}
void drop(Clock *&clock) {
    if (clock && --clock->owners == 0) free(clock);
    clock = nullptr;
}

// Makes a clock one that nobody else has, so that it can be written.
void own_alone(Clock *&clock) {
    if (clock && clock->owners == 1) return;
    size_t bytes = sizeof(Clock) + everyone * sizeof(Time);
    Clock *made = static_cast<Clock *>(calloc(1, bytes));
    if (clock) memcpy(made, clock, bytes);
    drop(clock);
    made->owners = 1;
    clock = made;
}

void learn(Clock *&clock, Clock *other) {
    if (!other || clock == other) return;
    if (!clock) {
        clock = keep(other);
        return;
    }
    for (unsigned i = 0; i < everyone; i++) {
        if (other->at[i] <= clock->at[i]) continue;
        own_alone(clock);
        clock->at[i] = other->at[i];
    }
}

void learn(Clock *&clock, Clock *other, unsigned who, Time time) {
    learn(clock, other);
    if (seen_of(clock, who) >= time) return;
    own_alone(clock);
    clock->at[who] = time;
}

// Some threads have met at a barrier.
void meet(const unsigned *who, unsigned count) {
    Clock *all = nullptr, *last = nullptr;
    for (unsigned i = 0; i < count; i++) {
        Knowledge &k = knowledge(who[i]);
        if (k.clock != last) learn(all, last = k.clock);
    }
    own_alone(all);
    for (unsigned i = 0; i < count; i++)
        if (knowledge(who[i]).own > all->at[who[i]]) all->at[who[i]] = knowledge(who[i]).own;
    latest++;
    for (unsigned i = 0; i < count; i++) {
        Knowledge &k = knowledge(who[i]);
        drop(k.clock);
        k.clock = keep(all);
        k.own = latest;
    }
    drop(all);
}

void fence_clocks(Knowledge &k) {
    learn(k.clock, k.pending);
    drop(k.pending);
    drop(k.fence);
    k.fence = keep(k.clock);
    k.fenced = k.own;
    k.own = ++latest;
}

void forget(Knowledge &k) {
    drop(k.clock), drop(k.fence), drop(k.pending);
    k.own = ++latest;
    k.fenced = 0;
}
}  // namespace
}  // namespace symcell_emulator
