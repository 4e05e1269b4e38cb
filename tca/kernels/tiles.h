// Products of a few rows with weights, in tiles that stay in registers, and their distribution over threads.

#pragma once

#include <atomic>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "vectors.h"

namespace {

template <class T>
struct Aligned {  // memory at multiples of a vector's size: a vector across two lines of the cache takes twice as long
    using value_type = T;
    Aligned() = default;
    template <class U>
    Aligned(const Aligned<U>&) {}
    T* allocate(size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t(BYTES))); }
    void deallocate(T* at, size_t) { ::operator delete(at, std::align_val_t(BYTES)); }
    bool operator==(const Aligned&) const { return true; }
    bool operator!=(const Aligned&) const { return false; }
};
template <class T>
using Array = std::vector<T, Aligned<T>>;

template <class T>
constexpr int WIDTH = 2 * LANES<T>;               // cells of a tile
constexpr int ROWS = REGISTERS == 32 ? 8 : 6;     // trials of a block: a tile and a row of weights fill the registers
constexpr int64_t AHEAD = 8;                      // rows of weights that are called into the first cache
constexpr double WORTH = 2e7;                     // multiplications of a thread, far above the cost of starting it

// Factors of a product: entry k of row r is rows[r * row + k * step], its weights are panel[k * width] and those beside.
template <class T>
struct Sources {
    const T* rows;
    int64_t row, step, count;
    const T* panel;
    int64_t width;
};

// A matrix in panels of a tile's width: entry k of a panel holds the weights from k to its cells, zero beyond the last.
template <class T>
struct Panels {
    int64_t cells, sources;
    Array<T> weights;

    Panels(int64_t cells, int64_t sources) : cells(cells), sources(sources) {
        weights.assign(size_t(count() * sources * WIDTH<T>), T(0));
    }
    int64_t count() const { return (cells + WIDTH<T> - 1) / WIDTH<T>; }
    template <class Weight>
    void fill(Weight weight) {  // with `weight(source, cell)`
        for (int64_t first = 0; first < cells; first += WIDTH<T>) {
            const int64_t width = cells - first < WIDTH<T> ? cells - first : WIDTH<T>;
            T* const panel = weights.data() + first * sources;
            for (int64_t some = 0; some < sources; some += LANES<T>) {  // as many as a line of the cache holds
                const int64_t stop = some + LANES<T> < sources ? some + LANES<T> : sources;
                for (int64_t c = 0; c < width; c++)
                    for (int64_t k = some; k < stop; k++) panel[k * WIDTH<T> + c] = weight(k, first + c);
            }
        }
    }
    Sources<T> times(const T* rows, int64_t index) const {  // rows of all sources, one after another
        return {rows, sources, 1, sources, weights.data() + index * sources * WIDTH<T>, WIDTH<T>};
    }
};

// Where products go: row r to r * row, written there or added to the values.
template <class T>
struct Products {
    T* values;
    int64_t row;
    bool added;
};

