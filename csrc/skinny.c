/* y = W x for one x: what decoding a single sequence does all day.
 *
 * Such a product does two operations for every weight that it reads, so the memory decides how long it takes, and a
 * weight that is stored in fewer bits is the faster one. Weights come as fp32, as bf16, or as the 8- or 4-bit codes of
 * a GGUF file with a scale (and an offset) a block; all arithmetic is in fp32, so that the result is that of the
 * dequantised weights, up to the order of summation.
 *
 * Rows are handed out in chunks to a few threads that wait between calls. Plain C behind a plain interface: nothing of
 * Python or PyTorch is linked. Written for AVX2 where the processor has it, in portable C for the rest.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define HAVE_X86 1
#define AVX2 __attribute__((target("avx2,fma")))
#else
#define HAVE_X86 0
#endif

enum { F32 = 0, BF16 = 1, Q8 = 2, Q4 = 3 };
enum { BLOCK = 32, MOST_THREADS = 64, SPINS = 20000 };

typedef struct {
    int32_t kind;
    int64_t cols;
    const void *codes;
    const float *scales;  /* [rows, cols / BLOCK] of Q8 and Q4 */
    const float *offsets; /* likewise, of Q4 */
    const float *x;
    const float *sums;    /* of x, a block each; for the offsets */
    float *y;
} Product;

/* ---- the rows of a product, in portable C ---------------------------------------------------------------------- */

static float widen(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void rows_portable(const Product *p, int64_t first, int64_t last) {
    const int64_t cols = p->cols, blocks = cols / BLOCK;
    for (int64_t r = first; r < last; r++) {
        float sum = 0;
        if (p->kind == F32) {
            const float *row = (const float *)p->codes + r * cols;
            for (int64_t c = 0; c < cols; c++) sum += row[c] * p->x[c];
        } else if (p->kind == BF16) {
            const uint16_t *row = (const uint16_t *)p->codes + r * cols;
            for (int64_t c = 0; c < cols; c++) sum += widen(row[c]) * p->x[c];
        } else {
            for (int64_t b = 0; b < blocks; b++) {
                const float *x = p->x + b * BLOCK;
                float part = 0;
                if (p->kind == Q8) {
                    const int8_t *block = (const int8_t *)p->codes + r * cols + b * BLOCK;
                    for (int i = 0; i < BLOCK; i++) part += (float)block[i] * x[i];
                    sum += part * p->scales[r * blocks + b];
                } else {
                    const uint8_t *block = (const uint8_t *)p->codes + (r * cols + b * BLOCK) / 2;
                    for (int i = 0; i < BLOCK / 2; i++)
                        part += (float)(block[i] & 15) * x[i] + (float)(block[i] >> 4) * x[i + BLOCK / 2];
                    sum += part * p->scales[r * blocks + b] + p->offsets[r * blocks + b] * p->sums[b];
                }
            }
        }
        p->y[r] = sum;
    }
}

/* ---- and in AVX2: eight columns at a time ---------------------------------------------------------------------- */

#if HAVE_X86
AVX2 static inline float total(__m256 v) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

AVX2 static inline __m256 from_bf16(const uint16_t *p) {
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

AVX2 static inline __m256 from_i8(const int8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

AVX2 static inline __m256 from_u8(__m128i low_eight) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(low_eight)); }

AVX2 static float row_f32(const float *row, const float *x, int64_t cols) {
    __m256 a = _mm256_setzero_ps(), b = a, c = a, d = a;
    int64_t i = 0;
    for (; i + 32 <= cols; i += 32) {
        a = _mm256_fmadd_ps(_mm256_loadu_ps(row + i), _mm256_loadu_ps(x + i), a);
        b = _mm256_fmadd_ps(_mm256_loadu_ps(row + i + 8), _mm256_loadu_ps(x + i + 8), b);
        c = _mm256_fmadd_ps(_mm256_loadu_ps(row + i + 16), _mm256_loadu_ps(x + i + 16), c);
        d = _mm256_fmadd_ps(_mm256_loadu_ps(row + i + 24), _mm256_loadu_ps(x + i + 24), d);
    }
    float sum = total(_mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)));
    for (; i < cols; i++) sum += row[i] * x[i];
    return sum;
}

