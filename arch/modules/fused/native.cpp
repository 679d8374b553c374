// Batch norm with ReLU, and pooling, on maps whose channels lie side by side: rows of C channels, `ld` values apart.
//
// Plain C++ without torch's headers, so that it builds in seconds; native.py calls it through ctypes.
// Sums run over blocks of rows and are added in the order of the blocks: the same bits with any number of threads.
// The vectors are those of GCC and Clang, which any processor has or imitates.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

using i64 = int64_t;
constexpr i64 kBlock = 64;  // rows whose sums are kept in the data's own accuracy; blocks are added in double
constexpr i64 kFew = 32;     // rows that give a first guess at the mean

struct bf16 { uint16_t bits; };

template <class T> struct Wide { using type = float; };  // what is computed in
template <> struct Wide<double> { using type = double; };
template <class T> using W = typename Wide<T>::type;

template <class A, int L> struct Vector { typedef A type __attribute__((vector_size(sizeof(A) * L))); };
template <class A, int L> using Vec = typename Vector<A, L>::type;
template <int L> struct Lanes { static constexpr int count = L; };

// Call `f(first channel, lanes)` for all channels, 16 at a time, then 8, then single ones.
template <class F> inline void by_lanes(i64 c, F f) {
  i64 j = 0;
  for (; j + 16 <= c; j += 16) f(j, Lanes<16>{});
  for (; j + 8 <= c; j += 8) f(j, Lanes<8>{});
  for (; j < c; ++j) f(j, Lanes<1>{});
}

template <class V, class T> inline V raw(const T* from) {
  V v;
  std::memcpy(&v, from, sizeof(V));
  return v;
}
template <int L> inline Vec<float, L> get(const float* p) { return raw<Vec<float, L>>(p); }
template <int L> inline Vec<double, L> get(const double* p) { return raw<Vec<double, L>>(p); }
template <int L> inline Vec<float, L> get(const bf16* p) {
  const auto bits = __builtin_convertvector((raw<Vec<uint16_t, L>>(p)), Vec<uint32_t, L>) << 16;
  return raw<Vec<float, L>>(&bits);
}
template <int L> inline void put(float* to, Vec<float, L> v) { std::memcpy(to, &v, sizeof(v)); }
template <int L> inline void put(double* to, Vec<double, L> v) { std::memcpy(to, &v, sizeof(v)); }
template <int L> inline void put(bf16* to, Vec<float, L> v) {  // to nearest, ties to even, as torch rounds
  const auto bits = raw<Vec<uint32_t, L>>(&v);
  const Vec<uint32_t, L> rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16, nan = rounded * 0u + 0x7fc0u;
  const auto narrow = __builtin_convertvector(v != v ? nan : rounded, Vec<uint16_t, L>);
  std::memcpy(to, &narrow, sizeof(narrow));
}

// Bytes as the masks of a comparison are, and back; one doubling at a time, which compilers have instructions for.
template <int L> inline Vec<int32_t, L> taps(const uint8_t* p, Vec<float, L>) {
  const auto half = __builtin_convertvector((raw<Vec<uint8_t, L>>(p)), Vec<uint16_t, L>);
  return __builtin_convertvector(half, Vec<int32_t, L>);
}
template <int L> inline Vec<int64_t, L> taps(const uint8_t* p, Vec<double, L>) {
  return __builtin_convertvector((taps<L>(p, Vec<float, L>{})), Vec<int64_t, L>);
}

inline i64 blocks(i64 rows) { return (rows + kBlock - 1) / kBlock; }

// Add up what the blocks found: `parts` is (blocks, width).
template <class A> std::vector<double> total(const std::vector<A>& parts, i64 count, i64 width) {
  std::vector<double> sums(width, 0.0);
  for (i64 b = 0; b < count; ++b)
    for (i64 j = 0; j < width; ++j) sums[j] += double(parts[b * width + j]);
  return sums;
}

