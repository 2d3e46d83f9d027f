/* OpenMP of one thread, for a C++ compiler that comes without it: a worker has one core (agents/compute/compiled_step.py). */
#ifndef ONE_THREAD_OMP_H
#define ONE_THREAD_OMP_H
static inline int omp_get_max_threads(void) { return 1; }
static inline int omp_get_num_threads(void) { return 1; }
static inline int omp_get_thread_num(void) { return 0; }
static inline int omp_in_parallel(void) { return 0; }
#endif
