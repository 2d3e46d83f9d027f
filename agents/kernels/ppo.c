/* PPO's gradient step for a pair of tanh perceptrons, in single precision.
 *
 * The loss is the one of agents/ppo.py, written there in torch; tests hold the two equal. What is gained is
 * not arithmetic but the thousand small calls around it. Matrices are row-major; rows of the work space are
 * padded to whole vectors, so that no loop has a remainder in its inner dimension.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANES 16
#define MAX_LAYERS 10
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define PADDED(n) (((n) + LANES - 1) / LANES * LANES)

typedef struct {
    int64_t layers;                  /* linear layers, the head included */
    int64_t sizes[MAX_LAYERS + 1];   /* inputs, widths, outputs */
    int64_t weights[MAX_LAYERS];     /* offsets into the flat parameters, (out, in) */
    int64_t biases[MAX_LAYERS];
} Net;

typedef struct {
    /* the flat vectors (P,) */
    float *parameters, *gradients, *moment1, *moment2;
    int64_t size, policy_size;       /* P, and where the policy's segment ends */
    Net policy, value;
    int64_t log_std;                 /* offset, or -1: categorical */
    /* the rollout, (samples, ...) */
    const float *policy_input, *value_input, *action, *old_log_prob, *advantage, *target, *old_value;
    const int64_t *choice;
    /* settings */
    float clip_ratio, value_clip, baseline_scale, entropy_scale, clip_norm, epsilon;
    float *work;
} Job;

typedef int32_t mask __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static inline vec splat(float x) { return x - (vec){0}; }
static inline vec choose(mask m, vec a, vec b) { return (vec)((m & (mask)a) | (~m & (mask)b)); }

/* C (M, N) = A (M, K) B (K, N), or += ; N a multiple of LANES; A has any strides. */
#define TILE(ROWS, COLUMNS)                                                                              \
    static inline void tile_##ROWS##_##COLUMNS(int64_t depth, const float *a, int64_t row, int64_t step, \
                                               const float *b, int64_t ldb, float *c, int64_t ldc) {     \
        vec sum[ROWS][COLUMNS];                                                                          \
        _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; r++)                                           \
            _Pragma("GCC unroll 8") for (int j = 0; j < COLUMNS; j++) sum[r][j] = splat(0.0f);           \
        for (int64_t k = 0; k < depth; k++) {                                                            \
            vec right[COLUMNS];                                                                          \
            _Pragma("GCC unroll 8") for (int j = 0; j < COLUMNS; j++)                                    \
                right[j] = *(const vec *)(b + k * ldb + j * LANES);                                      \
            _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; r++) {                                     \
                vec left = splat(a[r * row + k * step]);                                                 \
                _Pragma("GCC unroll 8") for (int j = 0; j < COLUMNS; j++) sum[r][j] += left * right[j];  \
            }                                                                                            \
        }                                                                                                \
        _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; r++)                                           \
            _Pragma("GCC unroll 8") for (int j = 0; j < COLUMNS; j++)                                    \
                *(vec *)(c + r * ldc + j * LANES) = sum[r][j];                                           \
    }
TILE(4, 2)
TILE(4, 1)
TILE(1, 2)
TILE(1, 1)

static void multiply(int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t row, int64_t step,
                     const float *b, int64_t ldb, float *c, int64_t ldc) {
    for (int64_t j = 0; j < columns; j += 2 * LANES) {
        const int wide = columns - j >= 2 * LANES;
        int64_t i = 0;
        for (; i + 4 <= rows; i += 4)
            (wide ? tile_4_2 : tile_4_1)(depth, a + i * row, row, step, b + j, ldb, c + i * ldc + j, ldc);
        for (; i < rows; i++)
            (wide ? tile_1_2 : tile_1_1)(depth, a + i * row, row, step, b + j, ldb, c + i * ldc + j, ldc);
    }
}