// Mean and biased variance of each channel; a first guess at the mean is taken off before squaring, so that little
// cancels.
template <class T> void norm_stats(const T* y, i64 ld, i64 rows, i64 c, W<T>* mean, W<T>* var, int threads) {
  using A = W<T>;
  const i64 count = blocks(rows), few = std::min(kFew, rows), apart = rows / few;
  std::vector<A> near(c), parts(count * 2 * c);
  by_lanes(c, [&](i64 j, auto lanes) {
    constexpr int L = decltype(lanes)::count;
    Vec<A, L> sum = {};
    for (i64 r = 0; r < few; ++r) sum += get<L>(y + r * apart * ld + j);
    put<L>(near.data() + j, sum / A(few));
  });
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (i64 b = 0; b < count; ++b)
    by_lanes(c, [&](i64 j, auto lanes) {
      constexpr int L = decltype(lanes)::count;
      const i64 end = std::min(rows, (b + 1) * kBlock);
      const auto base = get<L>(near.data() + j);
      Vec<A, L> s0 = {}, s1 = {}, q0 = {}, q1 = {};
      i64 r = b * kBlock;
      for (; r + 2 <= end; r += 2) {
        const auto v0 = get<L>(y + r * ld + j) - base, v1 = get<L>(y + (r + 1) * ld + j) - base;
        s0 += v0, s1 += v1, q0 += v0 * v0, q1 += v1 * v1;
      }
      if (r < end) {
        const auto v0 = get<L>(y + r * ld + j) - base;
        s0 += v0, q0 += v0 * v0;
      }
      put<L>(&parts[b * 2 * c + j], s0 + s1);
      put<L>(&parts[b * 2 * c + c + j], q0 + q1);
    });
  const std::vector<double> sums = total(parts, count, 2 * c);
  for (i64 j = 0; j < c; ++j) {
    const double m = sums[j] / double(rows), v = sums[c + j] / double(rows) - m * m;
    mean[j] = A(double(near[j]) + m);
    var[j] = A(v < 0.0 ? 0.0 : v);
  }
}

// out = (y - mean) * scale + shift, then ReLU where asked; NaN stays NaN.
template <class T, bool kRelu>
void norm_apply(const T* y, i64 ld, T* out, i64 ldo, i64 rows, i64 c, const W<T>* mean, const W<T>* scale,
                const W<T>* shift, int threads) {
  using A = W<T>;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (i64 r = 0; r < rows; ++r)
    by_lanes(c, [&](i64 j, auto lanes) {
      constexpr int L = decltype(lanes)::count;
      const Vec<A, L> v = (get<L>(y + r * ld + j) - get<L>(mean + j)) * get<L>(scale + j) + get<L>(shift + j), zero = {};
      put<L>(out + r * ldo + j, kRelu ? (v <= zero ? zero : v) : v);
    });
}

// The gradients of norm_apply, and in training those through mean and variance too.
template <class T, bool kRelu>
void norm_grad(const T* y, i64 ld, const T* g, i64 ldg, T* gy, i64 ldy, i64 rows, i64 c, const W<T>* mean,
               const W<T>* rstd, const W<T>* scale, const W<T>* shift, W<T>* gscale, W<T>* gshift, int training,
               int threads) {
  using A = W<T>;
  const i64 count = blocks(rows);
  std::vector<A> parts(count * 2 * c);
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (i64 b = 0; b < count; ++b)
    by_lanes(c, [&](i64 j, auto lanes) {
      constexpr int L = decltype(lanes)::count;
      const Vec<A, L> m = get<L>(mean + j), a = get<L>(scale + j), o = get<L>(shift + j), zero = {};
      Vec<A, L> s = {}, q = {};
      for (i64 r = b * kBlock; r < std::min(rows, (b + 1) * kBlock); ++r) {
        const Vec<A, L> x = get<L>(y + r * ld + j) - m, all = get<L>(g + r * ldg + j);
        const Vec<A, L> d = kRelu ? (x * a + o <= zero ? zero : all) : all;
        s += d, q += d * x;
      }
      put<L>(&parts[b * 2 * c + j], s);
      put<L>(&parts[b * 2 * c + c + j], q);
    });
  const std::vector<double> sums = total(parts, count, 2 * c);
  std::vector<A> offset(c, A(0)), slope(c, A(0));
  for (i64 j = 0; j < c; ++j) {
    gshift[j] = A(sums[j]);
    gscale[j] = A(sums[c + j] * double(rstd[j]));
    if (training) {
      offset[j] = A(sums[j] / double(rows));
      slope[j] = A(sums[c + j] * double(rstd[j]) * double(rstd[j]) / double(rows));
    }
  }
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (i64 r = 0; r < rows; ++r)
    by_lanes(c, [&](i64 j, auto lanes) {
      constexpr int L = decltype(lanes)::count;
      const Vec<A, L> x = get<L>(y + r * ld + j) - get<L>(mean + j), a = get<L>(scale + j), zero = {};
      const Vec<A, L> all = get<L>(g + r * ldg + j);
      const Vec<A, L> d = kRelu ? (x * a + get<L>(shift + j) <= zero ? zero : all) : all;
      put<L>(gy + r * ldy + j, a * (d - get<L>(offset.data() + j) - x * get<L>(slope.data() + j)));
    });
}

