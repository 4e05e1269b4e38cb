// Passes of leaky networks over whole trials: forward, reverse filter and adjoint.
//
// Arrays are row-major with a leading axis of S networks: trials (S, T, B, N), weights (S, N, J), constants (S, N).
// Trials are independent of each other. A block of a few trials therefore goes through all steps by itself, so that
// weights and states stay in the first caches. The product of a block and two vectors of cells is held in registers;
// drive, leak and activation function are applied to it there. The order of every sum depends neither on the block of
// a trial nor on the thread, so that a trial has the same bits in every batch.

#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "vectors.h"

namespace {

template <class T>
constexpr int WIDTH = 2 * LANES<T>;               // cells of a tile
constexpr int ROWS = REGISTERS == 32 ? 8 : 6;     // trials of a block: a tile and a row of weights fill the registers
constexpr double WORTH = 2e7;                     // multiplications of a thread, far above the cost of starting it

// A matrix in panels of a tile's width: entry k of a panel holds the weights from k to its cells, zero beyond the last.
template <class T>
struct Panels {
    int64_t cells, sources;
    std::vector<T> weights;

    Panels(int64_t cells, int64_t sources) : cells(cells), sources(sources) {
        weights.assign(size_t(count() * sources * WIDTH<T>), T(0));
    }
    int64_t count() const { return (cells + WIDTH<T> - 1) / WIDTH<T>; }
    T* column(int64_t cell) {  // of the weights to a cell, WIDTH apart
        return weights.data() + cell / WIDTH<T> * sources * WIDTH<T> + cell % WIDTH<T>;
    }
    const T* panel(int64_t index) const { return weights.data() + index * sources * WIDTH<T>; }
};

// Sources of a product: rows of `count` numbers and the panel of their weights.
template <class T>
struct Sources {
    const T* rows;
    int64_t count;
    const T* panel;
};

// Products of R rows of one or two kinds of sources with a panel, shape (R, WIDTH).
template <class T, int R>
void product_of(const Sources<T>* sources, int kinds, T* products) {
    Vector<T> sum[R][2] = {};
    for (int kind = 0; kind < kinds; kind++) {
        const auto [rows, count, panel] = sources[kind];
        for (int64_t k = 0; k < count; k++) {
            const Vector<T> first = load(panel + k * WIDTH<T>), second = load(panel + k * WIDTH<T> + LANES<T>);
#pragma GCC unroll 8
            for (int r = 0; r < R; r++) {
                sum[r][0] += rows[r * count + k] * first;
                sum[r][1] += rows[r * count + k] * second;
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
        store(products + r * WIDTH<T>, sum[r][0], LANES<T>);
        store(products + r * WIDTH<T> + LANES<T>, sum[r][1], LANES<T>);
    }
}

template <class T>
void product(int64_t rows, const Sources<T>* sources, int kinds, T* products) {
    switch (rows) {
        case 1: return product_of<T, 1>(sources, kinds, products);
        case 2: return product_of<T, 2>(sources, kinds, products);
        case 3: return product_of<T, 3>(sources, kinds, products);
        case 4: return product_of<T, 4>(sources, kinds, products);
        case 5: return product_of<T, 5>(sources, kinds, products);
        case 6: return product_of<T, 6>(sources, kinds, products);
        case 7: return product_of<T, ROWS == 8 ? 7 : 1>(sources, kinds, products);
        case 8: return product_of<T, ROWS == 8 ? 8 : 1>(sources, kinds, products);
    }
}

// Values of the cells, zero beyond the last, so that a tile may load them whole.
template <class T>
std::vector<T> padded(const T* values, int64_t cells) {
    std::vector<T> found(size_t((cells + WIDTH<T> - 1) / WIDTH<T> * WIDTH<T>), T(0));
    std::memcpy(found.data(), values, size_t(cells) * sizeof(T));
    return found;
}

template <class T>
struct Pass {  // of one network
    int64_t steps, trials, cells;
    int function;
    bool on_rate;  // form B

    int64_t row(int64_t t, int64_t b) const { return (t * trials + b) * cells; }

    // Apply `body(row, first cell, lanes in use, place in the tile)` to the vectors of a tile.
    template <class Body>
    INLINE void tile(int64_t rows, int64_t panel, Body body) const {
        for (int64_t r = 0; r < rows; r++)
            for (int v = 0; v < 2; v++) {
                const int64_t i = panel * WIDTH<T> + v * LANES<T>, left = cells - i;
                if (left > 0) body(r, i, int(left < LANES<T> ? left : LANES<T>), r * WIDTH<T> + v * LANES<T>);
            }
    }
};

template <class T>
struct Forward : Pass<T> {
    int64_t inputs;             // J, zero if `external` holds their drive
    const T *input, *external;  // (T, B, J), (T + 1, B, N) or null; external may be `activity`
    const T* initial;           // (B, N)
    T *rate, *activity;         // (T + 1, B, N), the same in form A
    Panels<T> from_inputs, recurrent;
    std::vector<T> bias, leak, gain;

    void block(int64_t b, int64_t rows) const {
        const int64_t N = this->cells, whole = int64_t(leak.size());
        std::vector<T> states(size_t(rows * whole), T(0));  // potentials in form A, rates in form B
        for (int64_t r = 0; r < rows; r++) std::memcpy(&states[size_t(r * whole)], initial + (b + r) * N, size_t(N) * sizeof(T));
        T* const first = rate + this->row(0, b);
        std::memcpy(first, initial + b * N, size_t(rows * N) * sizeof(T));
        if (!this->on_rate) activate(this->function, first, rows * N);
        for (int64_t t = 1; t <= this->steps; t++)
            for (int64_t p = 0; p < recurrent.count(); p++) step(t, p, b, rows, states.data());
    }

    void step(int64_t t, int64_t p, int64_t b, int64_t rows, T* states) const {
        const int64_t N = this->cells, whole = int64_t(leak.size());
        const Sources<T> sources[2] = {
            {rate + this->row(t - 1, b), N, recurrent.panel(p)},
            {input + ((t - 1) * this->trials + b) * inputs, inputs, from_inputs.panel(p)},
        };
        T values[ROWS * WIDTH<T>];
        product(rows, sources, inputs ? 2 : 1, values);
        this->tile(rows, p, [&](int64_t r, int64_t i, int lanes, int64_t place) {
            Vector<T> drive = load(values + place) + load(&bias[size_t(i)]);
            if (external) drive += load(external + this->row(t, b + r) + i, lanes);
            T* const state = states + r * whole + i;
            if (!this->on_rate) {
                drive += load(&leak[size_t(i)]) * load(state);
                store(state, drive, LANES<T>);
            }
            store(values + place, drive, LANES<T>);
        });
        activate(this->function, values, rows * WIDTH<T>);
        this->tile(rows, p, [&](int64_t r, int64_t i, int lanes, int64_t place) {
            const Vector<T> active = load(values + place);
            const int64_t at = this->row(t, b + r) + i;
            store(activity + at, active, lanes);
            if (this->on_rate) {
                T* const state = states + r * whole + i;
                const Vector<T> now = load(&leak[size_t(i)]) * load(state) + load(&gain[size_t(i)]) * active;
                store(state, now, LANES<T>);
                store(rate + at, now, lanes);
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
    std::vector<T> leak;

    void block(int64_t b, int64_t rows) const {
        const int64_t N = this->cells;
        std::vector<T> sent(size_t(rows * N));
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
        const Sources<T> sources{sending, N, transmission.panel(p)};
        T values[ROWS * WIDTH<T>], active[ROWS * WIDTH<T>] = {};
        product(rows, &sources, 1, values);
        if (!this->on_rate) {
            this->tile(rows, p, [&](int64_t r, int64_t i, int lanes, int64_t place) {
                store(active + place, load(acting + r * N + i, lanes), LANES<T>);
            });
            times_slope(this->function, values, active, rows * WIDTH<T>);
        }
        this->tile(rows, p, [&](int64_t r, int64_t i, int lanes, int64_t place) {
            T* const at = own + r * N + i;
            const Vector<T> leaking = load(&leak[size_t(i)]) * load(after + r * N + i, lanes);
            store(at, load(at, lanes) + leaking + load(values + place), lanes);
        });
    }
};

// Run the blocks of all networks, of nearly equal numbers of trials, on at most so many threads.
template <class Work>
void run(const std::vector<Work>& works, int64_t threads) {
    const int64_t trials = works[0].trials, blocks = (trials + ROWS - 1) / ROWS, all = blocks * int64_t(works.size());
    const auto part = [&](int64_t first, int64_t last) {
        for (int64_t index = first; index < last; index++) {
            const int64_t block = index % blocks, b = block * trials / blocks;
            works[size_t(index / blocks)].block(b, (block + 1) * trials / blocks - b);
        }
    };
    const double square = double(works[0].cells) * double(works[0].cells);
    const double paying = double(works.size()) * double(works[0].steps * trials) * square / WORTH;
    const int64_t most = threads < all ? threads : all, used = paying < double(most) ? int64_t(paying) : most;
    std::vector<std::thread> others;
    int64_t first = 0;
    for (int64_t each = 1; each < used; each++) {
        const int64_t last = all * each / used;
        try {
            others.emplace_back(part, first, last);
        } catch (const std::system_error&) {  // no more threads to be had: the rest is for this one
            break;
        }
        first = last;
    }
    part(first, all);
    for (std::thread& other : others) other.join();
}

template <class T>
void forward(int64_t networks, int64_t steps, int64_t B, int64_t N, int64_t J, int function, bool on_rate, const T* leak,
             const T* gain, const T* w_in, const T* w_rec, const T* bias, const T* input, const T* external,
             const T* initial, T* rate, T* activity, int64_t threads) {
    std::vector<Forward<T>> works;
    works.reserve(size_t(networks));
    for (int64_t s = 0; s < networks; s++) {
        const int64_t states = s * (steps + 1) * B * N;
        const T* const own_gain = gain + s * N;
        works.push_back({{steps, B, N, function, on_rate}, J, input + s * steps * B * J,
                         external ? external + states : nullptr, initial + s * B * N, rate + states, activity + states,
                         Panels<T>(N, J), Panels<T>(N, N), padded(bias + s * N, N), padded(leak + s * N, N),
                         padded(own_gain, N)});
        Forward<T>& work = works.back();
        for (int64_t i = 0; i < N; i++) {
            const T folded = on_rate ? T(1) : own_gain[i];  // in form A the gain is a constant factor of the drive
            work.bias[size_t(i)] *= folded;
            T *const to = work.recurrent.column(i), *const in = work.from_inputs.column(i);
            for (int64_t j = 0; j < J; j++) in[j * WIDTH<T>] = folded * w_in[(s * N + i) * J + j];
            for (int64_t j = 0; j < N; j++) to[j * WIDTH<T>] = folded * w_rec[(s * N + i) * N + j];
        }
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
        for (int64_t first = 0; first < N; first += WIDTH<T>) {  // a panel
            T* const panel = works.back().transmission.column(first);
            const int64_t width = N - first < WIDTH<T> ? N - first : WIDTH<T>;
            for (int64_t i = 0; i < N; i++)
                for (int64_t c = 0; c < width; c++)
                    panel[i * WIDTH<T> + c] = gain[s * N + i] * w_rec[(s * N + i) * N + first + c];
        }
    }
    run(works, threads);
}

template <class T>
void filter(int64_t networks, int64_t C, int64_t B, int64_t N, const T* leak, T* signal, const T* later) {
    for (int64_t s = 0; s < networks; s++) {
        const std::vector<T> decay = padded(leak + s * N, N);
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

// Return whether memory sufficed; no exception leaves a function with a C signature.
template <class Work>
int guarded(Work work) noexcept {
    try {
        work();
        return 0;
    } catch (const std::bad_alloc&) {
        return 1;
    }
}

}  // namespace

#define PASSES(T, NAME)                                                                                              \
    extern "C" int forward_##NAME(int64_t networks, int64_t steps, int64_t trials, int64_t cells, int64_t inputs,    \
                                  int function, int on_rate, const T* leak, const T* gain, const T* w_in,            \
                                  const T* w_rec, const T* bias, const T* input, const T* external,                  \
                                  const T* initial, T* rate, T* activity, int64_t threads) {                         \
        return guarded([&] {                                                                                         \
            forward<T>(networks, steps, trials, cells, inputs, function, on_rate != 0, leak, gain, w_in, w_rec,      \
                       bias, input, external, initial, rate, activity, threads);                                     \
        });                                                                                                          \
    }                                                                                                                \
    extern "C" int adjoint_##NAME(int64_t networks, int64_t steps, int64_t trials, int64_t cells, int function,      \
                                  int on_rate, const T* leak, const T* gain, const T* w_rec, const T* activity,      \
                                  int64_t stride, T* signal, const T* later, int64_t threads) {                  \
        return guarded([&] {                                                                                         \
            adjoint<T>(networks, steps, trials, cells, function, on_rate != 0, leak, gain, w_rec, activity,          \
                       stride, signal, later, threads);                                                          \
        });                                                                                                          \
    }                                                                                                                \
    extern "C" int filter_##NAME(int64_t networks, int64_t steps, int64_t trials, int64_t cells, const T* leak,      \
                                 T* signal, const T* later) {                                                        \
        return guarded([&] { filter<T>(networks, steps, trials, cells, leak, signal, later); });                     \
    }                                                                                                                \
    extern "C" void activate_##NAME(int function, T* values, int64_t count) { activate(function, values, count); }        \
    extern "C" void times_slope_##NAME(int function, T* signal, const T* activity, int64_t count) {                  \
        times_slope(function, signal, activity, count);                                                              \
    }

PASSES(float, float32)
PASSES(double, float64)