AVX2 static float row_bf16(const uint16_t *row, const float *x, int64_t cols) {
    __m256 a = _mm256_setzero_ps(), b = a, c = a, d = a;
    int64_t i = 0;
    for (; i + 32 <= cols; i += 32) {
        a = _mm256_fmadd_ps(from_bf16(row + i), _mm256_loadu_ps(x + i), a);
        b = _mm256_fmadd_ps(from_bf16(row + i + 8), _mm256_loadu_ps(x + i + 8), b);
        c = _mm256_fmadd_ps(from_bf16(row + i + 16), _mm256_loadu_ps(x + i + 16), c);
        d = _mm256_fmadd_ps(from_bf16(row + i + 24), _mm256_loadu_ps(x + i + 24), d);
    }
    float sum = total(_mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)));
    for (; i < cols; i++) sum += widen(row[i]) * x[i];
    return sum;
}

AVX2 static float row_q8(const int8_t *row, const float *scales, const float *x, int64_t blocks) {
    __m256 sum = _mm256_setzero_ps();
    for (int64_t b = 0; b < blocks; b++, row += BLOCK, x += BLOCK) {
        __m256 s = _mm256_mul_ps(from_i8(row), _mm256_loadu_ps(x));
        __m256 t = _mm256_mul_ps(from_i8(row + 8), _mm256_loadu_ps(x + 8));
        s = _mm256_fmadd_ps(from_i8(row + 16), _mm256_loadu_ps(x + 16), s);
        t = _mm256_fmadd_ps(from_i8(row + 24), _mm256_loadu_ps(x + 24), t);
        sum = _mm256_fmadd_ps(_mm256_add_ps(s, t), _mm256_broadcast_ss(scales + b), sum);
    }
    return total(sum);
}

AVX2 static float row_q4(const uint8_t *row, const float *scales, const float *offsets, const float *x,
                         const float *sums, int64_t blocks) {
    const __m128i low = _mm_set1_epi8(15);
    __m256 sum = _mm256_setzero_ps();
    float offset = 0;
    for (int64_t b = 0; b < blocks; b++, row += BLOCK / 2, x += BLOCK) {
        __m128i pairs = _mm_loadu_si128((const __m128i *)row);
        __m128i first = _mm_and_si128(pairs, low), second = _mm_and_si128(_mm_srli_epi16(pairs, 4), low);
        __m256 s = _mm256_mul_ps(from_u8(first), _mm256_loadu_ps(x));
        __m256 t = _mm256_mul_ps(from_u8(_mm_srli_si128(first, 8)), _mm256_loadu_ps(x + 8));
        s = _mm256_fmadd_ps(from_u8(second), _mm256_loadu_ps(x + 16), s);
        t = _mm256_fmadd_ps(from_u8(_mm_srli_si128(second, 8)), _mm256_loadu_ps(x + 24), t);
        sum = _mm256_fmadd_ps(_mm256_add_ps(s, t), _mm256_broadcast_ss(scales + b), sum);
        offset += offsets[b] * sums[b];
    }
    return total(sum) + offset;
}

AVX2 static void rows_avx2(const Product *p, int64_t first, int64_t last) {
    const int64_t cols = p->cols, blocks = cols / BLOCK;
    for (int64_t r = first; r < last; r++) {
        switch (p->kind) {
        case F32: p->y[r] = row_f32((const float *)p->codes + r * cols, p->x, cols); break;
        case BF16: p->y[r] = row_bf16((const uint16_t *)p->codes + r * cols, p->x, cols); break;
        case Q8: p->y[r] = row_q8((const int8_t *)p->codes + r * cols, p->scales + r * blocks, p->x, blocks); break;
        default:
            p->y[r] = row_q4((const uint8_t *)p->codes + r * cols / 2, p->scales + r * blocks,
                             p->offsets + r * blocks, p->x, p->sums, blocks);
        }
    }
}
#endif