struct Window {  // as ctypes passes it
  i64 n, h, w, c, kh, kw, sh, sw, ph, pw, oh, ow;
};

// Where a window meets a position along one side: the tap, the index on the other side, and the window's extent.
struct Side {
  i64 tap, index, extent;
};
using Sides = std::vector<std::vector<Side>>;

// How far a window reaches: padding counts as torch counts it, up to the padded border.
inline i64 extent(i64 start, i64 kernel, i64 size, i64 padding) {
  return std::min(start + kernel, size + padding) - std::max(start, -padding);
}

// For each output what it sees of the input, or with `back` for each input position what sees it.
inline Sides meetings(i64 size, i64 outputs, i64 kernel, i64 stride, i64 padding, bool count_pad, bool back) {
  Sides found(back ? size : outputs);
  for (i64 o = 0; o < outputs; ++o)
    for (i64 k = 0; k < kernel; ++k) {
      const i64 start = o * stride - padding, i = start + k;
      if (i < 0 || i >= size) continue;
      found[back ? i : o].push_back({k, back ? o : i, extent(start, kernel, size, count_pad ? padding : 0)});
    }
  return found;
}

// A tap of a window, the row on the other side, and what a mean is divided by.
struct Meeting {
  int tap;
  i64 row, parts;
};
constexpr i64 kMost = 256;  // taps of a window

// Call `f(row, meetings, count)` for each output row, or with `back` for each input row.
template <class F> void for_windows(const Window* m, bool count_pad, bool back, int threads, F f) {
  const Sides rows = meetings(m->h, m->oh, m->kh, m->sh, m->ph, count_pad, back);
  const Sides columns = meetings(m->w, m->ow, m->kw, m->sw, m->pw, count_pad, back);
  const i64 h = rows.size(), w = columns.size(), other_h = back ? m->oh : m->h, other_w = back ? m->ow : m->w;
#pragma omp parallel for num_threads(threads) if (threads > 1)
  for (i64 line = 0; line < m->n * h; ++line)
    for (i64 x = 0; x < w; ++x) {
      Meeting found[kMost];
      i64 count = 0;
      for (const Side& down : rows[line % h])
        for (const Side& across : columns[x])
          found[count++] = {int(down.tap * m->kw + across.tap), (line / h * other_h + down.index) * other_w + across.index,
                            down.extent * across.extent};
      f(line * w + x, found, count);
    }
}

// The largest value of each window, the first of equals as torch takes it, and its tap.
template <class T>
void max_pool(const T* x, i64 ld, T* out, i64 ldo, uint8_t* place, const Window* m, int threads) {
  using A = W<T>;
  for_windows(m, false, false, threads, [=](i64 at, const Meeting* seen, i64 count) {
    by_lanes(m->c, [&](i64 j, auto lanes) {
      constexpr int L = decltype(lanes)::count;
      Vec<A, L> best = get<L>(x + seen[0].row * ld + j);
      auto tap = (best != best) & 0;
      tap += seen[0].tap;
      for (i64 k = 1; k < count; ++k) {
        const Vec<A, L> v = get<L>(x + seen[k].row * ld + j);
        const auto wins = (v > best) | (v != v);
        best = wins ? v : best;
        tap = wins ? (tap & 0) + seen[k].tap : tap;
      }
      put<L>(out + at * ldo + j, best);
      const auto narrow = __builtin_convertvector(tap, Vec<uint8_t, L>);
      std::memcpy(place + at * m->c + j, &narrow, sizeof(narrow));
    });
  });
}