/* tanh to 4e-7: a rational minimax approximation on +-7.9, beyond which tanh rounds to +-1. */
static inline vec tanh_vec(vec x) {
    const vec limit = splat(7.90531110763549805f);
    x = choose(x > limit, limit, x);
    x = choose(x < -limit, -limit, x);
    const vec s = x * x;
    vec p = s * -2.76076847742355e-16f + 2.00018790482477e-13f;
    p = p * s + -8.60467152213735e-11f;
    p = p * s + 5.12229709037114e-08f;
    p = p * s + 1.48572235717979e-05f;
    p = p * s + 6.37261928875436e-04f;
    p = p * s + 4.89352455891786e-03f;
    vec q = s * 1.19825839466702e-06f + 1.18534705686654e-04f;
    q = q * s + 2.26843463243900e-03f;
    q = q * s + 4.89352518554385e-03f;
    return x * p / q;
}

/* Where a net's padded copies and activations lie in the work space; returns the end. */
typedef struct {
    float *weight[MAX_LAYERS];      /* (out, padded in) */
    float *transposed[MAX_LAYERS];  /* (in, padded out) */
    float *bias[MAX_LAYERS];        /* (padded out) */
    float *activation[MAX_LAYERS + 1]; /* (batch, padded width); [0] is the input */
    float *delta[2];                /* (batch, padded widest) */
    float *weight_gradient;         /* (widest, padded widest) */
} Space;

static float *lay_out(const Net *net, Space *space, int64_t batch, float *at) {
    int64_t widest = 0;
    for (int64_t l = 0; l <= net->layers; l++)
        if (PADDED(net->sizes[l]) > widest) widest = PADDED(net->sizes[l]);
    for (int64_t l = 0; l < net->layers; l++) {
        space->weight[l] = at, at += net->sizes[l + 1] * PADDED(net->sizes[l]);
        space->transposed[l] = at, at += net->sizes[l] * PADDED(net->sizes[l + 1]);
        space->bias[l] = at, at += PADDED(net->sizes[l + 1]);
    }
    for (int64_t l = 0; l <= net->layers; l++) space->activation[l] = at, at += batch * PADDED(net->sizes[l]);
    for (int i = 0; i < 2; i++) space->delta[i] = at, at += batch * widest;
    space->weight_gradient = at;
    return at + widest * widest;
}

/* How many floats of work space a batch takes. */
int64_t work_size(const Job *job, int64_t batch) {
    Space space;
    float *start = (float *)0;
    float *end = lay_out(&job->value, &space, batch, lay_out(&job->policy, &space, batch, start));
    return end - start;
}

static void load_weights(const Net *net, const Space *space, const float *parameters) {
    for (int64_t l = 0; l < net->layers; l++) {
        const int64_t in = net->sizes[l], out = net->sizes[l + 1], pin = PADDED(in), pout = PADDED(out);
        const float *w = parameters + net->weights[l];
        memset(space->bias[l], 0, sizeof(float) * pout);
        memcpy(space->bias[l], parameters + net->biases[l], sizeof(float) * out);
        for (int64_t o = 0; o < out; o++) {
            memcpy(space->weight[l] + o * pin, w + o * in, sizeof(float) * in);
            memset(space->weight[l] + o * pin + in, 0, sizeof(float) * (pin - in));
        }
        for (int64_t i = 0; i < in; i++) {
            float *row = space->transposed[l] + i * pout;
            for (int64_t o = 0; o < out; o++) row[o] = w[o * in + i];
            memset(row + out, 0, sizeof(float) * (pout - out));
        }
    }
}

/* Activations of every layer; the head, the last one, is linear. */
static void forward(const Net *net, const Space *space, int64_t batch) {
    for (int64_t l = 0; l < net->layers; l++) {
        const int64_t pin = PADDED(net->sizes[l]), pout = PADDED(net->sizes[l + 1]);
        float *out = space->activation[l + 1];
        multiply(batch, pout, net->sizes[l], space->activation[l], pin, 1, space->transposed[l], pout, out, pout);
        const int hidden = l + 1 < net->layers;
        for (int64_t b = 0; b < batch; b++)
            for (int64_t j = 0; j < pout; j += LANES) {
                vec *y = (vec *)(out + b * pout + j);
                const vec x = *y + *(vec *)(space->bias[l] + j);
                *y = hidden ? tanh_vec(x) : x;
            }
    }
}

