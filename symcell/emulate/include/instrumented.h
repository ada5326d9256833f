// What kernels compiled with -fsanitize=thread call before each access. Included by runtime.cpp.
#pragma once

namespace symcell_emulator {
namespace {
// A volatile access is a relaxed atomic one. What is written is not known yet: it is found by the next that looks.
void volatile_read(const void *p, size_t size, unsigned where) {
    Bits value = 0;
    memcpy(&value, p, size < sizeof value ? size : sizeof value);
    if (is_private(p)) return;
    look(p, value, where);  // may let others run
    memcpy(&value, p, size < sizeof value ? size : sizeof value);
    races_load(p, size, value, READS, where, true);
}
void volatile_write(const void *p, size_t size, unsigned where) {
    Bits value = 0;
    memcpy(&value, p, size < sizeof value ? size : sizeof value);
    races_store(p, size, value, value, WRITES, where);
}
void access(const void *p, size_t size, bool writes, unsigned where) {
    if (size && !is_private(p)) visit(p, size, writes, false, where);
}
}  // namespace
}  // namespace symcell_emulator

using namespace symcell_emulator;
#define WHERE unsigned(static_cast<const char *>(__builtin_return_address(0)) - code_begin - 1)
#define SYMCELL_HOOK(name, ...) extern "C" HIDDEN void __tsan_##name(__VA_ARGS__)
#define SYMCELL_HOOKS(size)                                                                                      \
    SYMCELL_HOOK(read##size, void *p) { access(p, size, false, WHERE); }                                          \
    SYMCELL_HOOK(write##size, void *p) { access(p, size, true, WHERE); }                                          \
    SYMCELL_HOOK(unaligned_read##size, void *p) { access(p, size, false, WHERE); }                                \
    SYMCELL_HOOK(unaligned_write##size, void *p) { access(p, size, true, WHERE); }                                \
    SYMCELL_HOOK(volatile_read##size, void *p) { volatile_read(p, size, WHERE); }                        \
    SYMCELL_HOOK(volatile_write##size, void *p) { volatile_write(p, size, WHERE); }                      \
    SYMCELL_HOOK(unaligned_volatile_read##size, void *p) { volatile_read(p, size, WHERE); }              \
    SYMCELL_HOOK(unaligned_volatile_write##size, void *p) { volatile_write(p, size, WHERE); }
SYMCELL_HOOKS(1) SYMCELL_HOOKS(2) SYMCELL_HOOKS(4) SYMCELL_HOOKS(8) SYMCELL_HOOKS(16)
SYMCELL_HOOK(read_range, void *p, size_t size) { access(p, size, false, WHERE); }
SYMCELL_HOOK(write_range, void *p, size_t size) { access(p, size, true, WHERE); }
SYMCELL_HOOK(init) {}
SYMCELL_HOOK(func_entry, void *) {}
SYMCELL_HOOK(func_exit) {}
extern "C" HIDDEN void *__tsan_memcpy(void *to, const void *from, size_t size) {
    access(from, size, false, WHERE);
    access(to, size, true, WHERE);
    return memcpy(to, from, size);
}
extern "C" HIDDEN void *__tsan_memmove(void *to, const void *from, size_t size) {
    access(from, size, false, WHERE);
    access(to, size, true, WHERE);
    return memmove(to, from, size);
}
extern "C" HIDDEN void *__tsan_memset(void *to, int value, size_t size) {
    access(to, size, true, WHERE);
    return memset(to, value, size);
}
