// Gradients of a leaky network in one pass over its trials, from the last step to the first.
//
//     form A:  nu_t = f'(v_t) (F^T err_t + back_t) + leak nu_{t+1},  driven_t = nu_t
//     form B:  nu_t = F^T err_t + back_t + leak nu_{t+1},            driven_t = f'(u_t) nu_t
//     back_t = W^T sent_{t+1}
//     sum_t driven_t (x) (z_{t-1}, x_t, 1)  of the weights into the cells, times the gain
//     sum_t err_t (x) z_t                   of the readout
//
// with the gain in W, which is either all synapses or, by types of cells, a matrix of few rows behind sums by type. A
// block of trials keeps driven signals and presynaptic activity of some steps in the first two caches and adds their
// products to its sums at once.

#pragma once

#include "subnormal.h"
#include "tiles.h"

namespace {

constexpr int64_t KEPT = 128;  // rows of presynaptic activity of a block that are kept, steps times trials

// What cells send back through synapses: driven_t; the same without back_t, over one synapse; or nu_t, whose back_t is
// added past the slope of form A.
enum Sent { DRIVEN, DIRECT, FILTERED };

template <class T>
struct Gradient : Pass<T> {
    int64_t inputs, outputs;
    Sent sends;
    const T *input, *rate, *activity, *error;  // (T, B, J), (T + 1, B, N) twice, (T + 1, B, O)
    Panels<T> feedback, transmission;          // without sources if there is no path through synapses
    Array<T> leak, types;                      // a row of cells for each type, none if all synapses transmit

    int64_t whole() const { return int64_t(leak.size()); }
    int64_t sources() const { return this->cells + inputs + 1; }      // rates, inputs and one
    int64_t size() const { return (sources() + outputs) * whole(); }  // of the sums

    struct Window {  // steps of a block that are kept
        int64_t first, steps, b, rows;
    };

    // Add the sums of a block, transposed: of (z, x, 1) and then of errors, with a number for each cell.
    void block(int64_t b, int64_t rows, T* sums) const {
        const SubnormalsAsZero mode;
        const int64_t some = KEPT / rows;
        Array<T> pre(size_t((some + 1) * rows * sources() + WIDTH<T>)), driven(size_t(some * rows * whole()));
        Array<T> errors(size_t(some * rows * outputs)), nu(size_t(rows * whole()));
        Array<T> sent(size_t(2 * rows * whole())), by_type(size_t(rows * transmission.sources));
        for (int64_t stop = this->steps + 1; stop > 1; stop -= some) {
            const int64_t first = stop - some > 1 ? stop - some : 1;
            const Window window{first, stop - first, b, rows};
            gather(window, pre.data(), errors.data());
            for (int64_t t = stop - 1; t >= first; t--) {
                T *const now = sent.data() + t % 2 * rows * whole();
                const T *const after = types.empty() ? sent.data() + (t + 1) % 2 * rows * whole() : by_type.data();
                for (int64_t p = 0; p < feedback.count(); p++) step(t, p, window, nu.data(), now, after, driven.data());
                if (!types.empty()) sum_by_type(now, rows, by_type.data());
            }
            add(window, pre.data(), errors.data(), driven.data(), sums);
        }
    }

    // Copy rates of the step before the window and of its steps, each with the inputs of the next step and one.
    void gather(const Window& window, T* pre, T* errors) const {
        const int64_t N = this->cells, J = inputs, O = outputs;
        for (int64_t t = 0; t <= window.steps; t++)
            for (int64_t r = 0; r < window.rows; r++, pre += sources()) {
                const int64_t trial = (window.first - 1 + t) * this->trials + window.b + r;
                T* const own = errors + ((t - 1) * window.rows + r) * O;
                std::memcpy(pre, rate + trial * N, size_t(N) * sizeof(T));
                if (t < window.steps) std::memcpy(pre + N, input + trial * J, size_t(J) * sizeof(T));
                pre[N + J] = T(1);
                if (t > 0) std::memcpy(own, error + trial * O, size_t(O) * sizeof(T));
            }
    }

