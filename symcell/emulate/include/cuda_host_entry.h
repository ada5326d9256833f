// How Python reaches a kernel: SYMCELL_KERNEL(name) exports its parameter table and its launcher.
// The compiler fills the table, so typedefs and macros in a parameter list need no parsing.
#pragma once

namespace symcell_emulator {
struct Parameter {
    char kind;            // p pointer, f floating, i signed, u unsigned, b bool, v void, s anything else
    char pointee;         // kind of what a pointer points to, else '-'
    unsigned char size;   // bytes of the parameter; of the pointee for a pointer
    unsigned char write;  // a pointer to something not const
};

template <class T> struct Kind {
    static constexpr char value = 's';
    static constexpr unsigned char size = sizeof(T) < 256 ? sizeof(T) : 0;
};
#define SYMCELL_KIND(T, k)                                                                           \
    template <> struct Kind<T> { static constexpr char value = k; static constexpr unsigned char size = sizeof(T); };
SYMCELL_KIND(float, 'f') SYMCELL_KIND(double, 'f') SYMCELL_KIND(bool, 'b') SYMCELL_KIND(char, 'i')
SYMCELL_KIND(signed char, 'i') SYMCELL_KIND(short, 'i') SYMCELL_KIND(int, 'i') SYMCELL_KIND(long, 'i')
SYMCELL_KIND(long long, 'i') SYMCELL_KIND(unsigned char, 'u') SYMCELL_KIND(unsigned short, 'u')
SYMCELL_KIND(unsigned, 'u') SYMCELL_KIND(unsigned long, 'u') SYMCELL_KIND(unsigned long long, 'u')
#undef SYMCELL_KIND
template <> struct Kind<void> { static constexpr char value = 'v'; static constexpr unsigned char size = 0; };

template <class T> struct Describe { static constexpr Parameter value{Kind<T>::value, '-', Kind<T>::size, 0}; };
template <class T> struct Describe<T *> { static constexpr Parameter value{'p', Kind<T>::value, Kind<T>::size, 1}; };
template <class T> struct Describe<const T *> {
    static constexpr Parameter value{'p', Kind<T>::value, Kind<T>::size, 0};
};
template <class T> struct Describe<volatile T *> : Describe<T *> {};
template <class T> struct Describe<const volatile T *> : Describe<const T *> {};

template <int... I> struct Indices {};
template <int N, int... I> struct Count : Count<N - 1, N - 1, I...> {};
template <int... I> struct Count<0, I...> { typedef Indices<I...> type; };

template <auto K> struct Entry;
template <class... P, void (*K)(P...)> struct Entry<K> {
    static constexpr int count = sizeof...(P);
    static constexpr Parameter table[count + 1] = {Describe<P>::value...};
    template <int... I> static void call(void **args, Indices<I...>) { K(*static_cast<P *>(args[I])...); }
    static void thread(void **args) { call(args, typename Count<count>::type()); }
};
}  // namespace symcell_emulator

#define SYMCELL_KERNEL(name)                                                                                     \
    extern "C" __global__ int symcell_count_##name() { return symcell_emulator::Entry<&name>::count; }           \
    extern "C" __global__ const void *symcell_table_##name() { return symcell_emulator::Entry<&name>::table; }   \
    extern "C" __global__ int symcell_launch_##name(const symcell_emulator::Launch *launch, void **args,         \
                                                    char *message, size_t message_size) {                       \
        return symcell_emulator::run(launch, symcell_emulator::Entry<&name>::thread, args, message, message_size); \
    }
