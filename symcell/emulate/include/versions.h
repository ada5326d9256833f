// What was written to each address by atomic operations, one version after another. Included by races.h.
//
// A load need not find the newest version, only one that is not older than what its thread knows of or has seen. Here
// it finds the oldest such, and the next when it looks again: so it learns what the thread that it waited for had
// done, and nothing of what that one has done since, and a race does not hide behind a later meeting of the two.
#pragma once
#include "shadow.h"

namespace symcell_emulator {
namespace {
const unsigned KEPT = 64, LOOKED = 1u << 31;

struct Version {
    Bits value;
    Clock *message;  // what a thread learns that reads this version
    unsigned writer;
    Time written;
};

struct Variable {
    Key key;
    Version *versions;  // the last KEPT
    unsigned newest;    // its number; the first has 0
    unsigned *seen;     // by thread: 1 + the version that it wrote, or has looked at
};
Table<Variable> variables;

Version &version(const Variable &v, unsigned number) { return v.versions[number % KEPT]; }
Version &newest(const Variable &v) { return version(v, v.newest); }

void add_version(Variable &v, Bits value, unsigned writer, Time written) {
    Clock *message = newest(v).message;
    v.newest++;
    drop(newest(v).message);
    newest(v) = {value, keep(message), writer, written};
}

// The variable, to which something else than atomic operations may have been written, too.
Variable &variable_at(Key key, Bits value) {
    Variable &v = *variables.find(key);
    if (!v.versions) {
        v.versions = static_cast<Version *>(calloc(KEPT, sizeof(Version)));
        v.seen = static_cast<unsigned *>(calloc(everyone, sizeof(unsigned)));
        newest(v) = {value, nullptr, ~0u, 0};
    }
    if (newest(v).value != value) add_version(v, value, ~0u, 0);
    return v;
}

// The version that a load finds.
unsigned found_by(Variable &v, unsigned self, const Clock *clock) {
    unsigned last = v.seen[self] & ~LOOKED, next = last ? v.seen[self] & LOOKED ? last : last - 1 : 0;
    unsigned oldest = v.newest < KEPT ? 0 : v.newest - KEPT + 1;
    if (next < oldest) next = oldest;
    if (next > v.newest) next = v.newest;
    for (unsigned i = v.newest; i > next; i--) {
        const Version &each = version(v, i);
        if (each.writer != ~0u && seen_of(clock, each.writer) >= each.written) next = i;
    }
    v.seen[self] = (next + 1) | LOOKED;
    return next;
}

void clear_variables() {
    for (size_t i = 0; i < variables.room; i++) {
        Variable &v = variables.entries[i];
        for (unsigned j = 0; v.versions && j < KEPT; j++) drop(v.versions[j].message);
        free(v.versions), free(v.seen);
    }
    variables.clear();
}
}  // namespace
}  // namespace symcell_emulator
