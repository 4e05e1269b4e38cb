// Passes of leaky networks over whole trials: forward, reverse filter, adjoint and, in gradient.h, all gradients; in
// gated.h steps of gated cells.
//
// Arrays are row-major with a leading axis of S networks: trials (S, T, B, N), weights (S, N, J), constants (S, N).
// Trials are independent of each other. A block of a few trials therefore goes through all steps by itself, so that
// weights and states stay in the first two caches. The product of a block and two vectors of cells is held in registers;
// drive, leak and activation function are applied to it there. The order of every sum depends neither on the block of
// a trial nor on the thread, so that a trial has the same bits in every batch.

#include "class_error.h"
#include "gated.h"
#include "gradient.h"
#include "subnormal.h"
#include "tiles.h"

namespace {

template <class T>
struct Forward : Pass<T> {
    int64_t inputs;             // J, zero if `external` holds their drive
    const T *input, *external;  // (T, B, J), (T + 1, B, N) or null; external may be `activity`
    const T* initial;           // (B, N) or null for zero
    T *rate, *activity;         // (T + 1, B, N), the same in form A
    T* delivered;               // (T, B, O) or null
    Panels<T> from_inputs, recurrent, readout;
    Array<T> bias, leak, gain;

    void block(int64_t b, int64_t rows) const {
        const SubnormalsAsZero mode(!kinked(this->function));  // at a kink the slope hangs on the sign of the drive
        const int64_t N = this->cells, whole = int64_t(leak.size());
        Array<T> states(size_t(rows * whole), T(0));  // potentials in form A, rates in form B
        T* const first = rate + this->row(0, b);
        for (int64_t r = 0; r < rows; r++) {
            if (initial) std::memcpy(&states[size_t(r * whole)], initial + (b + r) * N, size_t(N) * sizeof(T));
            std::memcpy(first + r * N, &states[size_t(r * whole)], size_t(N) * sizeof(T));
        }
        if (!this->on_rate) activate(this->function, first, rows * N);
        for (int64_t t = 1; t <= this->steps; t++) {
            for (int64_t p = 0; p < recurrent.count(); p++) step(t, p, b, rows, states.data());
            if (delivered) deliver(rate + this->row(t, b), rows, delivered + ((t - 1) * this->trials + b) * readout.cells);
        }
    }

    void deliver(const T* rates, int64_t rows, T* to) const {
        alignas(BYTES) T values[ROWS * WIDTH<T>];
        for (int64_t p = 0; p < readout.count(); p++) {
            const Sources<T> sources = readout.times(rates, p);
            product<T>(rows, &sources, 1, {values, WIDTH<T>, false});
            tile<T>(rows, readout.cells, p, [=, &values](int64_t r, int64_t o, int lanes, int64_t place) {
                store(to + r * readout.cells + o, load(values + place), lanes);
            });
        }
    }

    void step(int64_t t, int64_t p, int64_t b, int64_t rows, T* states) const {
        const int64_t N = this->cells;
        const Sources<T> sources[2] = {
            recurrent.times(rate + this->row(t - 1, b), p),
            from_inputs.times(input + ((t - 1) * this->trials + b) * inputs, p),
        };
        alignas(BYTES) T values[ROWS * WIDTH<T>];
        product<T>(rows, sources, inputs ? 2 : 1, {values, WIDTH<T>, false});
        const int64_t whole = int64_t(leak.size()), at = this->row(t, b);
        const bool on_rate = this->on_rate;
        const T *const further = external ? external + at : nullptr, *const offset = bias.data();
        const T *const decay = leak.data(), *const factor = gain.data();
        T *const active_at = activity + at, *const rate_at = rate + at;
        tile<T>(rows, N, p, [=, &values](int64_t r, int64_t i, int lanes, int64_t place) {
            Vector<T> drive = load(values + place) + load(offset + i);
            if (further) drive += load(further + r * N + i, lanes);
            T* const state = states + r * whole + i;
            if (!on_rate) {
                drive += load(decay + i) * load(state);
                store(state, drive, LANES<T>);
            }
            store(values + place, drive, LANES<T>);
        });
        activate(this->function, values, rows * WIDTH<T>);
        tile<T>(rows, N, p, [=, &values](int64_t r, int64_t i, int lanes, int64_t place) {
            const Vector<T> active = load(values + place);
            store(active_at + r * N + i, active, lanes);
            if (on_rate) {
                T* const state = states + r * whole + i;
                const Vector<T> now = load(decay + i) * load(state) + load(factor + i) * active;
                store(state, now, LANES<T>);
                store(rate_at + r * N + i, now, lanes);
            }
        });
    }
};

template <class T>
struct Adjoint : Pass<T> {
    const T* activity;  // (.., B, N): in form A from the first step of the signal on, in form B from the second
    T* signal;          // (C, B, N)
    const T* later;     // (B, N) or null
    Panels<T> transmission;
    Array<T> leak;

