// Steps of gated cells and the signals that return through them. Cells are independent of each other; the products with
// weights in between are PyTorch's.
//
// Rows are trials, of one step or of several: drives or gate values (rows, 4, N), states and their signals (rows, S, N).
// A step leaves gate values in the memory of the drives.

#pragma once

#include <limits>

#include "subnormal.h"
#include "vectors.h"

namespace {

enum GatedCell { GRU, LSTM };

constexpr int GATES = 4;

template <class T>
INLINE Vector<T> logistic(Vector<T> u) {  // from e^-|u|, so that small values keep their digits
    const Vector<T> y = Exponential<T>(at_least<T>(u < T(0) ? u : -u, Format<T>::LOWEST)).value();
    const Vector<T> share = T(1) / (y + T(1));
    return u < T(0) ? y * share : share;
}

// r, z = sig(u_r), sig(u_z), n = tanh(u_n + r u_m), h' = n + z (h - n)
template <class T>
struct Gru {
    using V = Vector<T>;
    static constexpr int STATES = 1;
    enum { N, R, Z, M };

    static INLINE void advance(V* gate, const V* before, V* after) {
        gate[R] = logistic<T>(gate[R]);
        gate[Z] = logistic<T>(gate[Z]);
        gate[N] = hyperbolic_tangent<T>(gate[N] + gate[R] * gate[M]);
        after[0] = gate[N] + gate[Z] * (before[0] - gate[N]);
    }

    static INLINE void back(const V* gate, const V* before, const V*, const V* signal, V* driven, V& kept) {
        driven[N] = signal[0] * (T(1) - gate[Z]) * (T(1) - gate[N] * gate[N]);
        driven[M] = driven[N] * gate[R];
        driven[R] = driven[M] * gate[M] * (T(1) - gate[R]);
        driven[Z] = signal[0] * (before[0] - gate[N]) * gate[Z] * (T(1) - gate[Z]);
        kept = gate[Z] * signal[0];
    }
};

// c' = sig(f) c + sig(i) tanh(g), h' = sig(o) tanh(c'), so that dh'/dc' = o - h'^2 / o
template <class T>
struct Lstm {
    using V = Vector<T>;
    static constexpr int STATES = 2;
    enum { I, F, G, O };

    static INLINE void advance(V* gate, const V* before, V* after) {
        for (int each : {I, F, O}) gate[each] = logistic<T>(gate[each]);
        gate[G] = hyperbolic_tangent<T>(gate[G]);
        after[0] = gate[F] * before[0] + gate[I] * gate[G];
        after[1] = gate[O] * hyperbolic_tangent<T>(after[0]);
    }

    static INLINE void back(const V* gate, const V* before, const V* after, const V* signal, V* driven, V& kept) {
        const V h = after[1], open = at_least<T>(gate[O], std::numeric_limits<T>::min());
        const V whole = signal[0] + (gate[O] - h * h / open) * signal[1];
        driven[I] = whole * gate[G] * gate[I] * (T(1) - gate[I]);
        driven[F] = whole * before[0] * gate[F] * (T(1) - gate[F]);
        driven[G] = whole * gate[I] * (T(1) - gate[G] * gate[G]);
        driven[O] = signal[1] * h * (T(1) - gate[O]);
        kept = gate[F] * whole;
    }
};

template <class T, int COUNT>
INLINE void load_all(Vector<T>* to, const T* from, int64_t cells, int lanes) {
    for (int k = 0; k < COUNT; k++) to[k] = load(from + k * cells, lanes);
}

template <class T, int COUNT>
INLINE void store_all(T* to, const Vector<T>* from, int64_t cells, int lanes) {
    for (int k = 0; k < COUNT; k++) store(to + k * cells, from[k], lanes);
}

template <class T, class Cell>
void advance(int64_t rows, int64_t N, T* gates, const T* before, T* after) {
    const SubnormalsAsZero mode;
    constexpr int S = Cell::STATES;
    for (int64_t r = 0; r < rows; r++)
        vectors<T>(N, [&](int64_t i, int lanes) {
            Vector<T> gate[GATES], old[S], now[S];
            load_all<T, GATES>(gate, gates + r * GATES * N + i, N, lanes);
            load_all<T, S>(old, before + r * S * N + i, N, lanes);
            Cell::advance(gate, old, now);
            store_all<T, GATES>(gates + r * GATES * N + i, gate, N, lanes);
            store_all<T, S>(after + r * S * N + i, now, N, lanes);
        });
}

// Write gain^T signal to `driven` and add leak^T signal to `kept`, unless they are null.
template <class T, class Cell>
void back(int64_t rows, int64_t N, const T* gates, const T* before, const T* after, const T* signal, T* driven, T* kept) {
    const SubnormalsAsZero mode;
    constexpr int S = Cell::STATES;
    for (int64_t r = 0; r < rows; r++)
        vectors<T>(N, [&](int64_t i, int lanes) {
            Vector<T> gate[GATES], old[S], now[S], given[S], drive[GATES], own;
            load_all<T, GATES>(gate, gates + r * GATES * N + i, N, lanes);
            load_all<T, S>(old, before + r * S * N + i, N, lanes);
            load_all<T, S>(now, after + r * S * N + i, N, lanes);
            load_all<T, S>(given, signal + r * S * N + i, N, lanes);
            Cell::back(gate, old, now, given, drive, own);
            if (driven) store_all<T, GATES>(driven + r * GATES * N + i, drive, N, lanes);
            if (!kept) return;
            T* const into = kept + r * S * N + i;  // the first component, which alone is kept
            store(into, load(into, lanes) + own, lanes);
        });
}

// Filter nu_t = L_t + leak_{t+1}^T nu_{t+1} in place over consecutive steps and write gain_t^T nu_t to `driven`.
template <class T, class Cell>
void filter_leak(int64_t steps, int64_t trials, int64_t N, const T* gates, const T* before, const T* after, T* signal,
                 T* driven) {
    const int64_t G = trials * GATES * N, S = trials * Cell::STATES * N;
    for (int64_t t = steps - 1; t >= 0; t--)
        back<T, Cell>(trials, N, gates + t * G, before + t * S, after + t * S, signal + t * S, driven + t * G,
                      t ? signal + (t - 1) * S : nullptr);
}

}  // namespace

#define GATED_PASSES(T, NAME)                                                                                          \
    extern "C" void gated_advance_##NAME(int cell, int64_t rows, int64_t cells, T* gates, const T* before, T* after) { \
        (cell == GRU ? advance<T, Gru<T>> : advance<T, Lstm<T>>)(rows, cells, gates, before, after);                   \
    }                                                                                                                  \
    extern "C" void gated_back_##NAME(int cell, int64_t rows, int64_t cells, const T* gates, const T* before,          \
                                      const T* after, const T* signal, T* driven, T* kept) {                           \
        (cell == GRU ? back<T, Gru<T>> : back<T, Lstm<T>>)(rows, cells, gates, before, after, signal, driven, kept);   \
    }                                                                                                                  \
    extern "C" void gated_filter_leak_##NAME(int cell, int64_t steps, int64_t trials, int64_t cells, const T* gates,   \
                                             const T* before, const T* after, T* signal, T* driven) {                  \
        (cell == GRU ? filter_leak<T, Gru<T>> : filter_leak<T, Lstm<T>>)(steps, trials, cells, gates, before, after,   \
                                                                        signal, driven);                               \
    }
