/* The sums of exchange.h for callers from Python. */
#include "helpers/parallel/kernels/exchange.h"

void sum_float32(Exchange *x, float *values, int64_t count) { exchange_sum_float(x, values, count); }
void sum_float64(Exchange *x, double *values, int64_t count) { exchange_sum_double(x, values, count); }
