// CUDA's math and integer functions for the host: included by cuda_host.h.
#pragma once

extern "C" int printf(const char *, ...);

// ---- f(x) for float and double, and the float name; with an int it is ambiguous, as for NVRTC ---------------------
#define SYMCELL_1(name)                                                    \
    extern "C" float name##f(float) noexcept;                              \
    extern "C" double name(double) noexcept;                               \
    inline float name(float x) { return name##f(x); }
SYMCELL_1(exp) SYMCELL_1(exp2) SYMCELL_1(expm1) SYMCELL_1(log) SYMCELL_1(log2) SYMCELL_1(log10) SYMCELL_1(log1p)
SYMCELL_1(sqrt) SYMCELL_1(cbrt) SYMCELL_1(fabs) SYMCELL_1(floor) SYMCELL_1(ceil) SYMCELL_1(trunc) SYMCELL_1(round)
SYMCELL_1(rint) SYMCELL_1(nearbyint) SYMCELL_1(sin) SYMCELL_1(cos) SYMCELL_1(tan) SYMCELL_1(asin) SYMCELL_1(acos)
SYMCELL_1(atan) SYMCELL_1(sinh) SYMCELL_1(cosh) SYMCELL_1(tanh) SYMCELL_1(asinh) SYMCELL_1(acosh) SYMCELL_1(atanh)
SYMCELL_1(erf) SYMCELL_1(erfc) SYMCELL_1(lgamma) SYMCELL_1(tgamma) SYMCELL_1(logb)
#undef SYMCELL_1

// ---- f(x, y); with a float and a double it is ambiguous, as for NVRTC ----------------------------------------------
#define SYMCELL_2(name)                                                    \
    extern "C" float name##f(float, float) noexcept;                       \
    extern "C" double name(double, double) noexcept;                       \
    inline float name(float x, float y) { return name##f(x, y); }          \
    double name(float, double) = delete;                                   \
    double name(double, float) = delete;
SYMCELL_2(pow) SYMCELL_2(fmax) SYMCELL_2(fmin) SYMCELL_2(fmod) SYMCELL_2(atan2) SYMCELL_2(hypot) SYMCELL_2(copysign)
SYMCELL_2(fdim) SYMCELL_2(remainder) SYMCELL_2(nextafter)
#undef SYMCELL_2

extern "C" float fmaf(float, float, float) noexcept;
extern "C" double fma(double, double, double) noexcept;
extern "C" float ldexpf(float, int) noexcept;
extern "C" double ldexp(double, int) noexcept;
inline float pow(float x, int n) { return powf(x, (float)n); }
inline double pow(double x, int n) { return pow(x, (double)n); }
inline float fma(float x, float y, float z) { return fmaf(x, y, z); }
inline float ldexp(float x, int n) { return ldexpf(x, n); }

// ---- functions that C has not ---------------------------------------------------------------------------------------
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float rsqrt(float x) { return rsqrtf(x); }
inline float rcbrtf(float x) { return 1.0f / cbrtf(x); }
inline double rcbrt(double x) { return 1.0 / cbrt(x); }
inline double normcdf(double x) { return 0.5 * erfc(-0.70710678118654752440 * x); }
inline float normcdff(float x) { return (float)normcdf((double)x); }
inline double exp10(double x) { return pow(10.0, x); }
inline float exp10f(float x) { return powf(10.0f, x); }
inline double erfcx(double x) { return exp(x * x) * erfc(x); }
inline float erfcxf(float x) { return (float)erfcx((double)x); }
inline double sinpi(double x) { return sin(3.14159265358979323846 * fmod(x, 2.0)); }
inline double cospi(double x) { return cos(3.14159265358979323846 * fmod(x, 2.0)); }
inline float sinpif(float x) { return (float)sinpi((double)x); }
inline float cospif(float x) { return (float)cospi((double)x); }
inline void sincos(double x, double *s, double *c) { *s = sin(x); *c = cos(x); }
inline void sincosf(float x, float *s, float *c) { *s = sinf(x); *c = cosf(x); }
inline float fdividef(float x, float y) { return x / y; }

// ---- intrinsics: here as exact as the functions that they approximate ---------------------------------------------
inline float __expf(float x) { return expf(x); }
inline float __exp10f(float x) { return exp10f(x); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __log10f(float x) { return log10f(x); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __tanf(float x) { return tanf(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return rsqrtf(x); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dsub_rn(double x, double y) { return x - y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline double __ddiv_rn(double x, double y) { return x / y; }
inline double __fma_rn(double x, double y, double z) { return fma(x, y, z); }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }  // NaN gives 0, as on the GPU

#define SYMCELL_TEST(f)                                                    \
    inline bool f(float x) { return __builtin_##f(x); }                    \
    inline bool f(double x) { return __builtin_##f(x); }
SYMCELL_TEST(isnan) SYMCELL_TEST(isinf) SYMCELL_TEST(isfinite) SYMCELL_TEST(signbit)
#undef SYMCELL_TEST

// ---- min, max, abs: for floating point they are fmin and fmax, which ignore a NaN -----------------------------------
#define SYMCELL_ORDER(T)                                                   \
    inline T min(T a, T b) { return b < a ? b : a; }                       \
    inline T max(T a, T b) { return a < b ? b : a; }
SYMCELL_ORDER(int) SYMCELL_ORDER(unsigned) SYMCELL_ORDER(long) SYMCELL_ORDER(unsigned long) SYMCELL_ORDER(long long)
SYMCELL_ORDER(unsigned long long)
#undef SYMCELL_ORDER
#define SYMCELL_ORDER(S, U)                                                \
    inline U min(S a, U b) { return min((U)a, b); }                        \
    inline U min(U a, S b) { return min(a, (U)b); }                        \
    inline U max(S a, U b) { return max((U)a, b); }                        \
    inline U max(U a, S b) { return max(a, (U)b); }
SYMCELL_ORDER(int, unsigned) SYMCELL_ORDER(long, unsigned long) SYMCELL_ORDER(long long, unsigned long long)
#undef SYMCELL_ORDER
#define SYMCELL_ORDER(A, B, R)                                             \
    inline R min(A a, B b) { return fmin((R)a, (R)b); }                    \
    inline R max(A a, B b) { return fmax((R)a, (R)b); }
SYMCELL_ORDER(float, float, float) SYMCELL_ORDER(double, double, double)
SYMCELL_ORDER(float, double, double) SYMCELL_ORDER(double, float, double)
#undef SYMCELL_ORDER
inline int abs(int x) { return x < 0 ? -x : x; }
inline long long abs(long long x) { return x < 0 ? -x : x; }
inline float abs(float x) { return fabsf(x); }
inline double abs(double x) { return fabs(x); }

// ---- bits -----------------------------------------------------------------------------------------------------------
template <class To, class From> inline To symcell_bits(From x) {
    static_assert(sizeof(To) == sizeof(From), "a bit cast keeps the size");
    To y;
    __builtin_memcpy(&y, &x, sizeof(y));
    return y;
}
inline int __float_as_int(float x) { return symcell_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return symcell_bits<unsigned>(x); }
inline float __int_as_float(int x) { return symcell_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return symcell_bits<float>(x); }
inline long long __double_as_longlong(double x) { return symcell_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return symcell_bits<double>(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
