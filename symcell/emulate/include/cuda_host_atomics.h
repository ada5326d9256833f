// Loads and stores with cache hints, fences and atomic operations: included by cuda_host.h.
//
// One thread of a launch runs at a time, so plain memory operations are atomic. The runtime hears of each atomic one: a
// thread that finds the same twice spins, and lets others run; a search for races learns what they order.
#pragma once

template <class T> SYMCELL_UNWATCHED inline T __ldg(const T *p, int line = __builtin_LINE()) {
    symcell_emulator::constant(p, sizeof(T), line);
    return *p;
}
#define SYMCELL_HINT(name)                                                                     \
    template <class T> inline T __ld##name(const T *p) { return *p; }                          \
    template <class T> inline void __st##name(T *p, typename symcell_same<T>::type v) { *p = v; }
template <class T> struct symcell_same { typedef T type; };  // keeps the second argument out of deduction
SYMCELL_HINT(cg) SYMCELL_HINT(cs) template <class T> inline T __ldca(const T *p) { return *p; }
template <class T> inline T __ldcv(const T *p) { return *p; }
template <class T> inline void __stwb(T *p, typename symcell_same<T>::type v) { *p = v; }
template <class T> inline void __stwt(T *p, typename symcell_same<T>::type v) { *p = v; }
#undef SYMCELL_HINT

inline void __threadfence() { symcell_emulator::fence(); }
inline void __threadfence_block() { symcell_emulator::fence(); }
inline void __threadfence_system() { symcell_emulator::fence(); }

namespace symcell_emulator {
template <class T> SYMCELL_UNWATCHED inline Bits bits_of(T value) {
    static_assert(sizeof(T) <= sizeof(Bits), "atomic operations are on at most 8 bytes");
    Bits bits = 0;
    __builtin_memcpy(&bits, &value, sizeof(T));
    return bits;
}
template <class T> SYMCELL_UNWATCHED inline void performed(const T *p, T old, T now, int does, int line) {
    atomic_store(p, sizeof(T), bits_of(old), bits_of(now), does, line);
}
constexpr int does(int memory_order, bool reads, bool writes) {
    bool acquires = memory_order != __ATOMIC_RELAXED && memory_order != __ATOMIC_RELEASE;
    bool releases = memory_order >= __ATOMIC_RELEASE;
    return reads * READS | writes * WRITES | (reads && acquires) * ACQUIRES | (writes && releases) * RELEASES;
}
template <class T> SYMCELL_UNWATCHED inline T load(const volatile T *p, int order, int line) {
    T value = *const_cast<const T *>(p);
    Bits found = atomic_load(p, sizeof(T), bits_of(value), does(order, true, false), line);
    __builtin_memcpy(&value, &found, sizeof(T));
    return value;
}
template <class T> SYMCELL_UNWATCHED inline void store(T *p, typename symcell_same<T>::type v, int order, int line) {
    T old = *p;
    *p = v;
    performed(p, old, v, does(order, false, true), line);
}
}  // namespace symcell_emulator

// CUDA's are relaxed.
#define SYMCELL_ATOMIC(name, expression)                                                                       \
    template <class T>                                                                                         \
    SYMCELL_UNWATCHED inline T name(T *p, typename symcell_same<T>::type v, int order = __ATOMIC_RELAXED,      \
                                    int line = __builtin_LINE()) {                                             \
        T old = *p, now = expression;                                                                          \
        *p = now;                                                                                              \
        symcell_emulator::performed(p, old, now, symcell_emulator::does(order, true, true), line);             \
        return old;                                                                                            \
    }
SYMCELL_ATOMIC(atomicAdd, old + v) SYMCELL_ATOMIC(atomicSub, old - v) SYMCELL_ATOMIC(atomicExch, v)
SYMCELL_ATOMIC(atomicMax, old < v ? v : old) SYMCELL_ATOMIC(atomicMin, v < old ? v : old)
SYMCELL_ATOMIC(atomicAnd, old & v) SYMCELL_ATOMIC(atomicOr, old | v) SYMCELL_ATOMIC(atomicXor, old ^ v)
SYMCELL_ATOMIC(atomicInc, old >= v ? 0 : old + 1) SYMCELL_ATOMIC(atomicDec, old == 0 || old > v ? v : old - 1)
#undef SYMCELL_ATOMIC
template <class T>
SYMCELL_UNWATCHED inline T atomicCAS(T *p, typename symcell_same<T>::type expected,
                                     typename symcell_same<T>::type desired, int line = __builtin_LINE()) {
    T old = *p, now = old == expected ? desired : old;
    *p = now;
    symcell_emulator::performed(p, old, now, symcell_emulator::READS | symcell_emulator::WRITES, line);
    return old;
}

// The C++ compiler's own atomic functions, for what stands behind the #else of inline PTX.
#define __atomic_load_n(p, order) symcell_emulator::load(p, order, __LINE__)
#define __atomic_store_n(p, v, order) symcell_emulator::store(p, v, order, __LINE__)
#define __atomic_exchange_n(p, v, order) atomicExch(p, v, order, __LINE__)
#define __atomic_fetch_add(p, v, order) atomicAdd(p, v, order, __LINE__)
#define __atomic_fetch_sub(p, v, order) atomicSub(p, v, order, __LINE__)
#define __atomic_fetch_or(p, v, order) atomicOr(p, v, order, __LINE__)
#define __atomic_fetch_and(p, v, order) atomicAnd(p, v, order, __LINE__)
#define __atomic_thread_fence(order) symcell_emulator::fence()