/* Gradients of all layers from delta[0], the loss's derivative by the head's output (batch, padded out). */
static void backward(const Net *net, Space *space, int64_t batch, float *gradients) {
    for (int64_t l = net->layers - 1; l >= 0; l--) {
        const int64_t in = net->sizes[l], out = net->sizes[l + 1], pin = PADDED(in), pout = PADDED(out);
        float *delta = space->delta[0], *weight_gradient = space->weight_gradient;
        multiply(out, pin, batch, delta, 1, pout, space->activation[l], pin, weight_gradient, pin);
        for (int64_t o = 0; o < out; o++)
            memcpy(gradients + net->weights[l] + o * in, weight_gradient + o * pin, sizeof(float) * in);
        for (int64_t j = 0; j < pout; j += LANES) {
            vec sum = splat(0.0f);
            for (int64_t b = 0; b < batch; b++) sum += *(vec *)(delta + b * pout + j);
            const int64_t n = out - j < LANES ? out - j : LANES;
            memcpy(gradients + net->biases[l] + j, &sum, sizeof(float) * n);
        }
        if (l == 0) return;
        float *before = space->delta[1];
        multiply(batch, pin, out, delta, pout, 1, space->weight[l], pin, before, pin);
        for (int64_t i = 0; i < batch * pin; i += LANES) {
            const vec y = *(vec *)(space->activation[l] + i);
            *(vec *)(before + i) *= 1.0f - y * y;
        }
        space->delta[0] = before, space->delta[1] = delta;
    }
}

static void gather(const Net *net, const Space *space, const float *input, const int64_t *index, int64_t batch) {
    const int64_t in = net->sizes[0], pin = PADDED(in);
    for (int64_t b = 0; b < batch; b++) {
        float *row = space->activation[0] + b * pin;
        memcpy(row, input + index[b] * in, sizeof(float) * in);
        memset(row + in, 0, sizeof(float) * (pin - in));
    }
}

/* d(policy loss)/d(log_prob) of one sample; adds to the metrics. */
static float surrogate(const Job *job, float log_prob, int64_t i, double *metrics) {
    const float log_ratio = log_prob - job->old_log_prob[i], ratio = expf(log_ratio);
    const float low = 1.0f - job->clip_ratio, high = 1.0f + job->clip_ratio;
    const float clipped = ratio < low ? low : ratio > high ? high : ratio;
    const float advantage = job->advantage[i], plain = ratio * advantage, bounded = clipped * advantage;
    metrics[0] -= plain < bounded ? plain : bounded;
    metrics[3] += expm1f(log_ratio) - log_ratio;
    metrics[4] += ratio != clipped;
    return plain <= bounded ? -plain : 0.0f;
}

/* Log-density of one action; z (actions,) is left behind. */
static inline float gaussian_log_prob(const float *action, const float *mean, const float *inverse, float constant,
                                      int64_t actions, float *z) {
    float squares = 0.0f;
    for (int64_t j = 0; j < actions; j++) {
        z[j] = (action[j] - mean[j]) * inverse[j];
        squares += z[j] * z[j];
    }
    return -0.5f * squares - constant;
}

/* Inverse deviations, and the constant of the log-density. */
static inline float gaussian_scale(const float *log_std, int64_t actions, float *inverse) {
    float constant = 0.0f;
    for (int64_t j = 0; j < actions; j++) {
        inverse[j] = expf(-log_std[j]);
        constant += log_std[j] + 0.918938533204672742f;
    }
    return constant;
}

static inline float log_sum_exp(const float *logit, int64_t choices) {
    float largest = logit[0], sum = 0.0f;
    for (int64_t k = 1; k < choices; k++) largest = logit[k] > largest ? logit[k] : largest;
    for (int64_t k = 0; k < choices; k++) sum += expf(logit[k] - largest);
    return largest + logf(sum);
}

