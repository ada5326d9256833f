// Fibers: stacks that one operating-system thread switches between. Included by runtime.cpp.
//
// makecontext starts one; _setjmp and _longjmp switch, as swapcontext makes two system calls. Under AddressSanitizer it
// is swapcontext all the same: ASan must be told which stack is in use, and mistakes a _longjmp between stacks.
#pragma once
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define SYMCELL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SYMCELL_ASAN 1
#endif
#endif
#ifdef SYMCELL_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace {
const size_t STACK = 128 << 10, GUARD = 4096, KEPT_FIBERS = 64;

struct Fiber {
    ucontext_t context;
    jmp_buf here;
    char *stack;
    bool started;
    void *asan_stack;
    Fiber *next;  // of the idle ones
};

Fiber *fiber;  // the running one
Fiber *idle;   // a list
Fiber **fibers;
size_t fiber_count;
jmp_buf scheduler;
ucontext_t scheduler_context;

#ifdef SYMCELL_ASAN
const void *scheduler_bottom;
size_t scheduler_size;

void to_scheduler() {
    Fiber *self = fiber;
    __sanitizer_start_switch_fiber(&self->asan_stack, scheduler_bottom, scheduler_size);
    swapcontext(&self->context, &scheduler_context);
    __sanitizer_finish_switch_fiber(self->asan_stack, &scheduler_bottom, &scheduler_size);
}
void resume(Fiber *next) {
    void *mine;
    fiber = next;
    next->started = true;
    __sanitizer_start_switch_fiber(&mine, next->stack, STACK);
    swapcontext(&scheduler_context, &next->context);
    __sanitizer_finish_switch_fiber(mine, nullptr, nullptr);
}
void fiber_entered() { __sanitizer_finish_switch_fiber(nullptr, &scheduler_bottom, &scheduler_size); }
#else
void to_scheduler() {
    if (_setjmp(fiber->here) == 0) _longjmp(scheduler, 1);
}
void resume(Fiber *next) {
    fiber = next;
    if (_setjmp(scheduler) != 0) return;
    if (next->started) _longjmp(next->here, 1);
    next->started = true;
    setcontext(&next->context);
}
void fiber_entered() {}
#endif

// Called by a fiber that has nothing left to do; returns when it is resumed.
void become_idle() {
    fiber->next = idle;
    idle = fiber;
    to_scheduler();
}

// An idle fiber, or a new one that will run `body`, which must never return.
Fiber *idle_fiber(void (*body)()) {
    if (Fiber *found = idle) {
        idle = found->next;
        return found;
    }
    Fiber *made = static_cast<Fiber *>(calloc(1, sizeof(Fiber)));
    void *memory = mmap(nullptr, STACK + GUARD, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    Fiber **grown = static_cast<Fiber **>(realloc(fibers, (fiber_count + 1) * sizeof(Fiber *)));
    if (grown) fibers = grown;
    if (!made || memory == MAP_FAILED || !grown) {
        fputs("symcell.emulate: out of memory for the threads of a block\n", stderr);
        abort();
    }
    mprotect(memory, GUARD, PROT_NONE);  // a kernel with too large local arrays then faults; best effort
    made->stack = static_cast<char *>(memory) + GUARD;
    getcontext(&made->context);
    made->context.uc_stack.ss_sp = made->stack;
    made->context.uc_stack.ss_size = STACK;
    made->context.uc_link = nullptr;
    makecontext(&made->context, body, 0);
    return fibers[fiber_count++] = made;
}

// Keeps a few idle fibers for the next launch. With `all`, frees every one: those left inside a failed kernel can never
// be used again.
void release_fibers(bool all) {
    if (!all && fiber_count <= KEPT_FIBERS) return;
    for (size_t i = 0; i < fiber_count; i++) {
        munmap(fibers[i]->stack - GUARD, STACK + GUARD);
        free(fibers[i]);
    }
    fiber_count = 0;
    idle = nullptr;
}
}  // namespace