    void block(int64_t b, int64_t rows) const {
        const SubnormalsAsZero mode;
        const int64_t N = this->cells;
        Array<T> sent(size_t(rows * N));
        for (int64_t t = this->steps - (later ? 1 : 2); t >= 0; t--) {
            const T* const after = t + 1 < this->steps ? signal + this->row(t + 1, b) : later + b * N;
            const T* const acting = activity + this->row(t, b);
            const T* const sending = this->on_rate ? sent.data() : after;
            if (this->on_rate) {
                std::memcpy(sent.data(), after, sent.size() * sizeof(T));
                times_slope(this->function, sent.data(), acting, rows * N);
            }
            for (int64_t p = 0; p < transmission.count(); p++) step(p, rows, sending, after, acting, signal + this->row(t, b));
        }
    }

    void step(int64_t p, int64_t rows, const T* sending, const T* after, const T* acting, T* own) const {
        const int64_t N = this->cells;
        const Sources<T> sources = transmission.times(sending, p);
        alignas(BYTES) T values[ROWS * WIDTH<T>], active[ROWS * WIDTH<T>] = {};
        product<T>(rows, &sources, 1, {values, WIDTH<T>, false});
        if (!this->on_rate) {
            tile<T>(rows, N, p, [&](int64_t r, int64_t i, int lanes, int64_t place) {
                store(active + place, load(acting + r * N + i, lanes), LANES<T>);
            });
            times_slope(this->function, values, active, rows * WIDTH<T>);
        }
        tile<T>(rows, N, p, [&](int64_t r, int64_t i, int lanes, int64_t place) {
            T* const at = own + r * N + i;
            const Vector<T> leaking = load(&leak[size_t(i)]) * load(after + r * N + i, lanes);
            store(at, load(at, lanes) + leaking + load(values + place), lanes);
        });
    }
};

template <class T>
void forward(int64_t networks, int64_t steps, int64_t B, int64_t N, int64_t J, int64_t O, int function, bool on_rate,
             const T* leak, const T* gain, const T* w_in, const T* w_rec, const T* bias, const T* w_out, const T* input,
             const T* external, const T* initial, T* rate, T* activity, T* delivered, int64_t threads) {
    std::vector<Forward<T>> works;
    works.reserve(size_t(networks));
    for (int64_t s = 0; s < networks; s++) {
        const int64_t states = s * (steps + 1) * B * N;
        const T* const own_gain = gain + s * N;
        works.push_back({{steps, B, N, function, on_rate}, J, input + s * steps * B * J,
                         external ? external + states : nullptr, initial ? initial + s * B * N : nullptr, rate + states, activity + states,
                         delivered ? delivered + s * steps * B * O : nullptr, Panels<T>(N, J), Panels<T>(N, N),
                         Panels<T>(O, N), padded(bias + s * N, N), padded(leak + s * N, N), padded(own_gain, N)});
        Forward<T>& work = works.back();
        const auto folded = [&](int64_t i) { return on_rate ? T(1) : own_gain[i]; };  // in form A of the whole drive
        for (int64_t i = 0; i < N; i++) work.bias[size_t(i)] *= folded(i);
        work.from_inputs.fill([&](int64_t j, int64_t i) { return folded(i) * w_in[(s * N + i) * J + j]; });
        work.recurrent.fill([&](int64_t j, int64_t i) { return folded(i) * w_rec[(s * N + i) * N + j]; });
        work.readout.fill([&](int64_t i, int64_t o) { return w_out[(s * O + o) * N + i]; });
    }
    run(works, threads);
}

template <class T>
void adjoint(int64_t networks, int64_t C, int64_t B, int64_t N, int function, bool on_rate, const T* leak,
             const T* gain, const T* w_rec, const T* activity, int64_t stride, T* signal, const T* later,
             int64_t threads) {
    std::vector<Adjoint<T>> works;
    works.reserve(size_t(networks));
    for (int64_t s = 0; s < networks; s++) {
        works.push_back({{C, B, N, function, on_rate}, activity + s * stride, signal + s * C * B * N,
                         later ? later + s * B * N : nullptr, Panels<T>(N, N), padded(leak + s * N, N)});
        works.back().transmission.fill(
            [&](int64_t i, int64_t j) { return gain[s * N + i] * w_rec[(s * N + i) * N + j]; });
    }
    run(works, threads);
}

template <class T>
void filter(int64_t networks, int64_t C, int64_t B, int64_t N, const T* leak, T* signal, const T* later) {
    const SubnormalsAsZero mode;
    for (int64_t s = 0; s < networks; s++) {
        const Array<T> decay = padded(leak + s * N, N);
        T* const own = signal + s * C * B * N;
        for (int64_t t = C - (later ? 1 : 2); t >= 0; t--)
            for (int64_t b = 0; b < B; b++) {
                T* const now = own + (t * B + b) * N;
                const T* const after = t + 1 < C ? now + B * N : later + (s * B + b) * N;
                vectors<T>(N, [&](int64_t i, int lanes) {
                    const Vector<T> leaking = load(&decay[size_t(i)]) * load(after + i, lanes);
                    store(now + i, load(now + i, lanes) + leaking, lanes);
                });
            }
    }
}

}  // namespace