static void gaussian_head(const Job *job, Space *space, const int64_t *index, int64_t batch, float scale,
                          double *metrics) {
    const int64_t actions = job->policy.sizes[job->policy.layers], padded = PADDED(actions);
    const float *mean = space->activation[job->policy.layers];
    float *log_std_gradient = job->gradients + job->log_std, *delta = space->delta[0];
    float inverse[actions], z[actions];
    const float constant = gaussian_scale(job->parameters + job->log_std, actions, inverse);
    memset(delta, 0, sizeof(float) * batch * padded);
    for (int64_t b = 0; b < batch; b++) {
        const float log_prob = gaussian_log_prob(job->action + index[b] * actions, mean + b * padded, inverse,
                                                 constant, actions, z);
        const float slope = scale * surrogate(job, log_prob, index[b], metrics);
        for (int64_t j = 0; j < actions; j++) {
            delta[b * padded + j] = slope * z[j] * inverse[j];
            log_std_gradient[j] += slope * (z[j] * z[j] - 1.0f);
        }
    }
    for (int64_t j = 0; j < actions; j++) log_std_gradient[j] -= job->entropy_scale * scale * batch;
    metrics[2] += (constant + 0.5 * actions) * batch;
}

static void categorical_head(const Job *job, Space *space, const int64_t *index, int64_t batch, float scale,
                             double *metrics) {
    const int64_t choices = job->policy.sizes[job->policy.layers], padded = PADDED(choices);
    float *delta = space->delta[0], log_prob[choices];
    memset(delta, 0, sizeof(float) * batch * padded);
    for (int64_t b = 0; b < batch; b++) {
        const float *logit = space->activation[job->policy.layers] + b * padded;
        const float normaliser = log_sum_exp(logit, choices);
        float entropy = 0.0f;
        for (int64_t k = 0; k < choices; k++) {
            log_prob[k] = logit[k] - normaliser;
            entropy -= expf(log_prob[k]) * log_prob[k];
        }
        const int64_t chosen = job->choice[index[b]];
        const float slope = surrogate(job, log_prob[chosen], index[b], metrics);
        for (int64_t k = 0; k < choices; k++) {
            const float p = expf(log_prob[k]);
            const float entropy_slope = job->entropy_scale * p * (log_prob[k] + entropy);
            delta[b * padded + k] = scale * (slope * ((k == chosen) - p) + entropy_slope);
        }
        metrics[2] += entropy;
    }
}

static void value_head(const Job *job, Space *space, const int64_t *index, int64_t batch, float scale,
                       double *metrics) {
    const float *value = space->activation[job->value.layers];
    float *delta = space->delta[0];
    memset(delta, 0, sizeof(float) * batch * LANES);
    for (int64_t b = 0; b < batch; b++) {
        const int64_t i = index[b];
        const float error = value[b * LANES] - job->target[i];
        float loss = error * error, slope = 2.0f * error;
        if (job->value_clip > 0.0f) {
            const float move = value[b * LANES] - job->old_value[i], limit = job->value_clip;
            const float near = job->old_value[i] + (move < -limit ? -limit : move > limit ? limit : move);
            const float near_loss = (near - job->target[i]) * (near - job->target[i]);
            if (near_loss > loss) loss = near_loss, slope = 0.0f;
        }
        metrics[1] += loss;
        delta[b * LANES] = scale * job->baseline_scale * slope;
    }
}

/* Log-probabilities of the minibatches' actions, left where each sample lies; with the arithmetic of `gradient`. */
void log_probs(Job *job, const int64_t *order, int64_t count, int64_t batch, float *result) {
    Space policy;
    const int64_t outputs = job->policy.sizes[job->policy.layers], padded = PADDED(outputs);
    float inverse[outputs], z[outputs], constant = 0.0f;
    if (job->log_std >= 0) constant = gaussian_scale(job->parameters + job->log_std, outputs, inverse);
    lay_out(&job->policy, &policy, batch, job->work);
    load_weights(&job->policy, &policy, job->parameters);
    for (int64_t m = 0; m < count; m++) {
        const int64_t *index = order + m * batch;
        gather(&job->policy, &policy, job->policy_input, index, batch);
        forward(&job->policy, &policy, batch);
        for (int64_t b = 0; b < batch; b++) {
            const float *head = policy.activation[job->policy.layers] + b * padded;
            const int64_t i = index[b];
            result[i] = job->log_std < 0
                            ? head[job->choice[i]] - log_sum_exp(head, outputs)
                            : gaussian_log_prob(job->action + i * outputs, head, inverse, constant, outputs, z);
        }
    }
}

/* Gradients (P,) of one worker's share of a minibatch, as parts of the mean over the global minibatch.
 * metrics (5,): shares of policy loss, value loss, entropy, approximate KL, clip fraction. */
