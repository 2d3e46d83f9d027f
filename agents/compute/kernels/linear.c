/* A linear layer, rectified or not, and its gradients, in single precision, for one thread.
 *
 * Tensors are row-major and contiguous. The products are those of perceptron.h; here stands what brings a layer
 * into their form: the transposed weights, widths padded to whole vectors, few rows or few outputs apart.
 */
#ifdef __linux__
#include <malloc.h>
#endif
#include <stdlib.h>

#include "perceptron.h"

/* Room that grows and stays; each thread has its own. */
enum { WEIGHTS, LEFT, RIGHT, RESULT, ROOMS };
static _Thread_local struct {
    float *at;
    int64_t size;
} rooms[ROOMS];

static float *room(int which, int64_t size) {
    if (rooms[which].size < size) {
        free(rooms[which].at);
        rooms[which].at = aligned_alloc(64, sizeof(float) * PADDED(size));
        rooms[which].size = rooms[which].at ? size : 0;
    }
    return rooms[which].at;
}

/* A (rows, columns) matrix in rows of `padded` floats, the rest of each zero; itself where nothing is missing. */
static const float *padded_rows(int which, const float *a, int64_t rows, int64_t columns, int64_t padded) {
    if (columns == padded) return a;
    float *copy = room(which, rows * padded);
    if (!copy) return 0;
    for (int64_t i = 0; i < rows; i++) {
        memcpy(copy + i * padded, a + i * columns, sizeof(float) * columns);
        memset(copy + i * padded + columns, 0, sizeof(float) * (padded - columns));
    }
    return copy;
}

static void take_columns(float *to, const float *from, int64_t rows, int64_t columns, int64_t padded) {
    for (int64_t i = 0; i < rows; i++) memcpy(to + i * columns, from + i * padded, sizeof(float) * columns);
}

/* A block of LANES x LANES, transposed by exchanging halves, quarters and so on between its rows. */
#if LANES == 16
#define EVERY(F, S) F(0, S), F(1, S), F(2, S), F(3, S), F(4, S), F(5, S), F(6, S), F(7, S), F(8, S), F(9, S), \
                    F(10, S), F(11, S), F(12, S), F(13, S), F(14, S), F(15, S)
#elif LANES == 8
#define EVERY(F, S) F(0, S), F(1, S), F(2, S), F(3, S), F(4, S), F(5, S), F(6, S), F(7, S)
#else
#define EVERY(F, S) F(0, S), F(1, S), F(2, S), F(3, S)
#endif
/* Where lane K comes from, of two vectors' 2 LANES. */
#define LOW(K, STEP) ((K) & (STEP) ? LANES + (K) - (STEP) : (K))
#define HIGH(K, STEP) ((K) & (STEP) ? LANES + (K) : (K) + (STEP))
#ifdef __clang__
#define SHUFFLE(a, b, FROM, STEP) __builtin_shufflevector(a, b, EVERY(FROM, STEP))
#else
#define SHUFFLE(a, b, FROM, STEP) __builtin_shuffle(a, b, (mask){EVERY(FROM, STEP)})
#endif
#define EXCHANGE(STEP)                                       \
    UNROLL for (int i = 0; i < LANES; i++) if (!(i & STEP)) { \
        const vec a = v[i], b = v[i + STEP];                 \
        v[i] = SHUFFLE(a, b, LOW, STEP);                     \
        v[i + STEP] = SHUFFLE(a, b, HIGH, STEP);             \
    }

static inline void transpose_block(const float *from, int64_t row, float *to, int64_t to_row) {
    vec v[LANES];
    UNROLL for (int i = 0; i < LANES; i++) v[i] = *(const vec *)(from + i * row);
#if LANES > 8
    EXCHANGE(8)
#endif
#if LANES > 4
    EXCHANGE(4)
#endif
    EXCHANGE(2)
    EXCHANGE(1)
    UNROLL for (int i = 0; i < LANES; i++) *(vec *)(to + i * to_row) = v[i];
}

/* The transpose of (out, in), in panels of `PANEL` columns or what is left of them, each (in, width). */
enum { PANEL = 4 * LANES };