#define PASSES(T, NAME)                                                                                              \
    extern "C" int forward_##NAME(int64_t networks, int64_t steps, int64_t trials, int64_t cells, int64_t inputs,    \
                                  int64_t outputs, int function, int on_rate, const T* leak, const T* gain,          \
                                  const T* w_in, const T* w_rec, const T* bias, const T* w_out, const T* input,      \
                                  const T* external, const T* initial, T* rate, T* activity, T* delivered,           \
                                  int64_t threads) {                                                                 \
        return guarded([&] {                                                                                         \
            forward<T>(networks, steps, trials, cells, inputs, outputs, function, on_rate != 0, leak, gain, w_in,    \
                       w_rec, bias, w_out, input, external, initial, rate, activity, delivered, threads);            \
        });                                                                                                          \
    }                                                                                                                \
    extern "C" int adjoint_##NAME(int64_t networks, int64_t steps, int64_t trials, int64_t cells, int function,      \
                                  int on_rate, const T* leak, const T* gain, const T* w_rec, const T* activity,      \
                                  int64_t stride, T* signal, const T* later, int64_t threads) {                      \
        return guarded([&] {                                                                                         \
            adjoint<T>(networks, steps, trials, cells, function, on_rate != 0, leak, gain, w_rec, activity,          \
                       stride, signal, later, threads);                                                              \
        });                                                                                                          \
    }                                                                                                                \
    extern "C" int filter_##NAME(int64_t networks, int64_t steps, int64_t trials, int64_t cells, const T* leak,      \
                                 T* signal, const T* later) {                                                        \
        return guarded([&] { filter<T>(networks, steps, trials, cells, leak, signal, later); });                     \
    }                                                                                                                \
    extern "C" int gradients_##NAME(int64_t networks, int64_t steps, int64_t trials, int64_t cells, int64_t inputs,  \
                                    int64_t outputs, int function, int on_rate, int64_t sources, int sends,          \
                                    const T* leak, const T* gain, const T* weights, const T* types,                  \
                                    const T* feedback, const T* input, const T* rate, const T* activity,             \
                                    const T* error, const T* raw, T* from_inputs, T* recurrent, T* bias,             \
                                    T* readout, T* output_bias, int64_t threads) {                                   \
        return guarded([&] {                                                                                         \
            gradients<T>(networks, steps, trials, cells, inputs, outputs, function, on_rate != 0, leak, gain,        \
                         Synapses<T>{sources, sends, weights, types}, feedback, input, rate, activity, error, raw,   \
                         Gradients<T>{from_inputs, recurrent, bias, readout, output_bias}, threads);                 \
        });                                                                                                          \
    }                                                                                                                \
    extern "C" int class_error_##NAME(int64_t steps, int64_t trials, int64_t classes, const T* outputs,              \
                                      const int64_t* targets, const T* weights, T* error) {                          \
        return class_error(steps, trials, classes, outputs, targets, weights, error);                                \
    }                                                                                                                \
    extern "C" void activate_##NAME(int function, T* values, int64_t count) { activate(function, values, count); }   \
    extern "C" void times_slope_##NAME(int function, T* signal, const T* activity, int64_t count) {                  \
        times_slope(function, signal, activity, count);                                                              \
    }

PASSES(float, float32)
PASSES(double, float64)
GATED_PASSES(float, float32)
GATED_PASSES(double, float64)