static void run_rows(const Product *p, int64_t first, int64_t last, int portable) {
#if HAVE_X86
    if (!portable && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        rows_avx2(p, first, last);
        return;
    }
#endif
    (void)portable;
    rows_portable(p, first, last);
}

/* ---- threads --------------------------------------------------------------------------------------------------- */

/* A job is published and its chunks are taken under one lock, so a thread that comes late finds either a whole job or
 * none. Between jobs a thread spins for a while, as the next one is usually microseconds away, and then sleeps. */
static pthread_mutex_t calls = PTHREAD_MUTEX_INITIALIZER; /* one product at a time */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;  /* of everything down to `started` */
static pthread_cond_t published = PTHREAD_COND_INITIALIZER;
static Product job;
static int64_t next_row, n_rows, chunk;
static int job_portable, sleepers, started;
static atomic_llong generation;
static atomic_llong rows_done;

static int take_chunk(void) {
    pthread_mutex_lock(&lock);
    if (next_row >= n_rows) {
        pthread_mutex_unlock(&lock);
        return 0;
    }
    Product mine = job;
    int64_t first = next_row, last = first + chunk < n_rows ? first + chunk : n_rows;
    int portable = job_portable;
    next_row = last;
    pthread_mutex_unlock(&lock);
    run_rows(&mine, first, last, portable);
    atomic_fetch_add_explicit(&rows_done, last - first, memory_order_release);
    return 1;
}

static void relax(void) {
#if HAVE_X86
    _mm_pause();
#endif
}

static void *work(void *unused) {
    long long seen = 0;
    for (;;) {
        for (int spin = 0; spin < SPINS && atomic_load_explicit(&generation, memory_order_acquire) == seen; spin++)
            relax();
        pthread_mutex_lock(&lock);
        while (atomic_load(&generation) == seen) {
            sleepers++;
            pthread_cond_wait(&published, &lock);
            sleepers--;
        }
        seen = atomic_load(&generation);
        pthread_mutex_unlock(&lock);
        while (take_chunk()) {}
    }
    return unused;
}

static void after_fork(void) { /* the child has none of the threads */
    pthread_mutex_init(&calls, NULL);
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&published, NULL);
    started = sleepers = 0;
    next_row = n_rows = 0;
}

static void start_threads(int wanted) {
    static int registered;
    if (!registered) registered = pthread_atfork(NULL, NULL, after_fork) == 0;
    while (started < wanted) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, NULL) != 0) return; /* the caller's own thread does all of it */
        pthread_detach(thread);
        started++;
    }
}

/* y[0 .. rows) = W x, on `threads` threads, the caller's included. `portable` runs the portable form, for the tests. */
void skinny_product(int32_t kind, const void *codes, const float *scales, const float *offsets, const float *x,
                    const float *sums, float *y, int64_t rows, int64_t cols, int32_t threads, int32_t portable) {
    Product product = {kind, cols, codes, scales, offsets, x, sums, y};
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    if (threads < 2 || rows < 2 * threads) {
        run_rows(&product, 0, rows, portable);
        return;
    }
    pthread_mutex_lock(&calls);
    start_threads(threads - 1);
    pthread_mutex_lock(&lock);
    job = product;
    job_portable = portable;
    n_rows = rows;
    next_row = 0;
    chunk = (rows + 4 * threads - 1) / (4 * threads);
    atomic_store(&rows_done, 0);
    atomic_fetch_add(&generation, 1);
    if (sleepers) pthread_cond_broadcast(&published);
    pthread_mutex_unlock(&lock);
    while (take_chunk()) {}
    for (int spin = 0; atomic_load_explicit(&rows_done, memory_order_acquire) < rows; spin++) {
        if (spin < SPINS) relax();
        else sched_yield();
    }
    pthread_mutex_unlock(&calls);
}
