// Output error of softmax cross-entropy: weight / trials (softmax(y) - onehot(target)) at every step of every trial.

#pragma once

#include "subnormal.h"
#include "vectors.h"

namespace {

constexpr int OUTSIDE = 2;  // returned for a target that is no class

// Write the errors of steps 1 to T, shape (T + 1, B, O), and zeros at time zero.
template <class T>
int class_error(int64_t steps, int64_t trials, int64_t classes, const T* outputs, const int64_t* targets,
                const T* weights, T* error) {
    const SubnormalsAsZero mode;
    std::memset(error, 0, size_t(trials * classes) * sizeof(T));
    error += trials * classes;
    const int64_t rows = steps * trials, count = rows * classes;
    for (int64_t r = 0; r < rows; r++) {
        const T* const y = outputs + r * classes;
        T most = y[0];
        for (int64_t c = 1; c < classes; c++) most = y[c] > most ? y[c] : most;
        for (int64_t c = 0; c < classes; c++) error[r * classes + c] = y[c] - most;
    }
    vectors<T>(count, [&](int64_t i, int lanes) {
        store(error + i, Exponential<T>(at_least<T>(load(error + i, lanes), Format<T>::LOWEST)).value(), lanes);
    });
    for (int64_t r = 0; r < rows; r++) {
        T* const own = error + r * classes;
        if (targets[r] < 0 || targets[r] >= classes) return OUTSIDE;
        T sum = 0;
        for (int64_t c = 0; c < classes; c++) sum += own[c];
        const T factor = weights[r] / (sum * T(trials));
        own[targets[r]] -= sum;
        for (int64_t c = 0; c < classes; c++) own[c] *= factor;
    }
    return 0;
}

}  // namespace
