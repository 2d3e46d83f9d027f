/* Nothing but physics: the actions of one episode after another into mj_step, for benchmarks/speed/limit.py. */
#include <stdint.h>
#include <string.h>

typedef void (*Step)(const void *model, void *data);

/* `count` rows of `width` controls (count, width), each held for `frame_skip` steps. */
void play(Step step, const void *model, void *data, double *ctrl, const double *rows, int64_t count, int64_t width,
          int64_t frame_skip) {
    for (int64_t i = 0; i < count; i++) {
        memcpy(ctrl, rows + i * width, sizeof(double) * width);
        for (int64_t k = 0; k < frame_skip; k++) step(model, data);
    }
}