static void transpose(const float *w, int64_t out, int64_t in, float *to) {
    const int64_t whole_in = in / LANES * LANES;
    for (int64_t first = 0; first < out; first += PANEL) {
        const int64_t left = out - first < PANEL ? out - first : PANEL, width = PADDED(left);
        const int64_t whole = left / LANES * LANES;
        const float *from = w + first * in;
        for (int64_t i = 0; i < whole_in; i += LANES)
            for (int64_t o = 0; o < whole; o += LANES)
                transpose_block(from + o * in + i, in, to + i * width + o, width);
        for (int64_t i = 0; i < in; i++) {
            for (int64_t o = i < whole_in ? whole : 0; o < left; o++) to[i * width + o] = from[o * in + i];
            for (int64_t o = left; o < width; o++) to[i * width + o] = 0.0f;
        }
        to += in * width;
    }
}

/* Up to four inner products with one vector. */
static inline void inner_products(int64_t n, const float *a, const float *b, int64_t row, int count, float *c) {
    vec sums[4] = {splat(0.0f), splat(0.0f), splat(0.0f), splat(0.0f)};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const vec left = *(const vec *)(a + i);
        for (int j = 0; j < count; j++) sums[j] += left * *(const vec *)(b + j * row + i);
    }
    for (int j = 0; j < count; j++) {
        float sum = 0.0f;
        for (int lane = 0; lane < LANES; lane++) sum += sums[j][lane];
        for (int64_t k = i; k < n; k++) sum += a[k] * b[j * row + k];
        c[j] = sum;
    }
}

/* Add b to each row of (rows, columns) in rows of `row` floats; then, if rectified, 0 in place of what is negative. */
static void finish(float *restrict y, int64_t rows, int64_t columns, int64_t row, const float *restrict b,
                   int64_t rectify) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t o = 0; o < columns; o++) {
            const float sum = y[r * row + o] + b[o];
            y[r * row + o] = rectify && sum < 0.0f ? 0.0f : sum;
        }
}

/* y (rows, out) = x (rows, in) w^T + b, w (out, in); negative ones 0 if rectified. */
int linear(int64_t rows, int64_t in, int64_t out, const float *x, const float *w, const float *b, int64_t rectify,
           float *y) {
    if (rows < 8 || out < 4) {
        for (int64_t r = 0; r < rows; r++) {
            int64_t o = 0;
            for (; o + 4 <= out; o += 4) inner_products(in, x + r * in, w + o * in, in, 4, y + r * out + o);
            for (; o < out; o++) inner_products(in, x + r * in, w + o * in, in, 1, y + r * out + o);
        }
        finish(y, rows, out, out, b, rectify);
        return 0;
    }
    const int64_t padded = PADDED(out);
    float *transposed = room(WEIGHTS, in * padded);
    float *result = padded == out ? y : room(RESULT, rows * padded);
    if (!transposed || !result) return 1;
    transpose(w, out, in, transposed);
    for (int64_t first = 0; first < padded; first += PANEL) {
        const int64_t width = padded - first < PANEL ? padded - first : PANEL;
        const int64_t columns = out - first < width ? out - first : width;
        multiply(rows, width, in, x, in, 1, transposed + in * first, width, result + first, padded);
        finish(result + first, rows, columns, padded, b + first, rectify);
    }
    if (result != y) take_columns(y, result, rows, out, padded);
    return 0;
}

/* x's gradient (rows, in) = g (rows, out) w. */
int linear_input_gradient(int64_t rows, int64_t in, int64_t out, const float *g, const float *w, float *x) {
    const int64_t padded = PADDED(in);
    const float *right = padded_rows(RIGHT, w, out, in, padded);
    float *result = padded == in ? x : room(RESULT, rows * padded);
    if (!right || !result) return 1;
    multiply(rows, padded, out, g, out, 1, right, padded, result, padded);
    if (result != x) take_columns(x, result, rows, in, padded);
    return 0;
}