void gradient(Job *job, const int64_t *index, int64_t batch, int64_t global_batch, float *metrics) {
    Space policy, value;
    const float scale = 1.0f / global_batch;
    double sums[5] = {0};
    lay_out(&job->value, &value, batch, lay_out(&job->policy, &policy, batch, job->work));
    memset(job->gradients, 0, sizeof(float) * job->size);

    load_weights(&job->policy, &policy, job->parameters);
    gather(&job->policy, &policy, job->policy_input, index, batch);
    forward(&job->policy, &policy, batch);
    (job->log_std < 0 ? categorical_head : gaussian_head)(job, &policy, index, batch, scale, sums);
    backward(&job->policy, &policy, batch, job->gradients);

    load_weights(&job->value, &value, job->parameters);
    gather(&job->value, &value, job->value_input, index, batch);
    forward(&job->value, &value, batch);
    value_head(job, &value, index, batch, scale, sums);
    backward(&job->value, &value, batch, job->gradients);
    for (int k = 0; k < 5; k++) metrics[k] = (float)(sums[k] * scale);
}

/* Clip the summed gradient and take one Adam step; the gradient's norm before. `step` counts from 1. */
float apply(Job *job, int64_t step, double policy_rate, double value_rate) {
    double square = 0.0;
    for (int64_t i = 0; i < job->size; i += LANES) {
        const vec g = *(vec *)(job->gradients + i);
        const vec s = g * g;
        float sum = 0.0f;
        for (int k = 0; k < LANES; k++) sum += s[k];
        square += sum;
    }
    const float norm = (float)sqrt(square);
    float shrink = 1.0f;
    if (job->clip_norm > 0.0f && job->clip_norm / (norm + 1e-6f) < 1.0f) shrink = job->clip_norm / (norm + 1e-6f);
    if (norm != norm) shrink = norm;
    const double correction1 = 1.0 - pow(0.9, (double)step), correction2 = sqrt(1.0 - pow(0.999, (double)step));
    const float root_scale = (float)(1.0 / correction2);
    for (int64_t i = 0; i < job->size; i += LANES) {
        const float rate = (float)((i < job->policy_size ? policy_rate : value_rate) / correction1);
        const vec g = *(vec *)(job->gradients + i) * shrink;
        vec *m = (vec *)(job->moment1 + i), *v = (vec *)(job->moment2 + i), root;
        *m += 0.1f * (g - *m);
        *v = 0.999f * *v + 0.001f * g * g;
        for (int k = 0; k < LANES; k++) root[k] = sqrtf((*v)[k]);
        *(vec *)(job->parameters + i) -= rate * *m / (root * root_scale + job->epsilon);
    }
    return norm;
}

/* Steps on `count` minibatches in one call, for a worker alone; metrics (count, 6). */
void epoch(Job *job, const int64_t *order, int64_t count, int64_t batch, int64_t step, double policy_rate,
           double value_rate, float *metrics) {
    for (int64_t k = 0; k < count; k++) {
        gradient(job, order + k * batch, batch, batch, metrics + 6 * k);
        metrics[6 * k + 5] = apply(job, step + k, policy_rate, value_rate);
    }
}

/* The policy's head (batch, out) for raw observations, standardised by (x - offset) * scale, clipped to +-limit. */
void act(Job *job, const float *observations, int64_t batch, const float *offset, const float *scale, float limit,
         float *head) {
    Space policy;
    const int64_t in = job->policy.sizes[0], pin = PADDED(in), out = job->policy.sizes[job->policy.layers];
    lay_out(&job->policy, &policy, batch, job->work);
    load_weights(&job->policy, &policy, job->parameters);
    for (int64_t b = 0; b < batch; b++) {
        float *row = policy.activation[0] + b * pin;
        for (int64_t i = 0; i < in; i++) {
            const float x = (observations[b * in + i] - offset[i]) * scale[i];
            row[i] = x < -limit ? -limit : x > limit ? limit : x;
        }
        memset(row + in, 0, sizeof(float) * (pin - in));
    }
    forward(&job->policy, &policy, batch);
    for (int64_t b = 0; b < batch; b++)
        memcpy(head + b * out, policy.activation[job->policy.layers] + b * PADDED(out), sizeof(float) * out);
}
