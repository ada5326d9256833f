// Who read and wrote each byte of memory last: the shadow of races.h.
//
// A page of 256 bytes has a cell for 4 bytes, and one for each byte once an access is smaller or not aligned. Readers
// are kept by warp: those lanes that read at one time. Who reads after them, knowing of it, takes their place.
#pragma once
#include "clocks.h"

namespace symcell_emulator {
namespace {
typedef unsigned long long Key;  // an address, or a place in the shared memory of one block

struct Readers {
    unsigned warp, lanes, where;
    Time time;
};

struct Cell {
    unsigned writer, where;  // writer + 1, 0 for none
    Time written;
    bool atomic, constant;  // constant: read by __ldg()
    unsigned char count, room;
    Readers *readers;
};

struct Page {
    Key key;
    unsigned shift;
    Cell *cells;
};

// Open addressing; entries are never removed.
template <class Entry> struct Table {
    Entry *entries;
    size_t room, used;
    static size_t hash(Key key) { return size_t((key * 0x9e3779b97f4a7c15ull) >> 20); }
    Entry *find(Key key) {  // keys are never 0
        if (2 * used >= room) grow();
        size_t i = hash(key) & (room - 1);
        while (entries[i].key && entries[i].key != key) i = (i + 1) & (room - 1);
        if (!entries[i].key) entries[i].key = key, used++;
        return &entries[i];
    }
    void grow() {
        Entry *old = entries;
        size_t count = room;
        room = room ? 2 * room : 256;
        used = 0;
        entries = static_cast<Entry *>(calloc(room, sizeof(Entry)));
        for (size_t i = 0; i < count; i++)
            if (old[i].key) *find(old[i].key) = old[i];
        free(old);
    }
    void clear() {
        free(entries);
        entries = nullptr;
        room = used = 0;
    }
};
Table<Page> pages;

// A cell for each byte in place of one for four.
void split(Page *page) {
    Cell *fine = static_cast<Cell *>(calloc(256, sizeof(Cell)));
    for (unsigned i = 0; i < 256; i++) {
        fine[i] = page->cells[i / 4];
        if (!fine[i].readers) continue;
        fine[i].readers = static_cast<Readers *>(malloc(fine[i].room * sizeof(Readers)));
        memcpy(fine[i].readers, page->cells[i / 4].readers, fine[i].count * sizeof(Readers));
    }
    for (unsigned i = 0; i < 64; i++) free(page->cells[i].readers);
    free(page->cells);
    page->cells = fine;
    page->shift = 0;
}

Page *page_of(Key key, bool words) {
    Page *page = pages.find((key >> 8) + 1);
    if (!page->cells) {
        page->shift = 2;
        page->cells = static_cast<Cell *>(calloc(64, sizeof(Cell)));
    }
    if (!words && page->shift) split(page);
    return page;
}

void clear_shadow() {
    for (size_t i = 0; i < pages.room; i++) {
        if (!pages.entries[i].cells) continue;
        for (unsigned j = 0; j < 256u >> pages.entries[i].shift; j++) free(pages.entries[i].cells[j].readers);
        free(pages.entries[i].cells);
    }
    pages.clear();
}

// ---- the rules -------------------------------------------------------------------------------------------------
unsigned warps_of_block() { return (thread_count + 31) / 32; }
unsigned reader(const Readers &r, unsigned lane) {
    return r.warp / warps_of_block() * thread_count + r.warp % warps_of_block() * 32 + lane;
}

// A lane whose reading the running thread does not know of, or -1.
int unknown_lane(const Readers &r, const Clock *clock, unsigned self) {
    for (unsigned rest = r.lanes; rest; rest &= rest - 1) {
        unsigned lane = unsigned(__builtin_ctz(rest));
        unsigned who = reader(r, lane);
        if (who != self && seen_of(clock, who) < r.time) return int(lane);
    }
    return -1;
}

void add_reader(Cell &cell, const Knowledge &k, unsigned self, unsigned where) {
    unsigned i = unsigned(thread - block->threads);
    Readers mine = {block->number * warps_of_block() + i / 32, 1u << i % 32, where, k.own};
    unsigned left = 0;
    for (unsigned j = 0; j < cell.count; j++) {
        Readers &r = cell.readers[j];
        if (r.warp == mine.warp && r.time == mine.time) {
            r.lanes |= mine.lanes;
            return;
        }
    }
    for (unsigned j = 0; j < cell.count; j++)
        if (unknown_lane(cell.readers[j], k.clock, self) >= 0) cell.readers[left++] = cell.readers[j];
    if (left == cell.room) {
        if (left == 255) left--;  // of so many at once, one more is as good
        else cell.room = cell.room ? cell.room > 127 ? 255 : 2 * cell.room : 1;
        cell.readers = static_cast<Readers *>(realloc(cell.readers, cell.room * sizeof(Readers)));
    }
    cell.readers[left] = mine;
    cell.count = left + 1;
}
}  // namespace
}  // namespace symcell_emulator
