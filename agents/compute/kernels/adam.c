/* `FlatAdam.step_` of agents/compute/flat_parameters.py: clip a gradient, then one step, each segment at its own rate. */
#include "adam.h"

/* Lengths are multiples of LANES; the gradient's norm before, or 0 where neither clipping nor the caller needs it. */
float adam(int64_t segments, const int64_t *lengths, float *parameters, const float *gradients, float *moment1,
           float *moment2, float new1, float new2, float epsilon, float root_scale, float clip_norm,
           int64_t want_norm, const float *rates) {
    const Adam adam = {new1, new2, epsilon, root_scale};
    int64_t size = 0;
    for (int64_t s = 0; s < segments; s++) size += lengths[s];
    const float norm = want_norm || clip_norm > 0.0f ? norm_of(gradients, size) : 0.0f;
    const float shrink = shrink_to(clip_norm, norm);
    for (int64_t s = 0, at = 0; s < segments; at += lengths[s++])
        adam_step(&adam, lengths[s], parameters + at, gradients + at, moment1 + at, moment2 + at, shrink, rates[s]);
    return norm;
}
