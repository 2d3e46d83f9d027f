/* What one core multiplies and adds at most: independent fused multiply-adds in the widest vectors of the level.
 *
 * Twelve chains hide the latency of any processor of today (4 or 5 cycles, two units); nothing touches memory.
 */
#include <stdint.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define LANES (BYTES / 4)
#define CHAINS 12

typedef float Vector __attribute__((vector_size(BYTES)));

/* Floating-point operations of so many rounds; `result` (LANES,) keeps them from being left out. */
double multiply_and_add(int64_t rounds, float *result) {
    Vector chain[CHAINS], factor, summand, sum;
    for (int64_t j = 0; j < LANES; j++) factor[j] = 0.999f + result[0], summand[j] = 0.001f + result[0];
    for (int64_t i = 0; i < CHAINS; i++) chain[i] = factor + (float)i;
    for (int64_t round = 0; round < rounds; round++)
        for (int64_t i = 0; i < CHAINS; i++) chain[i] = chain[i] * factor + summand;
    sum = chain[0];
    for (int64_t i = 1; i < CHAINS; i++) sum += chain[i];
    for (int64_t j = 0; j < LANES; j++) result[j] = sum[j];
    return 2.0 * LANES * CHAINS * (double)rounds;
}