// Products of R rows with panels, summed over one or two kinds of sources, shape (R, WIDTH).
template <class T, int R>
void product_of(const Sources<T>* sources, int kinds, Products<T> to) {
    Vector<T> sum[R][2] = {};
    for (int kind = 0; kind < kinds; kind++) {
        const auto [rows, row, step, count, panel, width] = sources[kind];
        for (int64_t k = 0; k < count; k++) {
            __builtin_prefetch(panel + (k + AHEAD) * width);
            __builtin_prefetch(panel + (k + AHEAD) * width + LANES<T>);
            const Vector<T> first = load(panel + k * width), second = load(panel + k * width + LANES<T>);
#pragma GCC unroll 8
            for (int r = 0; r < R; r++) {
                sum[r][0] += rows[r * row + k * step] * first;
                sum[r][1] += rows[r * row + k * step] * second;
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
        T *const first = to.values + r * to.row, *const second = first + LANES<T>;
        store(first, to.added ? load(first) + sum[r][0] : sum[r][0], LANES<T>);
        store(second, to.added ? load(second) + sum[r][1] : sum[r][1], LANES<T>);
    }
}

template <class T>
void product(int64_t rows, const Sources<T>* sources, int kinds, Products<T> to) {
    switch (rows) {
        case 1: return product_of<T, 1>(sources, kinds, to);
        case 2: return product_of<T, 2>(sources, kinds, to);
        case 3: return product_of<T, 3>(sources, kinds, to);
        case 4: return product_of<T, 4>(sources, kinds, to);
        case 5: return product_of<T, 5>(sources, kinds, to);
        case 6: return product_of<T, 6>(sources, kinds, to);
        case 7: return product_of<T, ROWS == 8 ? 7 : 1>(sources, kinds, to);
        case 8: return product_of<T, ROWS == 8 ? 8 : 1>(sources, kinds, to);
    }
}

template <class T>
struct Pass {  // of one network
    int64_t steps, trials, cells;
    int function;
    bool on_rate;  // form B

    int64_t row(int64_t t, int64_t b) const { return (t * trials + b) * cells; }
    double multiplications() const { return double(steps * trials) * double(cells) * double(cells); }
};

// Values of the cells, zero beyond the last, so that a tile may load them whole.
template <class T>
Array<T> padded(const T* values, int64_t cells) {
    Array<T> found(size_t((cells + WIDTH<T> - 1) / WIDTH<T> * WIDTH<T>), T(0));
    std::memcpy(found.data(), values, size_t(cells) * sizeof(T));
    return found;
}

// Apply `body(row, first column, lanes in use, place in the tile)` to the vectors of a tile.
template <class T, class Body>
INLINE void tile(int64_t rows, int64_t columns, int64_t panel, Body body) {
    const int64_t first = panel * WIDTH<T>, second = first + LANES<T>;
    if (columns - first >= WIDTH<T>) {
        for (int64_t r = 0; r < rows; r++) {
            body(r, first, LANES<T>, r * WIDTH<T>);
            body(r, second, LANES<T>, r * WIDTH<T> + LANES<T>);
        }
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        body(r, first, int(columns - first < LANES<T> ? columns - first : LANES<T>), r * WIDTH<T>);
        if (columns > second) body(r, second, int(columns - second), r * WIDTH<T> + LANES<T>);
    }
}

// Call `part(first, last)` for parts of a number of items, on at most so many threads. If memory ends in one of them, it
// does so for the caller, after all have ended: an exception must not leave a thread.
template <class Part>
void share(int64_t items, double multiplications, int64_t threads, Part part) {
    const double paying = multiplications / WORTH;
    const int64_t most = threads < items ? threads : items, used = paying < double(most) ? int64_t(paying) : most;
    std::vector<std::thread> others;
    if (used > 1) others.reserve(size_t(used - 1));  // now: no thread may be left running
    std::atomic<bool> exhausted{false};
    const auto noting = [&](int64_t from, int64_t to) {
        try {
            part(from, to);
        } catch (const std::bad_alloc&) {
            exhausted = true;
        }
    };
    int64_t first = 0;
    for (int64_t each = 1; each < used; each++) {
        const int64_t last = items * each / used;
        try {
            others.emplace_back(noting, first, last);
        } catch (const std::system_error&) {  // no more threads to be had: the rest is for this one
            break;
        }
        first = last;
    }
    noting(first, items);
    for (std::thread& other : others) other.join();
    if (exhausted) throw std::bad_alloc();
}

struct Blocks {  // of nearly equal numbers of trials
    int64_t trials, count;

    explicit Blocks(int64_t trials) : trials(trials), count((trials + ROWS - 1) / ROWS) {}
    int64_t first(int64_t block) const { return block * trials / count; }
    int64_t size(int64_t block) const { return first(block + 1) - first(block); }
};

// Run the blocks of all networks.
template <class Work>
void run(const std::vector<Work>& works, int64_t threads) {
    const Blocks blocks(works[0].trials);
    const int64_t all = blocks.count * int64_t(works.size());
    share(all, double(works.size()) * works[0].multiplications(), threads, [&](int64_t first, int64_t last) {
        for (int64_t index = first; index < last; index++) {
            const int64_t block = index % blocks.count;
            works[size_t(index / blocks.count)].block(blocks.first(block), blocks.size(block));
        }
    });
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
