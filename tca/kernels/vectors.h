// Vectors of the processor's own width, and activation functions of them.
//
// Also next to zero, tanh is right to 5 units in the last place (6 without fused multiply-add), in double precision to
// 2, and softplus to 4; NaN and infinity pass through.

#pragma once

#include <cstdint>
#include <cstring>

namespace {

#if defined(__AVX512F__)
constexpr int BYTES = 64, REGISTERS = 32;  // bytes of a vector
#elif defined(__AVX__)
constexpr int BYTES = 32, REGISTERS = 16;
#elif defined(__ARM_NEON)
constexpr int BYTES = 16, REGISTERS = 32;
#else
constexpr int BYTES = 16, REGISTERS = 16;
#endif

#define INLINE inline __attribute__((always_inline))

enum Function { TANH, RELU, SOFTPLUS, RECTIFIED_TANH, LINEAR };

INLINE bool kinked(int function) { return function == RELU || function == RECTIFIED_TANH; }

template <class T>
struct Format;
template <>
struct Format<float> {
    using Bits = int32_t;
    using V = float __attribute__((vector_size(BYTES)));
    using B = int32_t __attribute__((vector_size(BYTES)));
    static constexpr int MANTISSA = 23, BIAS = 127, TERMS = 8, SERIES = 8;
    static constexpr float LOWEST = -104, SATURATED = 20;  // e^LOWEST rounds to zero, e^-SATURATED is below an ulp
};
template <>
struct Format<double> {
    using Bits = int64_t;
    using V = double __attribute__((vector_size(BYTES)));
    using B = int64_t __attribute__((vector_size(BYTES)));
    static constexpr int MANTISSA = 52, BIAS = 1023, TERMS = 15, SERIES = 17;
    static constexpr double LOWEST = -746, SATURATED = 44;
};

template <class T>
using Vector = typename Format<T>::V;
template <class T>
using Integers = typename Format<T>::B;
template <class T>
constexpr int LANES = BYTES / int(sizeof(T));

template <class T>
INLINE Vector<T> load(const T* from, int count = LANES<T>) {
    Vector<T> value{};
    if (count >= LANES<T>)
        std::memcpy(&value, from, sizeof value);
    else
        std::memcpy(&value, from, size_t(count) * sizeof(T));
    return value;
}

template <class T>
INLINE Vector<T> splat(T value) {
    return value - Vector<T>{};  // a sum would change the sign of a negative zero, and be computed
}

template <class T>
INLINE void store(T* to, Vector<T> value, int count) {
    if (count >= LANES<T>)
        std::memcpy(to, &value, sizeof value);
    else
        std::memcpy(to, &value, size_t(count) * sizeof(T));
}

template <class T>
INLINE Integers<T> bits(Vector<T> value) {
    return (Integers<T>)value;
}

// Reduction x = n ln 2 + r and e^r - 1; -ln 2 / 4 <= r <= 3 ln 2 / 4, so that n = 0 where e^x - 1 is small and must
// not be rounded twice.
template <class T>
struct Exponential {
    Integers<T> n;
    Vector<T> reduced;  // e^r - 1

    INLINE explicit Exponential(Vector<T> x) {
        using F = Format<T>;
        // the first part of ln 2 has so few digits that its product with n is exact
        constexpr bool SINGLE = sizeof(T) == 4;
        constexpr T HIGH = SINGLE ? T(0x1.62ep-1) : T(0x1.62e42fefap-1);
        constexpr T LOW = SINGLE ? T(0x1.0bfbe8p-15) : T(0x1.cf79abc9e3b3ap-40);
        constexpr T MAGIC = T(3ull << (F::MANTISSA - 1));  // its last digit is worth one
        const Vector<T> shifted = (x * T(1.4426950408889634) - T(0.25)) + MAGIC;
        n = bits<T>(shifted) - bits<T>(splat<T>(MAGIC));
        const Vector<T> whole = shifted - MAGIC;
        const Vector<T> r = (x - whole * HIGH) - whole * LOW;
        double factorial[F::TERMS + 1] = {1};
        for (int k = 1; k <= F::TERMS; k++) factorial[k] = factorial[k - 1] * k;
        Vector<T> sum = splat<T>(T(1 / factorial[F::TERMS]));
        for (int k = F::TERMS - 1; k > 1; k--) sum = sum * r + T(1 / factorial[k]);
        reduced = r + r * r * sum;
    }

    static INLINE Vector<T> power(Integers<T> n) {  // 2^n of normal numbers
        using F = Format<T>;
        return (Vector<T>)((n + typename F::Bits(F::BIAS)) << F::MANTISSA);
    }

    INLINE Vector<T> minus_one() const {
        const Vector<T> scale = power(n);
        return scale * reduced + (scale - T(1));
    }

