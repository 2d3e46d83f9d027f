/* Sums over the workers of one machine, through memory that they share. Two workers add what the other one wrote;
 * of more, each sums a part for all.
 *
 * Every worker calls with equally many numbers, in the same order of calls. The sums run over the workers in
 * their order, so that all of them hold the same bits. Two sets of slots take turns: who writes for the next
 * call cannot overtake who still reads for this one.
 */
#ifndef EXCHANGE_H
#define EXCHANGE_H
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE 64
#define SPINS 500        /* before the processor is offered to others */
#define YIELDS 20000     /* before the worker sleeps between two looks */

typedef struct {
    int64_t rank, size;
    int64_t capacity;    /* bytes of a slot, a multiple of LINE */
    int64_t mark;        /* how often the workers have met: equal on all between two calls */
    char *memory;        /* a line for each worker's mark, then two sets of size + 1 slots */
    double seconds;      /* spent in here, waiting included */
} Exchange;

static inline int64_t *exchange_mark(const Exchange *x, int64_t rank) { return (int64_t *)(x->memory + LINE * rank); }

static inline char *exchange_slot(const Exchange *x, int64_t set, int64_t slot) {
    return x->memory + LINE * x->size + ((x->size + 1) * set + slot) * x->capacity;
}

static inline void exchange_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Wait until every worker has come here as often as this one. */
static inline void exchange_meet(Exchange *x) {
    x->mark++;
    __atomic_store_n(exchange_mark(x, x->rank), x->mark, __ATOMIC_RELEASE);
    for (int64_t w = 0; w < x->size; w++)
        for (int64_t looks = 0; __atomic_load_n(exchange_mark(x, w), __ATOMIC_ACQUIRE) < x->mark; looks++) {
            if (looks < SPINS) exchange_pause();
            else if (looks < SPINS + YIELDS) sched_yield();
            else usleep(50);
        }
}

static inline double exchange_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}

#define EXCHANGE_SUM(TYPE)                                                                                    \
    static inline void exchange_add_##TYPE(TYPE *restrict sums, const TYPE *restrict theirs, int64_t from,    \
                                           int64_t until) {                                                   \
        for (int64_t i = from; i < until; i++) sums[i] += theirs[i];                                          \
    }                                                                                                         \
    static inline void exchange_sum_##TYPE(Exchange *x, TYPE *values, int64_t count) {                        \
        const double started = exchange_clock();                                                              \
        const int64_t set = (x->mark / 2) % 2, parts = x->size;                                               \
        memcpy(exchange_slot(x, set, x->rank), values, sizeof(TYPE) * count);                                 \
        exchange_meet(x);                                                                                     \
        if (parts == 2) { /* a + b is b + a */                                                                \
            exchange_add_##TYPE(values, (TYPE *)exchange_slot(x, set, 1 - x->rank), 0, count);                \
            x->mark++; /* the second meeting, which is not needed */                                          \
        } else {                                                                                              \
            TYPE *sums = (TYPE *)exchange_slot(x, set, x->size);                                              \
            const int64_t each = (count + parts - 1) / parts, from = each * x->rank;                          \
            const int64_t until = from + each < count ? from + each : count;                                  \
            if (from < until) {                                                                               \
                memcpy(sums + from, (TYPE *)exchange_slot(x, set, 0) + from, sizeof(TYPE) * (until - from));  \
                for (int64_t w = 1; w < parts; w++)                                                           \
                    exchange_add_##TYPE(sums, (TYPE *)exchange_slot(x, set, w), from, until);                 \
            }                                                                                                 \
            exchange_meet(x);                                                                                 \
            memcpy(values, sums, sizeof(TYPE) * count);                                                       \
        }                                                                                                     \
        x->seconds += exchange_clock() - started;                                                             \
    }
EXCHANGE_SUM(float)
EXCHANGE_SUM(double)
#endif
