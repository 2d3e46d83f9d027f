/* PPO's kernel and Adam's as a program of its own, for processors that this machine does not have.
 *
 *     kernel_steps INPUT OUTPUT
 *
 * Both files are what tests/agents/compute/test_kernels_elsewhere.py writes and reads: arrays, one after another. The Job is
 * as Python laid it out, its pointers worthless. 2: a file is too short, or cannot be opened; 3: the Job is another one.
 */
#include "agents/on_policy/kernels/ppo.c"

#include <stdio.h>
#include <stdlib.h>

float adam(int64_t segments, const int64_t *lengths, float *parameters, const float *gradients, float *moment1,
           float *moment2, float new1, float new2, float epsilon, float root_scale, float clip_norm,
           int64_t want_norm, const float *rates);

static FILE *input, *output;

/* Room that begins on a line of the cache, zero. */
static void *room(size_t bytes) {
    void *made = aligned_alloc(64, (bytes + 64) / 64 * 64);
    if (made == 0) exit(2);
    return memset(made, 0, bytes);
}

static void *take(size_t bytes) {
    void *taken = room(bytes);
    if (fread(taken, 1, bytes, input) != bytes) exit(2);
    return taken;
}

static void give(const void *what, size_t bytes) {
    if (fwrite(what, 1, bytes, output) != bytes) exit(2);
}

static float *floats(int64_t count) { return take(sizeof(float) * count); }

int main(int count_of_arguments, char **arguments) {
    if (count_of_arguments != 3) return 2;
    input = fopen(arguments[1], "rb"), output = fopen(arguments[2], "wb");
    if (input == 0 || output == 0) return 2;
    const int64_t *numbers = take(sizeof(int64_t) * 7);
    const int64_t job_size = numbers[0], steps = numbers[1], environments = numbers[2], epochs = numbers[3];
    const int64_t count = numbers[4], batch = numbers[5], with_noise = numbers[6];
    if (job_size != (int64_t)sizeof(Job)) return 3;
    const int64_t samples = steps * environments, total = epochs * count;
    const double *rates = take(sizeof(double) * 2);
    const float *scalars = floats(3); /* gamma, lambda, the limit of standardised observations */
    Job *job = take(sizeof(Job));
    const int64_t inputs = job->policy.sizes[0], outputs = job->policy.sizes[job->policy.layers];
    const int64_t width = job->log_std < 0 ? 1 : outputs;

    /* What comes before the steps: values, advantages, acting, log-probabilities. */
    job->parameters = floats(job->size);
    job->gradients = room(sizeof(float) * job->size);
    job->moment1 = room(sizeof(float) * job->size), job->moment2 = room(sizeof(float) * job->size);
    job->policy_input = floats(samples * inputs);
    job->value_input = floats(samples * job->value.sizes[0]);
    job->action = floats(job->log_std < 0 ? 0 : samples * width);
    job->choice = take(sizeof(int64_t) * (job->log_std < 0 ? samples : 0));
    const int64_t *order = take(sizeof(int64_t) * total * batch);
    const float *reward = floats(samples), *value = floats(samples), *next_value = floats(samples);
    const uint8_t *terminated = take(samples), *truncated = take(samples);
    const float *offset = floats(inputs), *scale = floats(inputs);
    const float *noise = floats(with_noise ? environments * outputs : 0);
    float *result = room(sizeof(float) * samples * (outputs > 4 ? outputs : 4));
    job->work = room(sizeof(float) * work_size(job, batch));
    job->acting = room(sizeof(float) * work_size(job, environments));
    log_probs(job, order, count, batch, result);
    give(result, sizeof(float) * samples);
    values(job, job->value_input, samples, batch, result);
    give(result, sizeof(float) * samples);
    gae(reward, value, next_value, terminated, truncated, steps, environments, scalars[0], scalars[1], result);
    give(result, sizeof(float) * samples);
    prepare_to_act(job, environments);
    act(job, job->policy_input, environments, environments, offset, scale, scalars[2], with_noise ? noise : 0, result);
    give(result, sizeof(float) * environments * outputs);

    /* The steps; targets and advantages are recomputed before each epoch. */
    job->old_log_prob = floats(samples), job->old_value = floats(samples);
    float *metrics = room(sizeof(float) * total * 6);
    for (int64_t e = 0; e < epochs; e++) {
        job->target = floats(samples), job->advantage = floats(samples);
        epoch(job, 0, order + e * count * batch, count, batch, batch, 1 + e * count, rates[0], rates[1],
              metrics + e * count * 6);
    }
    give(job->parameters, sizeof(float) * job->size);
    give(metrics, sizeof(float) * total * 6);

    /* One step of Adam's own kernel from there, on the gradient of the last minibatch. */
    const int64_t lengths[2] = {job->policy_size, job->size - job->policy_size};
    const float step_sizes[2] = {0.001f, 0.002f};
    give(job->gradients, sizeof(float) * job->size);
    memset(job->moment1, 0, sizeof(float) * job->size), memset(job->moment2, 0, sizeof(float) * job->size);
    const float norm = adam(2, lengths, job->parameters, job->gradients, job->moment1, job->moment2, 0.1f, 0.001f,
                            job->epsilon, 31.622776601683793f, 0.1f, 1, step_sizes);
    give(&norm, sizeof(float));
    give(job->parameters, sizeof(float) * job->size);
    return fclose(output) == 0 ? 0 : 2;
}