    INLINE Vector<T> value() const {  // in two factors, since the result may be subnormal
        const Integers<T> half = n >> 1;
        return (reduced + T(1)) * power(half) * power(n - half);
    }
};

// Comparisons are written such that NaN stays NaN.
template <class T>
INLINE Vector<T> at_most(Vector<T> x, T bound) {
    return x > bound ? splat<T>(bound) : x;
}

template <class T>
INLINE Vector<T> at_least(Vector<T> x, T bound) {
    return x < bound ? splat<T>(bound) : x;
}

template <class T>
INLINE Vector<T> hyperbolic_tangent(Vector<T> u) {  // (e^2|u| - 1) / (e^2|u| + 1), with the sign of u
    const Integers<T> sign = bits<T>(u) & bits<T>(-Vector<T>{});
    const Vector<T> size = (Vector<T>)(bits<T>(u) ^ sign);
    const Vector<T> e = Exponential<T>(at_most<T>(size + size, Format<T>::SATURATED)).minus_one();
    const Vector<T> sum = e + T(2), lost = e - (sum - T(2)), inverse = T(1) / sum;  // sum + lost is e + 2
    const Vector<T> ratio = e * inverse, rest = (e - ratio * sum) - ratio * lost;
    return (Vector<T>)(bits<T>(ratio + rest * inverse) | sign);
}

// In single precision x P(x^2) / Q(x^2), the rational function of least relative error up to where tanh rounds to one.
template <>
INLINE Vector<float> hyperbolic_tangent<float>(Vector<float> u) {
    constexpr float P[] = {1, 0x1.120454p-3f, 0x1.c9f8dcp-9f, 0x1.595656p-16f, 0x1.c9a606p-27f};
    constexpr float Q[] = {1, 0x1.de5774p-2f, 0x1.a7df66p-6f, 0x1.58427ep-12f, 0x1.a0b9f8p-21f};
    const Integers<float> sign = bits<float>(u) & bits<float>(-Vector<float>{});
    const Vector<float> x = at_most<float>((Vector<float>)(bits<float>(u) ^ sign), 9.02f), y = x * x;
    Vector<float> above = splat<float>(P[4]), below = splat<float>(Q[4]);
    for (int k = 3; k >= 0; k--) {
        above = above * y + P[k];
        below = below * y + Q[k];
    }
    return (Vector<float>)(bits<float>(at_most<float>(above * x / below, 1)) | sign);
}

template <class T>
INLINE Vector<T> softplus(Vector<T> u) {  // max(u, 0) + log(1 + e^-|u|), the logarithm by the series of 2 artanh
    const Vector<T> below = u < T(0) ? u : -u;
    const Vector<T> y = Exponential<T>(at_least<T>(below, Format<T>::LOWEST)).value();
    const Vector<T> twice = (y + y) / (y + T(2)), s = T(0.5) * twice, square = s * s;  // twice s may be normal alone
    Vector<T> sum = splat<T>(T(1.0 / (2 * Format<T>::SERIES + 1)));
    for (int k = Format<T>::SERIES - 1; k > 0; k--) sum = sum * square + T(1.0 / (2 * k + 1));
    return at_least<T>(u, T(0)) + twice * (square * sum + T(1));
}

template <class T, class Body>
INLINE void vectors(int64_t count, Body body) {  // `body(first, lanes in use)` for every vector of an array
    for (int64_t i = 0; i < count; i += LANES<T>) body(i, int(count - i < LANES<T> ? count - i : LANES<T>));
}

// Call `work` with the activation function f of vectors.
template <class T, class Work>
INLINE void with_activation(int function, Work work) {
    switch (function) {
        case TANH: return work([](Vector<T> u) { return hyperbolic_tangent<T>(u); });
        case RELU: return work([](Vector<T> u) { return at_least<T>(u, T(0)); });
        case SOFTPLUS: return work([](Vector<T> u) { return softplus<T>(u); });
        case RECTIFIED_TANH: return work([](Vector<T> u) { return at_least<T>(hyperbolic_tangent<T>(u), T(0)); });
        default: return work([](Vector<T> u) { return u; });
    }
}

// Whether activities are zero or below, by their bits too, since a positive subnormal number may count as zero.
template <class T>
INLINE Integers<T> at_rest(Vector<T> a) {
    return (a <= T(0)) & (bits<T>(a) <= 0);
}

// Call `work` with the product of signals and f'(u), given the activity a = f(u).
template <class T, class Work>
INLINE void with_slope(int function, Work work) {
    const Vector<T> zero{};
    switch (function) {
        case TANH: return work([](Vector<T> s, Vector<T> a) { return s * (T(1) - a * a); });
        case RELU: return work([=](Vector<T> s, Vector<T> a) { return at_rest<T>(a) ? zero : s; });
        case SOFTPLUS:
            return work([](Vector<T> s, Vector<T> a) {
                return s * -Exponential<T>(-at_most<T>(a, Format<T>::SATURATED)).minus_one();
            });
        case RECTIFIED_TANH:
            return work([=](Vector<T> s, Vector<T> a) { return at_rest<T>(a) ? zero : s * (T(1) - a * a); });
        default: return work([](Vector<T> s, Vector<T>) { return s; });
    }
}

// Replace values by f(u).
template <class T>
void activate(int function, T* values, int64_t count) {
    with_activation<T>(function, [=](auto f) {
        vectors<T>(count, [&](int64_t i, int lanes) { store(values + i, f(load(values + i, lanes)), lanes); });
    });
}

// Multiply signals by f'(u), given the activity a = f(u).
template <class T>
void times_slope(int function, T* signal, const T* activity, int64_t count) {
    with_slope<T>(function, [=](auto sloped) {
        vectors<T>(count, [&](int64_t i, int lanes) {
            store(signal + i, sloped(load(signal + i, lanes), load(activity + i, lanes)), lanes);
        });
    });
}

}  // namespace