/* w's gradient (out, in) = g^T x and b's (out,), the sum of g's rows. */
int linear_weight_gradient(int64_t rows, int64_t in, int64_t out, const float *g, const float *x, float *w,
                           float *b) {
    const int64_t padded = PADDED(in);
    const float *right = padded_rows(RIGHT, x, rows, in, padded);
    float *result = padded == in ? w : room(RESULT, out * padded);
    if (!right || !result) return 1;
    multiply(out, padded, rows, g, 1, out, right, padded, result, padded);
    if (result != w) take_columns(w, result, out, in, padded);
    memset(b, 0, sizeof(float) * out);
    for (int64_t r = 0; r < rows; r++) {
        const float *restrict row = g + r * out;
        for (int64_t o = 0; o < out; o++) b[o] += row[o];
    }
    return 0;
}

/* A step frees its temporaries and takes them again in the next one: let none of them go back to the system,
 * which would clear their pages each time. */
void keep_freed_memory(void) {
#ifdef M_TRIM_THRESHOLD
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
}

/* The same for compiled steps: torch's C interface to ahead-of-time compiled code. 0, or 1 for a failure. */
typedef void *Tensor;
extern int32_t aoti_torch_get_data_ptr(Tensor, void **);
extern int32_t aoti_torch_get_sizes(Tensor, int64_t **);
extern int32_t aoti_torch_is_contiguous(Tensor, int8_t *);
extern int32_t aoti_torch_empty_strided(int64_t, const int64_t *, const int64_t *, int32_t, int32_t, int32_t,
                                        Tensor *);
extern int32_t aoti_torch_dtype_float32(void);
extern int32_t aoti_torch_device_type_cpu(void);

static float *data_of(Tensor tensor) {
    void *data = 0;
    int8_t contiguous = 0;
    if (aoti_torch_is_contiguous(tensor, &contiguous) || !contiguous) return 0;
    return aoti_torch_get_data_ptr(tensor, &data) ? 0 : data;
}

/* A new vector (b,) or matrix (a, b). */
static float *make(int64_t dimensions, int64_t a, int64_t b, Tensor *made) {
    const int64_t sizes[] = {a, b}, strides[] = {b, 1};
    const int64_t skip = 2 - dimensions;
    if (aoti_torch_empty_strided(dimensions, sizes + skip, strides + skip, aoti_torch_dtype_float32(),
                                 aoti_torch_device_type_cpu(), 0, made))
        return 0;
    return data_of(*made);
}

int32_t aoti_torch_cpu_linear(Tensor x, Tensor w, Tensor b, int64_t rectify, Tensor *y) {
    int64_t *of_x, *of_w;
    if (aoti_torch_get_sizes(x, &of_x) || aoti_torch_get_sizes(w, &of_w)) return 1;
    const float *left = data_of(x), *right = data_of(w), *bias = data_of(b);
    float *result = make(2, of_x[0], of_w[0], y);
    if (!left || !right || !bias || !result) return 1;
    return linear(of_x[0], of_w[1], of_w[0], left, right, bias, rectify, result);
}

int32_t aoti_torch_cpu_linear_input_gradient(Tensor g, Tensor w, Tensor *x) {
    int64_t *of_g, *of_w;
    if (aoti_torch_get_sizes(g, &of_g) || aoti_torch_get_sizes(w, &of_w)) return 1;
    const float *left = data_of(g), *right = data_of(w);
    float *result = make(2, of_g[0], of_w[1], x);
    if (!left || !right || !result) return 1;
    return linear_input_gradient(of_g[0], of_w[1], of_w[0], left, right, result);
}

int32_t aoti_torch_cpu_linear_weight_gradient(Tensor g, Tensor x, Tensor *w, Tensor *b) {
    int64_t *of_g, *of_x;
    if (aoti_torch_get_sizes(g, &of_g) || aoti_torch_get_sizes(x, &of_x)) return 1;
    const float *left = data_of(g), *right = data_of(x);
    float *weights = make(2, of_g[1], of_x[1], w), *biases = make(1, 1, of_g[1], b);
    if (!left || !right || !weights || !biases) return 1;
    return linear_weight_gradient(of_g[0], of_x[1], of_g[1], left, right, weights, biases);
}