    void step(int64_t t, int64_t p, const Window& window, T* nu, T* now, const T* after, T* driven) const {
        const int64_t N = this->cells, rows = window.rows;
        const Sources<T> sources[2] = {
            feedback.times(error + (t * this->trials + window.b) * outputs, p),
            transmission.times(after, p),
        };
        T* const own = driven + (p * window.steps + t - window.first) * rows * WIDTH<T>;
        const bool direct = sends == DIRECT, past = sends == FILTERED;
        alignas(BYTES) T back[ROWS * WIDTH<T>];
        product<T>(rows, sources, direct || past || t == this->steps ? 1 : 2, {own, WIDTH<T>, false});
        if (direct || past) product<T>(rows, sources + 1, 1, {back, WIDTH<T>, false});
        const int64_t width = whole(), apart = types.empty() ? N : width;
        const bool on_rate = this->on_rate;
        const T *const acting = activity + this->row(t, window.b), *const decay = leak.data();
        with_slope<T>(this->function, [=, &back](auto sloped) {
            tile<T>(rows, N, p, [=, &back](int64_t r, int64_t i, int lanes, int64_t place) {
                const Vector<T> active = load(acting + r * N + i, lanes), found = load(own + place);
                const Vector<T> leaking = load(decay + i) * load(nu + r * width + i);
                Vector<T> lifted = found;
                if (direct) lifted += load(back + place);
                if (!on_rate) lifted = sloped(lifted, active);
                Vector<T> filtered = lifted + leaking;
                if (past) filtered += load(back + place);
                const Vector<T> drives = on_rate ? sloped(filtered, active) : filtered;
                store(nu + r * width + i, filtered, LANES<T>);
                store(own + place, drives, LANES<T>);
                const Vector<T> sent = direct ? sloped(found, active) : past ? filtered : drives;
                store(now + r * apart + i, sent, apart == N ? lanes : LANES<T>);
            });
        });
    }

    // Sum signals, rows of whole vectors, over the cells of each type, shape (rows, types).
    void sum_by_type(const T* signals, int64_t rows, T* sums) const {
        const int64_t width = whole(), kinds = transmission.sources;
        for (int64_t r = 0; r < rows; r++)
            for (int64_t kind = 0; kind < kinds; kind++) {
                Vector<T> sum{};
                for (int64_t i = 0; i < width; i += LANES<T>)
                    sum += load(types.data() + kind * width + i) * load(signals + r * width + i);
                T total = 0;
                for (int lane = 0; lane < LANES<T>; lane++) total += sum[lane];
                *sums++ = total;
            }
    }

    void add(const Window& window, const T* pre, const T* errors, const T* driven, T* sums) const {
        const int64_t count = window.steps * window.rows, P = sources();
        add_outer(count, P, pre, driven, WIDTH<T>, count * WIDTH<T>, sums);
        add_outer(count, outputs, errors, pre + window.rows * P, P, WIDTH<T>, sums + P * whole());
    }

