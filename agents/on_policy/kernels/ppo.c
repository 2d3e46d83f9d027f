/* PPO's gradient step for a pair of perceptrons, in single precision.
 *
 * The loss is the one of agents/on_policy/ppo.py, written there in torch; tests hold the two equal. What is gained is
 * not arithmetic but the thousand small calls around it.
 */
#include "agents/compute/kernels/adam.h"
#include "helpers/parallel/kernels/exchange.h"

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
    float *work, *acting;            /* space for learning, and for the policy that acts */
} Job;

/* How many floats of work space a batch takes. */
int64_t work_size(const Job *job, int64_t batch) {
    Space space;
    float *start = (float *)0;
    float *end = lay_out(&job->value, &space, batch, lay_out(&job->policy, &space, batch, start));
    return end - start;
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
    const double correction1 = 1.0 - pow(0.9, (double)step), correction2 = sqrt(1.0 - pow(0.999, (double)step));
    const Adam adam = {0.1f, 0.001f, job->epsilon, (float)(1.0 / correction2)};
    const float norm = norm_of(job->gradients, job->size), shrink = shrink_to(job->clip_norm, norm);
    const int64_t first = job->policy_size, second = job->size - first;
    adam_step(&adam, first, job->parameters, job->gradients, job->moment1, job->moment2, shrink,
              (float)(policy_rate / correction1));
    adam_step(&adam, second, job->parameters + first, job->gradients + first, job->moment1 + first,
              job->moment2 + first, shrink, (float)(value_rate / correction1));
    return norm;
}

/* Steps on `count` minibatches in one call; metrics (count, 6) are this worker's shares. Without an exchange
 * the worker is alone. */
void epoch(Job *job, Exchange *exchange, const int64_t *order, int64_t count, int64_t batch, int64_t global_batch,
           int64_t step, double policy_rate, double value_rate, float *metrics) {
    for (int64_t k = 0; k < count; k++) {
        gradient(job, order + k * batch, batch, global_batch, metrics + 6 * k);
        if (exchange) exchange_sum_float(exchange, job->gradients, job->size);
        metrics[6 * k + 5] = apply(job, step + k, policy_rate, value_rate) / (exchange ? exchange->size : 1);
    }
}

/* Values (count,) of the rows of an input (count, in), `batch` of them at a time. */
void values(Job *job, const float *input, int64_t count, int64_t batch, float *result) {
    Space value;
    const int64_t in = job->value.sizes[0], pin = PADDED(in);
    lay_out(&job->value, &value, batch, job->work);
    load_weights(&job->value, &value, job->parameters);
    for (int64_t start = 0; start < count; start += batch) {
        const int64_t rows = count - start < batch ? count - start : batch;
        for (int64_t b = 0; b < rows; b++) {
            memcpy(value.activation[0] + b * pin, input + (start + b) * in, sizeof(float) * in);
            memset(value.activation[0] + b * pin + in, 0, sizeof(float) * (pin - in));
        }
        forward(&job->value, &value, rows);
        for (int64_t b = 0; b < rows; b++) result[start + b] = value.activation[job->value.layers][b * LANES];
    }
}

/* losses.gae for arrays (steps, environments). */
void gae(const float *reward, const float *value, const float *next_value, const uint8_t *terminated,
         const uint8_t *truncated, int64_t steps, int64_t environments, float gamma, float lambda, float *result) {
    for (int64_t n = 0; n < environments; n++) {
        float advantage = 0.0f;
        for (int64_t t = steps - 1; t >= 0; t--) {
            const int64_t i = t * environments + n;
            const float difference = reward[i] + (terminated[i] ? 0.0f : gamma * next_value[i]) - value[i];
            advantage = difference + (terminated[i] | truncated[i] ? 0.0f : gamma * lambda * advantage);
            result[i] = advantage;
        }
    }
}

/* Copy the policy's weights for `act` on up to `batch` observations. */
void prepare_to_act(Job *job, int64_t batch) {
    Space policy;
    lay_out(&job->policy, &policy, batch, job->acting);
    load_weights(&job->policy, &policy, job->parameters);
}

/* The policy's head (batch, out) for raw observations, standardised by (x - offset) * scale, clipped to +-limit.
 * With noise (batch, out), a Gaussian policy's actions. */
void act(Job *job, const float *observations, int64_t batch, int64_t prepared, const float *offset,
         const float *scale, float limit, const float *noise, float *head) {
    Space policy;
    const int64_t in = job->policy.sizes[0], pin = PADDED(in), out = job->policy.sizes[job->policy.layers];
    lay_out(&job->policy, &policy, prepared, job->acting);
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
    if (noise == 0) return;
    for (int64_t j = 0; j < out; j++) {
        const float deviation = expf(job->parameters[job->log_std + j]);
        for (int64_t b = 0; b < batch; b++) head[b * out + j] += noise[b * out + j] * deviation;
    }
}
