/* Adam (arXiv:1412.6980, Algorithm 1) in single precision, in one pass over memory. */
#ifndef ADAM_H
#define ADAM_H
#include "perceptron.h"

typedef struct {
    float new1, new2; /* weights of the new gradient in the two moments, 1 - beta */
    float epsilon;
    float root_scale; /* 1 / sqrt(1 - beta2^t) */
} Adam;

/* The Euclidean norm of `size` numbers, a multiple of LANES. */
static float norm_of(const float *gradients, int64_t size) {
    double squares[LANES] = {0}, square = 0.0;
    for (int64_t i = 0; i < size; i += LANES)
        for (int k = 0; k < LANES; k++) squares[k] += (double)gradients[i + k] * gradients[i + k];
    for (int k = 0; k < LANES; k++) square += squares[k];
    return (float)sqrt(square);
}

/* What a gradient of this norm is multiplied by: at most 1; not a number where the norm is none. */
static float shrink_to(float limit, float norm) {
    if (norm != norm) return norm;
    const float ratio = limit / (norm + 1e-6f);
    return limit > 0.0f && ratio < 1.0f ? ratio : 1.0f;
}

/* `rate` is the step size over 1 - beta1^t; `size` a multiple of LANES. */
static void adam_step(const Adam *adam, int64_t size, float *parameters, const float *gradients, float *moment1,
                      float *moment2, float shrink, float rate) {
    for (int64_t i = 0; i < size; i += LANES) {
        const vec g = *(vec *)(gradients + i) * shrink;
        vec *m = (vec *)(moment1 + i), *v = (vec *)(moment2 + i), root;
        *m += adam->new1 * (g - *m);
        *v = (1.0f - adam->new2) * *v + adam->new2 * g * g;
        for (int k = 0; k < LANES; k++) root[k] = sqrtf((*v)[k]);
        *(vec *)(parameters + i) -= rate * *m / (root * adam->root_scale + adam->epsilon);
    }
}
#endif