    // Add `sum_m left_ml right_mi` to the sums, shape (lefts, cells); right rows are `width` apart, panels `apart`.
    void add_outer(int64_t count, int64_t lefts, const T* left, const T* right, int64_t width, int64_t apart, T* to) const {
        for (int64_t l = 0; l < lefts; l += ROWS) {
            const int64_t rows = lefts - l < ROWS ? lefts - l : ROWS;
            for (int64_t p = 0; p < feedback.count(); p++) {
                const Sources<T> sources{left + l, 1, lefts, count, right + p * apart, width};
                product<T>(rows, &sources, 1, {to + l * whole() + p * WIDTH<T>, whole(), true});
            }
        }
    }
};

// Members of each type times the gain, zero beyond the last cell.
template <class T>
Array<T> by_types(const T* members, const T* gain, int64_t types, int64_t cells) {
    const int64_t whole = (cells + WIDTH<T> - 1) / WIDTH<T> * WIDTH<T>;
    Array<T> found(size_t(types * whole), T(0));
    for (int64_t a = 0; a < types; a++)
        for (int64_t i = 0; i < cells; i++) found[size_t(a * whole + i)] = gain[i] * members[a * cells + i];
    return found;
}

template <class T>
struct Gradients {  // of all networks
    T *input, *recurrent, *bias, *readout, *output_bias;
};

template <class T>
struct Synapses {  // that transmit signals: weights (S, sources, N) from cells, or from types of cells, (S, sources, N)
    int64_t sources;
    int sends;
    const T *weights, *types;
};

template <class T>
void gradients(int64_t networks, int64_t steps, int64_t B, int64_t N, int64_t J, int64_t O, int function, bool on_rate,
               const T* leak, const T* gain, const Synapses<T>& synapses, const T* feedback, const T* input,
               const T* rate, const T* activity, const T* error, const T* raw, const Gradients<T>& found,
               int64_t threads) {
    std::vector<Gradient<T>> works;
    works.reserve(size_t(networks));
    const int64_t R = synapses.sources;
    const Array<T> none(size_t(N), T(0));
    for (int64_t s = 0; s < networks; s++) {
        const int64_t states = s * (steps + 1) * B * N;
        works.push_back({{steps, B, N, function, on_rate}, J, O, Sent(synapses.sends), input + s * steps * B * J,
                         rate + states, activity + states, error + s * (steps + 1) * B * O, Panels<T>(N, O),
                         Panels<T>(N, R), padded(leak ? leak + s * N : none.data(), N), {}});
        works.back().feedback.fill([&](int64_t o, int64_t i) { return feedback[(s * O + o) * N + i]; });
        const T *const weights = synapses.weights + s * R * N, *const own_gain = gain + s * N;
        works.back().transmission.fill(
            [&](int64_t i, int64_t j) { return (synapses.types ? T(1) : own_gain[i]) * weights[i * N + j]; });
        if (synapses.types) works.back().types = by_types(synapses.types + s * R * N, own_gain, R, N);
    }
    // Trials are summed in parts whose number depends on the sizes alone, so that threads change no bit.
    const Blocks blocks(B);
    const int64_t size = works[0].size(), whole = works[0].whole();
    const double multiplications = works[0].multiplications();
    const int64_t paying = int64_t(multiplications / WORTH), most = paying < blocks.count ? paying : blocks.count;
    const int64_t parts = most < 1 ? 1 : most;
    Array<T> sums(size_t(networks * parts * size), T(0));
    share(networks * parts, double(networks) * multiplications, threads, [&](int64_t first, int64_t last) {
        for (int64_t index = first; index < last; index++) {
            const int64_t part = index % parts, end = (part + 1) * blocks.count / parts;
            for (int64_t each = part * blocks.count / parts; each < end; each++)
                works[size_t(index / parts)].block(blocks.first(each), blocks.size(each), &sums[size_t(index * size)]);
        }
    });
    for (int64_t s = 0; s < networks; s++) {
        T* const total = &sums[size_t(s * parts * size)];
        for (int64_t part = 1; part < parts; part++)
            for (int64_t k = 0; k < size; k++) total[k] += total[part * size + k];
        for (int64_t i = 0; i < N; i++) {
            const T* const own = total + i;
            const T factor = gain[s * N + i];
            for (int64_t j = 0; j < N; j++) found.recurrent[(s * N + i) * N + j] = factor * own[j * whole];
            for (int64_t j = 0; j < J; j++) found.input[(s * N + i) * J + j] = factor * own[(N + j) * whole];
            found.bias[s * N + i] = factor * own[(N + J) * whole];
            for (int64_t o = 0; o < O; o++) found.readout[(s * O + o) * N + i] = own[(N + J + 1 + o) * whole];
        }
        for (int64_t o = 0; o < O; o++) {
            T sum = 0;
            for (int64_t t = 1; t <= steps; t++) {
                T part = 0;
                for (int64_t b = 0; b < B; b++) part += raw[((s * (steps + 1) + t) * B + b) * O + o];
                sum += part;
            }
            found.output_bias[s * O + o] = sum;
        }
    }
}

}  // namespace
