/* Perceptrons of tanh or ReLU in single precision: forward, backward, and the vectors they are made of.
 *
 * Matrices are row-major; rows of the work space are padded to whole vectors, so that no loop has a remainder
 * in its inner dimension.
 */
#ifndef PERCEPTRON_H
#define PERCEPTRON_H
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Floats in the widest vector that the compiler targets, and how many such vectors the registers hold. */
#if defined(__AVX512F__)
#define LANES 16
#define REGISTERS 32
#elif defined(__AVX__)
#define LANES 8
#define REGISTERS 16
#elif defined(__aarch64__)
#define LANES 4
#define REGISTERS 32
#else
#define LANES 4
#define REGISTERS 16
#endif
#define MAX_LAYERS 10
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t mask __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define PADDED(n) (((n) + LANES - 1) / LANES * LANES)

enum { TANH, RELU };

typedef struct {
    int64_t activation;              /* of the hidden layers: TANH or RELU */
    int64_t layers;                  /* linear layers, the head included */
    int64_t sizes[MAX_LAYERS + 1];   /* inputs, widths, outputs */
    int64_t weights[MAX_LAYERS];     /* offsets into the flat parameters, (out, in) */
    int64_t biases[MAX_LAYERS];
} Net;

static inline vec splat(float x) { return x - (vec){0}; }
static inline vec choose(mask m, vec a, vec b) { return (vec)((m & (mask)a) | (~m & (mask)b)); }

/* A tile of the product C (M, N) = A (M, K) B (K, N): ROWS x COLUMNS vectors of sums, which stay in registers while
 * K runs, beside COLUMNS vectors of B and one number of A. A has any strides. */
#define UNROLL _Pragma("GCC unroll 16")
#define TILE(ROWS, COLUMNS)                                                                              \
    _Static_assert(ROWS * COLUMNS + COLUMNS + 1 <= REGISTERS, "a tile takes more than the registers");   \
    static inline void tile_##ROWS##_##COLUMNS(int64_t depth, const float *a, int64_t row, int64_t step, \
                                               const float *b, int64_t ldb, float *c, int64_t ldc) {     \
        vec sum[ROWS][COLUMNS];                                                                          \
        UNROLL for (int r = 0; r < ROWS; r++)                                                            \
            UNROLL for (int j = 0; j < COLUMNS; j++) sum[r][j] = splat(0.0f);                            \
        for (int64_t k = 0; k < depth; k++) {                                                            \
            vec right[COLUMNS];                                                                          \
            UNROLL for (int j = 0; j < COLUMNS; j++) right[j] = *(const vec *)(b + k * ldb + j * LANES); \
            UNROLL for (int r = 0; r < ROWS; r++) {                                                      \
                const vec left = splat(a[r * row + k * step]);                                           \
                UNROLL for (int j = 0; j < COLUMNS; j++) sum[r][j] += left * right[j];                   \
            }                                                                                            \
        }                                                                                                \
        UNROLL for (int r = 0; r < ROWS; r++)                                                            \
            UNROLL for (int j = 0; j < COLUMNS; j++) *(vec *)(c + r * ldc + j * LANES) = sum[r][j];      \
    }

/* A band of COLUMNS vectors of the product: rows in tiles of MANY, then of FEW, then one by one. There are as many
 * tiles of MANY as leave a multiple of FEW. */
#define BAND(COLUMNS, MANY, FEW)                                                                         \
    TILE(MANY, COLUMNS)                                                                                  \
    TILE(FEW, COLUMNS)                                                                                   \
    TILE(1, COLUMNS)                                                                                     \
    static void band_##COLUMNS(int64_t rows, int64_t depth, const float *a, int64_t row, int64_t step,   \
                               const float *b, int64_t ldb, float *c, int64_t ldc) {                     \
        int64_t i = 0, many = rows / MANY;                                                               \
        while (many > 0 && (rows - many * MANY) % FEW) many--;                                           \
        if (many == 0) many = rows / MANY;                                                               \
        for (; many > 0; many--, i += MANY)                                                              \
            tile_##MANY##_##COLUMNS(depth, a + i * row, row, step, b, ldb, c + i * ldc, ldc);            \
        for (; i + FEW <= rows; i += FEW)                                                                \
            tile_##FEW##_##COLUMNS(depth, a + i * row, row, step, b, ldb, c + i * ldc, ldc);             \
        for (; i < rows; i++) tile_1_##COLUMNS(depth, a + i * row, row, step, b, ldb, c + i * ldc, ldc); \
    }
