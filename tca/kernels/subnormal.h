// The processor's mode in which subnormal numbers count as zero, for the length of a scope.
//
// A signal that fades by a leak of .9 a step never reaches zero: it stays at a few times the smallest number, where a
// processor takes many times as long for a product. The mode is that of one thread, hence a scope in every block of work.

#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace {

class SubnormalsAsZero {  // operands and results; a processor with another mode than these two computes as ever
#if defined(__x86_64__)
    using Mode = uint32_t;
    static constexpr Mode ON = 0x8040;  // results and operands
    static Mode read() { return _mm_getcsr(); }
    static void write(Mode mode) { _mm_setcsr(mode); }
#elif defined(__aarch64__)
    using Mode = uint64_t;
    static constexpr Mode ON = 1 << 24;
    static Mode read() {
        Mode mode;
        __asm__ __volatile__("mrs %0, fpcr" : "=r"(mode)::"memory");
        return mode;
    }
    static void write(Mode mode) { __asm__ __volatile__("msr fpcr, %0" ::"r"(mode) : "memory"); }
#else
    using Mode = uint32_t;
    static constexpr Mode ON = 0;
    static Mode read() { return 0; }
    static void write(Mode) {}
#endif
    const Mode before;

  public:
    explicit SubnormalsAsZero(bool wanted = true) : before(read()) {
        if (wanted) write(before | ON);
    }
    ~SubnormalsAsZero() { write(before); }
    SubnormalsAsZero(const SubnormalsAsZero&) = delete;
};

}  // namespace
