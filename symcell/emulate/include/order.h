// The order in which threads and blocks run: first to last, last to first, or drawn anew for each pass over them.
#pragma once

namespace symcell_emulator {
namespace {
enum Order { FORWARD, REVERSED, RANDOM };
int order;
unsigned long long random_state;

void set_order(int which, unsigned long long seed) {
    order = which;
    random_state = seed * 0x9e3779b97f4a7c15ull + 0x2545f4914f6cdd1dull;
}

unsigned draw(unsigned below) {  // xorshift64*
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return unsigned((random_state * 0x2545f4914f6cdd1dull) >> 33) % below;
}

// One pass over n things: at(0), at(1), ... at(n - 1) are the numbers below n in some order.
struct Pass {
    unsigned n, first, step;
    unsigned at(unsigned k) const { return unsigned((first + (unsigned long long)step * k) % n); }
};

unsigned common_divisor(unsigned a, unsigned b) { return b ? common_divisor(b, a % b) : a; }

Pass pass_over(unsigned n) {
    if (order == FORWARD || n < 2) return {n, 0, 1};
    if (order == REVERSED) return {n, n - 1, n - 1};
    unsigned step = 1 + draw(n - 1);
    while (common_divisor(step, n) != 1) step = 1 + draw(n - 1);
    return {n, draw(n), step};
}

// In a random order a block now and then lets others run where it need not.
bool gives_way() { return order == RANDOM && draw(4) == 0; }
}  // namespace
}  // namespace symcell_emulator