#if REGISTERS == 32
BAND(4, 6, 4)
BAND(2, 10, 4)
BAND(1, 16, 4)
#elif defined(__FMA__)
BAND(2, 6, 4)
BAND(1, 12, 4)
#else /* a product takes a register of its own */
BAND(2, 5, 4)
BAND(1, 10, 4)
#endif

/* C (M, N) = A (M, K) B (K, N); N a multiple of LANES. */
static void multiply(int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t row, int64_t step,
                     const float *b, int64_t ldb, float *c, int64_t ldc) {
    int64_t j = 0;
#if REGISTERS == 32
    for (; j + 4 * LANES <= columns; j += 4 * LANES) band_4(rows, depth, a, row, step, b + j, ldb, c + j, ldc);
#endif
    for (; j + 2 * LANES <= columns; j += 2 * LANES) band_2(rows, depth, a, row, step, b + j, ldb, c + j, ldc);
    if (j < columns) band_1(rows, depth, a, row, step, b + j, ldb, c + j, ldc);
}

/* tanh to 4e-7: a rational minimax approximation on +-7.9, beyond which tanh rounds to +-1. */
static inline vec tanh_vec(vec x) {
    const vec limit = splat(7.90531110763549805f);
    x = choose((mask)(x > limit), limit, x);
    x = choose((mask)(x < -limit), -limit, x);
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
    const float *weight[MAX_LAYERS]; /* (out, padded in); the parameters themselves where nothing is padded */
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

/* The first layer's weights are not copied untransposed: nobody needs the input's gradient. */
static void load_weights(const Net *net, Space *space, const float *parameters) {
    for (int64_t l = 0; l < net->layers; l++) {
        const int64_t in = net->sizes[l], out = net->sizes[l + 1], pin = PADDED(in), pout = PADDED(out);
        const float *w = parameters + net->weights[l];
        memset(space->bias[l], 0, sizeof(float) * pout);
        memcpy(space->bias[l], parameters + net->biases[l], sizeof(float) * out);
        if (l > 0 && in == pin) space->weight[l] = w;
        else if (l > 0)
            for (int64_t o = 0; o < out; o++) {
                float *row = (float *)space->weight[l] + o * pin;
                memcpy(row, w + o * in, sizeof(float) * in);
                memset(row + in, 0, sizeof(float) * (pin - in));
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
                if (!hidden) *y = x;
                else if (net->activation == TANH) *y = tanh_vec(x);
                else *y = choose((mask)(x > splat(0.0f)), x, splat(0.0f));
            }
    }
}

/* Gradients of all layers from delta[0], the loss's derivative by the head's output (batch, padded out). */
static void backward(const Net *net, Space *space, int64_t batch, float *gradients) {
    for (int64_t l = net->layers - 1; l >= 0; l--) {
        const int64_t in = net->sizes[l], out = net->sizes[l + 1], pin = PADDED(in), pout = PADDED(out);
        float *delta = space->delta[0], *sums = gradients + net->weights[l];
        float *padded_sums = in == pin ? sums : space->weight_gradient;
        multiply(out, pin, batch, delta, 1, pout, space->activation[l], pin, padded_sums, pin);
        if (in != pin)
            for (int64_t o = 0; o < out; o++) memcpy(sums + o * in, padded_sums + o * pin, sizeof(float) * in);
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
            vec *d = (vec *)(before + i);
            if (net->activation == TANH) *d *= 1.0f - y * y;
            else *d = choose((mask)(y > splat(0.0f)), *d, splat(0.0f));
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
#endif