template <class T>
void max_pool_grad(const T* g, i64 ldg, const uint8_t* place, T* gx, const Window* m, int threads) {
  using A = W<T>;
  for_windows(m, false, true, threads, [=](i64 at, const Meeting* by, i64 count) {
    by_lanes(m->c, [&](i64 j, auto lanes) {
      constexpr int L = decltype(lanes)::count;
      Vec<A, L> sum = {}, zero = {};
      for (i64 k = 0; k < count; ++k) {
        const auto tap = taps<L>(place + by[k].row * m->c + j, sum);
        const Vec<A, L> all = get<L>(g + by[k].row * ldg + j);
        sum += tap == (tap & 0) + by[k].tap ? all : zero;
      }
      put<L>(gx + at * m->c + j, sum);
    });
  });
}

template <class T>
void avg_pool(const T* x, i64 ld, T* out, i64 ldo, const Window* m, int count_pad, int threads) {
  using A = W<T>;
  for_windows(m, count_pad, false, threads, [=](i64 at, const Meeting* seen, i64 count) {
    const A parts = A(seen[0].parts);
    by_lanes(m->c, [&](i64 j, auto lanes) {
      constexpr int L = decltype(lanes)::count;
      Vec<A, L> sum = {};
      for (i64 k = 0; k < count; ++k) sum += get<L>(x + seen[k].row * ld + j);
      put<L>(out + at * ldo + j, sum / parts);
    });
  });
}

template <class T> void avg_pool_grad(const T* g, i64 ldg, T* gx, const Window* m, int count_pad, int threads) {
  using A = W<T>;
  for_windows(m, count_pad, true, threads, [=](i64 at, const Meeting* by, i64 count) {
    by_lanes(m->c, [&](i64 j, auto lanes) {
      constexpr int L = decltype(lanes)::count;
      Vec<A, L> sum = {};
      for (i64 k = 0; k < count; ++k) sum += get<L>(g + by[k].row * ldg + j) / A(by[k].parts);
      put<L>(gx + at * m->c + j, sum);
    });
  });
}

}  // namespace

#define FOR_TYPE(T, NAME)                                                                                           \
  extern "C" void norm_stats_##NAME(const T* y, i64 ld, i64 rows, i64 c, W<T>* mean, W<T>* var, int threads) {      \
    norm_stats<T>(y, ld, rows, c, mean, var, threads);                                                              \
  }                                                                                                                 \
  extern "C" void norm_apply_##NAME(const T* y, i64 ld, T* out, i64 ldo, i64 rows, i64 c, const W<T>* mean,         \
                                    const W<T>* scale, const W<T>* shift, int relu, int threads) {                  \
    (relu ? norm_apply<T, true> : norm_apply<T, false>)(y, ld, out, ldo, rows, c, mean, scale, shift, threads);                                     \
  }                                                                                                                 \
  extern "C" void norm_grad_##NAME(const T* y, i64 ld, const T* g, i64 ldg, T* gy, i64 ldy, i64 rows, i64 c,        \
                                   const W<T>* mean, const W<T>* rstd, const W<T>* scale, const W<T>* shift,        \
                                   W<T>* gscale, W<T>* gshift, int relu, int training, int threads) {               \
    (relu ? norm_grad<T, true> : norm_grad<T, false>)(y, ld, g, ldg, gy, ldy, rows, c, mean, rstd, scale, shift,    \
                                                      gscale, gshift, training, threads);                                                                                          \
  }                                                                                                                 \
  extern "C" void max_pool_##NAME(const T* x, i64 ld, T* out, i64 ldo, uint8_t* place, const Window* m,             \
                                  int threads) {                                                                    \
    max_pool<T>(x, ld, out, ldo, place, m, threads);                                                                \
  }                                                                                                                 \
  extern "C" void max_pool_grad_##NAME(const T* g, i64 ldg, const uint8_t* place, T* gx, const Window* m,           \
                                       int threads) {                                                               \
    max_pool_grad<T>(g, ldg, place, gx, m, threads);                                                                \
  }                                                                                                                 \
  extern "C" void avg_pool_##NAME(const T* x, i64 ld, T* out, i64 ldo, const Window* m, int count_pad,              \
                                  int threads) {                                                                    \
    avg_pool<T>(x, ld, out, ldo, m, count_pad, threads);                                                            \
  }                                                                                                                 \
  extern "C" void avg_pool_grad_##NAME(const T* g, i64 ldg, T* gx, const Window* m, int count_pad, int threads) {   \
    avg_pool_grad<T>(g, ldg, gx, m, count_pad, threads);                                                            \
  }

FOR_TYPE(bf16, bfloat16)
FOR_TYPE(float, float32)
FOR_TYPE(double, float64)
