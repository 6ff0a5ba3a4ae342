// The joint search of ADGAN on a CPU: Adam steps on z and on a private copy of a DCGAN generator's weights.
//
// The mathematics is that of search/latent.py, for networks/dcgan.py's Generator and the squared error. Optimisations:
//
// * Each thread searches one starting point at a time. Its weights and Adam's two means stay in the cache. Every sum
//   has a fixed order, so a result does not depend on the other searches or the number of threads.
// * Gradients of weights are not stored: a tile is summed in registers, and Adam uses it there.
// * The first step reads the shared weights without a copy. The last step does not store Adam's means.
// * The first layer's gradient is an outer product, z times the gradient of its output. Its means, more than half of
//   all, are recomputed from the few vectors of the previous steps instead of being stored.
//
// Feature maps have channels last, padded with zeros to whole vectors; the padding stays zero. All sizes are run-time
// values; only the tiles depend on the instruction set. GCC's vector extensions replace intrinsics.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>
#ifdef __linux__
#include <sys/mman.h>
#endif

// The arguments from Python, in the order of Request in joint_search.py. Arrays are float32 and contiguous.
struct Request {
  int32_t latent, width, side, channels;      // of the generator; `width` channels next to the image
  int32_t images, starts, steps, threads;
  int32_t in_turn, at_last_step, mean;        // `update`, `read_loss` and `reduction`, each 0 or 1
  int32_t restriction;                        // 0 none, 1 shell, 2 clip
  double z_lr, theta_lr, beta1, beta2, penalty, bound;
  const float* weights;                       // the generator's parameters(), flattened one after the other
  const float* statistics;                    // of each batch normalisation: mean and 1 / deviation of its channels
  const float* targets;                       // (images, channels, side, side)
  const float* begin;                         // (images, starts, latent)
  float* z;                                   // (images, starts, latent)
  float* loss;                                // (images, starts)
  float* made;                                // (images, starts, channels, side, side)
  float* path;                                // (images, starts, steps + 1, latent), or null
};

namespace {

// A tile of sums is ROWS x (1 or 2) vectors. It must fit into the registers (32 with AVX-512, else 16) together with
// the operands, and be large enough to hide the latency of a fused multiply-add.
#if defined(__AVX512F__)
constexpr int LANES = 16, ROWS = 8, PIXELS = 4;
#elif defined(__AVX__)
constexpr int LANES = 8, ROWS = 4, PIXELS = 2;
#else
constexpr int LANES = 4, ROWS = 4, PIXELS = 2;
#endif
constexpr int FIRST_SIDE = 4, FIRST_PIXELS = FIRST_SIDE * FIRST_SIDE;
constexpr int KERNEL = 4, TAPS = KERNEL * KERNEL;
constexpr int LINEAR_VECTORS = 4, LINEAR_PANEL = LINEAR_VECTORS * LANES;
constexpr float EPSILON = 1e-8f;  // Adam's

typedef float Vector __attribute__((vector_size(LANES * sizeof(float)), may_alias));
typedef float Four __attribute__((vector_size(4 * sizeof(float)), may_alias));
#define INLINE inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 16")

INLINE Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
INLINE void store(float* to, Vector values) { *reinterpret_cast<Vector*>(to) = values; }
INLINE Vector all(float value) { return value - Vector{}; }

// Prefetches a tile: the processor does not predict a jump between memory regions. An address beyond an array is safe.
template <int FLOATS>
INLINE void fetch_early(const float* from) {
  UNROLLED for (int i = 0; i < FLOATS; i += 16) __builtin_prefetch(from + i);
}

INLINE Vector root(Vector values) {
  Vector roots{};
  UNROLLED for (int lane = 0; lane < LANES; lane++) roots[lane] = __builtin_sqrtf(values[lane]);
  return roots;
}

INLINE Four quarter_sums(Vector values) {
  Four parts[LANES / 4];
  std::memcpy(parts, &values, sizeof values);
  Four sum = parts[0];
  UNROLLED for (int part = 1; part < LANES / 4; part++) sum += parts[part];
  return sum;
}

INLINE float sum_of_lanes(Vector values) {
  Four four = quarter_sums(values);
  return (four[0] + four[2]) + (four[1] + four[3]);
}

// Channels are padded to whole vectors; an even number of vectors is processed in pairs.
int padded(int channels) { return (channels + LANES - 1) / LANES * LANES; }
int panel_vectors(int channels) { return channels / LANES % 2 ? 1 : 2; }

template <class Work>
void with_panels_of(int channels, Work work) {
  if (panel_vectors(channels) == 1) work(std::integral_constant<int, 1>{});
  else work(std::integral_constant<int, 2>{});
}

// A feature map, channels last, with `border` pixels of zeros around it.
struct Grid {
  float* data;
  int side, channels, border;

  ptrdiff_t row() const { return ptrdiff_t(side + 2 * border) * channels; }
  float* at(int y, int x) const { return data + (y + border) * row() + ptrdiff_t(x + border) * channels; }
  float* at(int pixel) const { return at(pixel / side, pixel % side); }
  // Distance from four pixels of a row to the next four: with four pixels per row, a tile of eight spans two rows.
  ptrdiff_t next_four() const { return side == 4 ? row() : ptrdiff_t(4) * channels; }
};

// One step of Adam (Kingma and Ba, Algorithm 1). 1 - beta is computed in double: in float, 1 - beta2 has a relative
// error of 1e-5, which would increase the search's error fifty-fold.
struct Adam {
  float keep_mean, keep_square, take_mean, take_square, rate, square_scale;
  bool first, last;

  Adam(int step, int steps, double learning_rate, double beta1, double beta2)
      : keep_mean(beta1), keep_square(beta2), take_mean(1 - beta1), take_square(1 - beta2),
        rate(learning_rate / (1 - std::pow(beta1, step))), square_scale(1 / std::sqrt(1 - std::pow(beta2, step))),
        first(step == 1), last(step == steps) {}

  INLINE Vector change(Vector mean, Vector square) const {
    return rate * mean / (root(square) * square_scale + EPSILON);
  }

  INLINE void step(const float* source, float* weight, float* mean, float* square, Vector gradient) const {
    Vector new_mean = take_mean * gradient, new_square = take_square * gradient * gradient;
    if (!first) {
      new_mean += keep_mean * load(mean);
      new_square += keep_square * load(square);
    }
    if (!last) {
      store(mean, new_mean);
      store(square, new_square);
    }
    store(weight, load(source) - change(new_mean, new_square));
  }

  void steps(const float* source, float* weight, float* mean, float* square, const float* gradient, int count) const {
    for (int i = 0; i < count; i += LANES) step(source + i, weight + i, mean + i, square + i, load(gradient + i));
  }
};

// sum[i][:] += left(i, k) right(k, :) for k < count: the inner loop of all products except the gradient of an input.
// Four rows i have distance `row`, groups of four `next_four`; `left_step` and `right_step` lead from k to k + 1.
template <int VECTORS>
INLINE void accumulate(Vector (&sum)[ROWS][VECTORS], const float* left, ptrdiff_t row, ptrdiff_t next_four,
                       ptrdiff_t left_step, const float* right, ptrdiff_t right_step, int count) {
  for (int k = 0; k < count; k++, left += left_step, right += right_step) {
    Vector columns[VECTORS];
    UNROLLED for (int j = 0; j < VECTORS; j++) columns[j] = load(right + j * LANES);
    UNROLLED for (int i = 0; i < ROWS; i++) {
      Vector value = all(left[i / 4 * next_four + i % 4 * row]);
      UNROLLED for (int j = 0; j < VECTORS; j++) sum[i][j] += value * columns[j];
    }
  }
}

// The four taps of output pixels of one parity are consecutive: tap = 4 (2 py + px) + 2 dy + dx.
// An output row of parity 0 uses its input row with kernel row 1 and the row above with 3; an output row of parity 1
// uses its input row with kernel row 2 and the row below with 0. The same holds for columns.
int kernel_place(int parity, int neighbour) { return parity == 0 ? 1 + 2 * neighbour : 2 - 2 * neighbour; }
int input_shift(int parity, int neighbour) { return parity == 0 ? -neighbour : neighbour; }
int kernel_y(int tap) { return kernel_place(tap >> 3, tap >> 1 & 1); }
int kernel_x(int tap) { return kernel_place(tap >> 2 & 1, tap & 1); }

// A transposed convolution between two hidden maps: kernel 4, stride 2, padding 1.
// The layout of its weights is [panel of output channels][ROWS input channels][tap][row][column]: each of the three
// products reads them sequentially, and the tile that Adam updates is contiguous.
struct Convolution {
  int in, out, side;  // padded channels; the input's side

  size_t size() const { return size_t(in) * out * TAPS; }

  size_t place(int from, int to, int tap) const {
    int columns = panel_vectors(out) * LANES;
    size_t tile = (size_t(to / columns) * (in / ROWS) + from / ROWS) * TAPS + tap;
    return (tile * ROWS + from % ROWS) * columns + to % columns;
  }

  template <int VECTORS>
  void forward(const Grid& x, const float* weights, const Grid& y) const {
    constexpr int COLUMNS = VECTORS * LANES, TILE = ROWS * COLUMNS;
    for (int panel = 0; panel < out / COLUMNS; panel++)
      for (int parity = 0; parity < 4; parity++) {
        int py = parity / 2, px = parity % 2;
        ptrdiff_t shifts[4];
        for (int s = 0; s < 4; s++) shifts[s] = input_shift(py, s / 2) * x.row() + input_shift(px, s % 2) * in;
        for (int pixel = 0; pixel < side * side; pixel += ROWS) {
          Vector sum[ROWS][VECTORS] = {};
          const float* pixels = x.at(pixel);
          const float* tile = weights + place(0, panel * COLUMNS, 4 * parity);
          for (int from = 0; from < in; from += ROWS, tile += TAPS * TILE)
            for (int s = 0; s < 4; s++) {
              fetch_early<TILE>(tile + (TAPS + s) * TILE);
              accumulate<VECTORS>(sum, pixels + shifts[s] + from, in, x.next_four(), 1, tile + s * TILE, COLUMNS, ROWS);
            }
          for (int i = 0; i < ROWS; i++) {
            float* to = y.at((pixel + i) / side * 2 + py, (pixel + i) % side * 2 + px) + panel * COLUMNS;
            for (int j = 0; j < VECTORS; j++) store(to + j * LANES, sum[i][j]);
          }
        }
      }
  }

  // Adds the contribution of one panel of output channels to the gradient of ROWS input channels: dot products for four
  // channels times PIXELS pixels at a time; `sums` (pixel, channel, lane) holds their lanes separately.
  template <int VECTORS>
  void backward_input(const Grid& dy, const float* tile, float* sums, const ptrdiff_t* taps) const {
    constexpr int COLUMNS = VECTORS * LANES;
    for (int c = 0; c < ROWS; c += 4)
      for (int pixel = 0; pixel < side * side; pixel += PIXELS) {
        float* at = sums + (pixel * ROWS + c) * LANES;
        Vector sum[4][PIXELS];
        for (int p = 0; p < PIXELS; p++)
          for (int i = 0; i < 4; i++) sum[i][p] = load(at + (p * ROWS + i) * LANES);
        const float* corner = dy.at(pixel / side * 2, pixel % side * 2);
        const float* weights = tile + c * COLUMNS;
        for (int tap = 0; tap < TAPS; tap++, weights += ROWS * COLUMNS) {
          const float* gradient = corner + taps[tap];
          UNROLLED for (int j = 0; j < VECTORS; j++) {
            Vector of_pixel[PIXELS];
            UNROLLED for (int p = 0; p < PIXELS; p++) of_pixel[p] = load(gradient + p * 2 * out + j * LANES);
            UNROLLED for (int i = 0; i < 4; i++) {
              Vector weight = load(weights + i * COLUMNS + j * LANES);
              UNROLLED for (int p = 0; p < PIXELS; p++) sum[i][p] += weight * of_pixel[p];
            }
          }
        }
        for (int p = 0; p < PIXELS; p++)
          for (int i = 0; i < 4; i++) store(at + (p * ROWS + i) * LANES, sum[i][p]);
      }
  }

  // The gradient of a panel's weights for ROWS input channels, tap by tap, and Adam's step with it.
  template <int VECTORS>
  void update(const Grid& x, const Grid& dy, int from, const ptrdiff_t* taps, const Adam& adam, const float* source,
              float* weights, float* mean, float* square) const {
    constexpr int COLUMNS = VECTORS * LANES, TILE = ROWS * COLUMNS;
    const size_t next_panel = size_t(in) * TAPS * COLUMNS;
    for (int tap = 0; tap < TAPS; tap++) {
      Vector gradient[ROWS][VECTORS] = {};
      fetch_early<TILE>(source + next_panel + tap * TILE);
      fetch_early<TILE>(mean + (tap + 1) * TILE);
      fetch_early<TILE>(square + (tap + 1) * TILE);
      for (int y = 0; y < side; y++)
        accumulate<VECTORS>(gradient, x.at(y, 0) + from, 1, 4, in, dy.at(2 * y, 0) + taps[tap], 2 * out, side);
      for (int i = 0; i < ROWS; i++)
        UNROLLED for (int j = 0; j < VECTORS; j++) {
          size_t at = tap * TILE + i * COLUMNS + j * LANES;
          adam.step(source + at, weights + at, mean + at, square + at, gradient[i][j]);
        }
    }
  }

  // Processes a few input channels and one panel of output channels at a time: the weights and gradients read by
  // backward_input are still in the first cache when Adam needs them. Without Adam, the weights do not change.
  template <int VECTORS>
  void backward(const Grid& x, const Grid& dy, const Grid& dx, float* sums, const Adam* adam, const float* source,
                float* weights, float* mean, float* square) const {
    constexpr int COLUMNS = VECTORS * LANES;
    for (int from = 0; from < in; from += ROWS) {
      std::fill_n(sums, side * side * ROWS * LANES, 0.f);
      for (int panel = 0; panel < out / COLUMNS; panel++) {
        ptrdiff_t taps[TAPS];  // offset of each tap in dy from an input pixel
        for (int tap = 0; tap < TAPS; tap++)
          taps[tap] = (kernel_y(tap) - 1) * dy.row() + (kernel_x(tap) - 1) * out + panel * COLUMNS;
        size_t tile = place(from, panel * COLUMNS, 0);
        backward_input<VECTORS>(dy, source + tile, sums, taps);
        if (adam)
          update<VECTORS>(x, dy, from, taps, *adam, source + tile, weights + tile, mean + tile, square + tile);
      }
      for (int pixel = 0; pixel < side * side; pixel++)
        for (int c = 0; c < ROWS; c++) dx.at(pixel)[from + c] = sum_of_lanes(load(sums + (pixel * ROWS + c) * LANES));
    }
  }
};

// The last transposed convolution. The image's one or three channels would not fill a vector, so the columns are
// (channel, tap), in PyTorch's order, and their values are summed into the image.
struct LastConvolution {
  static constexpr int VECTORS = LANES == 16 ? 1 : 2, COLUMNS = VECTORS * LANES;
  int in, channels, side;

  int columns() const { return channels * TAPS; }
  size_t size() const { return size_t(in) * columns(); }

  void forward(const Grid& x, const float* weights, float* spread, float* image) const {
    for (int panel = 0; panel < columns(); panel += COLUMNS)
      for (int pixel = 0; pixel < side * side; pixel += ROWS) {
        Vector sum[ROWS][VECTORS] = {};
        accumulate<VECTORS>(sum, x.at(pixel), in, x.next_four(), 1, weights + panel, columns(), in);
        for (int i = 0; i < ROWS; i++)
          for (int j = 0; j < VECTORS; j++) store(spread + (pixel + i) * columns() + panel + j * LANES, sum[i][j]);
      }
    std::fill_n(image, channels * 4 * side * side, 0.f);
    each_place(spread, image, [](float& column, float& pixel) { pixel += column; });
  }

  void backward(const Grid& x, float* spread, float* image_gradient, const Grid& dx, const Adam* adam,
                const float* source, float* turned, float* weights, float* mean, float* square) const {
    std::fill_n(spread, side * side * columns(), 0.f);
    each_place(spread, image_gradient, [](float& column, float& pixel) { column = pixel; });
    for (int c = 0; c < in; c++)
      for (int n = 0; n < columns(); n++) turned[n * in + c] = source[c * columns() + n];
    with_panels_of(in, [&](auto vectors) { backward_input<vectors()>(spread, turned, dx); });
    if (!adam) return;
    for (int from = 0; from < in; from += ROWS)
      for (int panel = 0; panel < columns(); panel += COLUMNS) {
        Vector gradient[ROWS][VECTORS] = {};
        accumulate<VECTORS>(gradient, x.at(0) + from, 1, 4, in, spread + panel, columns(), side * side);
        for (int i = 0; i < ROWS; i++)
          for (int j = 0; j < VECTORS; j++) {
            size_t at = size_t(from + i) * columns() + panel + j * LANES;
            adam->step(source + at, weights + at, mean + at, square + at, gradient[i][j]);
          }
      }
  }

 private:
  template <int NUMBER>
  void backward_input(const float* spread, const float* turned, const Grid& dx) const {
    for (int panel = 0; panel < in; panel += NUMBER * LANES)
      for (int pixel = 0; pixel < side * side; pixel += ROWS) {
        Vector sum[ROWS][NUMBER] = {};
        accumulate<NUMBER>(sum, spread + pixel * columns(), columns(), 4 * columns(), 1, turned + panel, in, columns());
        for (int i = 0; i < ROWS; i++)
          for (int j = 0; j < NUMBER; j++) store(dx.at(pixel + i) + panel + j * LANES, sum[i][j]);
      }
  }

  template <class Visit>
  void each_place(float* spread, float* image, Visit visit) const {
    int large = 2 * side;
    for (int pixel = 0; pixel < side * side; pixel++)
      for (int channel = 0; channel < channels; channel++)
        for (int ky = 0; ky < KERNEL; ky++)
          for (int kx = 0; kx < KERNEL; kx++) {
            int y = pixel / side * 2 + ky - 1, x = pixel % side * 2 + kx - 1;
            if (y >= 0 && y < large && x >= 0 && x < large)
              visit(spread[(pixel * channels + channel) * TAPS + ky * KERNEL + kx],
                    image[(channel * large + y) * large + x]);
          }
  }
};

// Batch normalisation with fixed statistics, and ReLU.
struct Normalisation {
  int channels;
  const float *mean, *inverse;  // of the training

  void forward(const Grid& u, const float* gain, const float* shift, const Grid& x) const {
    for (int c = 0; c < channels; c += LANES) {
      Vector centre = load(mean + c), scale = load(inverse + c) * load(gain + c), offset = load(shift + c);
      for (int pixel = 0; pixel < u.side * u.side; pixel++) {
        Vector y = (load(u.at(pixel) + c) - centre) * scale + offset;
        store(x.at(pixel) + c, y <= 0 ? Vector{} : y);  // keeps NaN
      }
    }
  }

  // Converts the gradient of x to that of u, in place.
  void backward(const Grid& u, const Grid& x, const Grid& d, const float* gain, float* d_gain, float* d_shift) const {
    for (int c = 0; c < channels; c += LANES) {
      Vector centre = load(mean + c), over = load(inverse + c), scale = over * load(gain + c), by_gain{}, by_shift{};
      for (int pixel = 0; pixel < u.side * u.side; pixel++) {
        float* at = d.at(pixel) + c;
        Vector gradient = load(x.at(pixel) + c) <= 0 ? Vector{} : load(at);
        by_gain += gradient * (load(u.at(pixel) + c) - centre);
        by_shift += gradient;
        store(at, gradient * scale);
      }
      store(d_gain + c, by_gain * over);
      store(d_shift + c, by_shift);
    }
  }
};

// The first layer, z -> a map of FIRST_SIDE pixels. Layout of the weights: [panel of outputs][latent][column].
struct Linear {
  int latent, out;  // out = pixels x padded channels

  size_t size() const { return size_t(latent) * out; }
  size_t place(int from, int to) const {
    return (size_t(to / LINEAR_PANEL) * latent + from) * LINEAR_PANEL + to % LINEAR_PANEL;
  }

  void forward(const float* weights, const float* z, float* u) const {
    for (int panel = 0; panel < out; panel += LINEAR_PANEL) {
      Vector sum[LINEAR_VECTORS] = {};
      for (int c = 0; c < latent; c++, weights += LINEAR_PANEL)
        UNROLLED for (int j = 0; j < LINEAR_VECTORS; j++) sum[j] += z[c] * load(weights + j * LANES);
      UNROLLED for (int j = 0; j < LINEAR_VECTORS; j++) store(u + panel + j * LANES, sum[j]);
    }
  }

  // `sums` has room for a vector for each dimension of z.
  void backward_z(const float* weights, const float* du, float* sums, float* dz) const {
    std::fill_n(sums, size_t(latent) * LANES, 0.f);
    for (int panel = 0; panel < out; panel += LINEAR_PANEL) {
      Vector gradient[LINEAR_VECTORS];
      UNROLLED for (int j = 0; j < LINEAR_VECTORS; j++) gradient[j] = load(du + panel + j * LANES);
      for (int c = 0; c < latent; c++, weights += LINEAR_PANEL) {
        Vector sum = load(sums + c * LANES);
        UNROLLED for (int j = 0; j < LINEAR_VECTORS; j++) sum += gradient[j] * load(weights + j * LANES);
        store(sums + c * LANES, sum);
      }
    }
    for (int c = 0; c < latent; c++) dz[c] = sum_of_lanes(load(sums + c * LANES));
  }

  // Adam's step number `step` on the weights and, in the same pass, the output for z. The gradient of step s was the
  // outer product of row s of `past_z` (latent) and of `past_du` (out), so with the decays in the factors,
  //   mean = sum_s for_mean[s][c] du_s,   square = sum_s (for_square[s][c] du_s)^2.
  // The work grows with each step, but no mean is read or written.
  void update_and_forward(const Adam& adam, int step, const float* past_z, int z_stride, const float* past_du,
                          float* for_mean, float* for_square, const float* source, float* weights, const float* z,
                          float* u) const {
    for (int s = 0; s < step; s++) {
      float mean_factor = adam.take_mean * std::pow(double(adam.keep_mean), step - 1 - s);
      float square_factor = std::sqrt(adam.take_square * std::pow(double(adam.keep_square), step - 1 - s));
      for (int c = 0; c < latent; c++) {
        for_mean[c * step + s] = mean_factor * past_z[s * z_stride + c];
        for_square[c * step + s] = square_factor * past_z[s * z_stride + c];
      }
    }
    for (int panel = 0; panel < out; panel += LINEAR_PANEL) {
      Vector made[LINEAR_VECTORS] = {};
      for (int c = 0; c < latent; c++, source += LINEAR_PANEL, weights += LINEAR_PANEL) {
        Vector mean[LINEAR_VECTORS] = {}, square[LINEAR_VECTORS] = {};
        for (int s = 0; s < step; s++) {
          Vector mean_factor = all(for_mean[c * step + s]), square_factor = all(for_square[c * step + s]);
          UNROLLED for (int j = 0; j < LINEAR_VECTORS; j++) {
            Vector du = load(past_du + size_t(s) * out + panel + j * LANES), part = square_factor * du;
            mean[j] += mean_factor * du;
            square[j] += part * part;
          }
        }
        UNROLLED for (int j = 0; j < LINEAR_VECTORS; j++) {
          Vector moved = load(source + j * LANES) - adam.change(mean[j], square[j]);
          if (!adam.last) store(weights + j * LANES, moved);
          made[j] += z[c] * moved;
        }
      }
      UNROLLED for (int j = 0; j < LINEAR_VECTORS; j++) store(u + panel + j * LANES, made[j]);
    }
  }
};

// One zeroed allocation for all arrays of a thread, in huge pages if available: every step of a search reads all of it.
class Memory {
 public:
  explicit Memory(size_t floats) {
    constexpr size_t PAGE = size_t(2) << 20;
    size_t bytes = (floats * sizeof(float) + PAGE - 1) / PAGE * PAGE;
    data_ = static_cast<float*>(std::aligned_alloc(PAGE, bytes));
    if (!data_) throw std::bad_alloc();
#ifdef __linux__
    madvise(data_, bytes, MADV_HUGEPAGE);
#endif
    std::memset(data_, 0, bytes);
    next_ = data_;
  }
  ~Memory() { std::free(data_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  static size_t rounded(size_t floats) { return (floats + 15) / 16 * 16; }  // every array starts at a cache line
  float* take(size_t floats) {
    float* begin = next_;
    next_ += rounded(floats);
    return begin;
  }

 private:
  float *data_, *next_;
};

// The generator's shape.
struct Network {
  Linear linear;
  std::vector<Convolution> convolutions;
  LastConvolution last;
  std::vector<int> channels, padded_channels;  // of the hidden maps, from z to the image
  int side, image_channels;

  explicit Network(const Request& request) : side(request.side), image_channels(request.channels) {
    for (int pixels = side / 2; pixels >= FIRST_SIDE; pixels /= 2)
      channels.insert(channels.begin(), request.width * (side / 2 / pixels));
    for (int number : channels) padded_channels.push_back(padded(number));
    linear = {request.latent, FIRST_PIXELS * padded_channels[0]};
    for (size_t l = 0; l + 1 < channels.size(); l++)
      convolutions.push_back({padded_channels[l], padded_channels[l + 1], FIRST_SIDE << l});
    last = {padded_channels.back(), image_channels, side / 2};
  }

  int maps() const { return channels.size(); }
  int pixels() const { return image_channels * side * side; }
};

// A set of weights, or of Adam's means, which exclude the first layer.
struct Weights {
  std::vector<float*> convolutions, gains, shifts;
  float *last, *linear;

  static size_t floats(const Network& network, bool with_linear) {
    size_t sum = Memory::rounded(network.last.size()) + (with_linear ? Memory::rounded(network.linear.size()) : 0);
    for (auto& layer : network.convolutions) sum += Memory::rounded(layer.size());
    for (int channels : network.padded_channels) sum += 2 * Memory::rounded(channels);
    return sum;
  }

  Weights(const Network& network, Memory& memory, bool with_linear) {
    for (int channels : network.padded_channels) {
      gains.push_back(memory.take(channels));
      shifts.push_back(memory.take(channels));
    }
    for (auto& layer : network.convolutions) convolutions.push_back(memory.take(layer.size()));
    last = memory.take(network.last.size());
    linear = with_linear ? memory.take(network.linear.size()) : nullptr;
  }
};

// The trained generator: its weights in this file's layout and its statistics, read by all threads.
struct Trained {
  Memory memory;
  Weights weights;
  std::vector<Normalisation> normalisations;

  static size_t floats(const Network& network) {
    size_t sum = Weights::floats(network, true);
    for (int channels : network.padded_channels) sum += 2 * Memory::rounded(channels);
    return sum;
  }

  Trained(const Network& network, const float* parameters, const float* statistics)
      : memory(floats(network)), weights(network, memory, true) {
    int first = network.channels[0], first_padded = network.padded_channels[0];
    for (int channel = 0; channel < first; channel++)
      for (int pixel = 0; pixel < FIRST_PIXELS; pixel++)
        for (int c = 0; c < network.linear.latent; c++)
          weights.linear[network.linear.place(c, pixel * first_padded + channel)] = *parameters++;
    for (int l = 0; l < network.maps(); l++) {
      int channels = network.channels[l];
      std::copy_n(parameters, channels, weights.gains[l]);
      std::copy_n(parameters + channels, channels, weights.shifts[l]);
      parameters += 2 * channels;
      float *mean = memory.take(network.padded_channels[l]), *inverse = memory.take(network.padded_channels[l]);
      std::copy_n(statistics, channels, mean);
      std::copy_n(statistics + channels, channels, inverse);
      statistics += 2 * channels;
      normalisations.push_back({network.padded_channels[l], mean, inverse});
      if (l + 1 == network.maps()) break;
      auto& layer = network.convolutions[l];
      for (int from = 0; from < channels; from++)
        for (int to = 0; to < network.channels[l + 1]; to++, parameters += TAPS)
          for (int tap = 0; tap < TAPS; tap++)
            weights.convolutions[l][layer.place(from, to, tap)] = parameters[kernel_y(tap) * KERNEL + kernel_x(tap)];
    }
    std::copy_n(parameters, size_t(network.channels.back()) * network.last.columns(), weights.last);
  }
};

// The state of one thread, for one starting point at a time.
class Search {
 public:
  Search(const Request& request, const Network& network, const Trained& trained)
      : request_(request), network_(network), trained_(trained), latent_(padded(request.latent)),
        memory_(floats(request, network)), own_(network, memory_, true), mean_(network, memory_, false),
        square_(network, memory_, false) {
    for (int l = 0; l < network.maps(); l++) {
      int side = FIRST_SIDE << l, channels = network.padded_channels[l], inner = l + 1 < network.maps();
      u_.push_back(grid(side, channels, 0));
      x_.push_back(grid(side, channels, inner));  // a convolution reads one pixel beyond its input
      d_.push_back(grid(side, channels, l > 0));  // and its gradient one pixel beyond its output
      d_gain_.push_back(memory_.take(channels));
      d_shift_.push_back(memory_.take(channels));
    }
    spread_ = memory_.take(spread_floats(network));
    turned_ = memory_.take(network.last.size());
    lanes_ = memory_.take(lanes_floats(network));
    made_ = memory_.take(network.pixels());
    d_image_ = memory_.take(network.pixels());
    for (float** array : {&z_, &dz_, &z_mean_, &z_square_}) *array = memory_.take(latent_);
    sums_ = memory_.take(size_t(request.latent) * LANES);
    past_z_ = memory_.take(size_t(request.steps) * latent_);
    past_du_ = memory_.take(size_t(request.steps) * network.linear.out);
    for_mean_ = memory_.take(size_t(request.steps) * latent_);
    for_square_ = memory_.take(size_t(request.steps) * latent_);
  }

  void run(int start) {
    const float* target = request_.targets + size_t(start / request_.starts) * network_.pixels();
    std::copy_n(request_.begin + size_t(start) * request_.latent, request_.latent, z_);
    restrict_z();
    keep_path(start, 0);
    network_.linear.forward(trained_.weights.linear, z_, u_[0].data);
    float loss = 0;
    for (int step = 1; step <= request_.steps; step++) {
      const Weights& now = step == 1 ? trained_.weights : own_;
      Adam adam(step, request_.steps, request_.theta_lr, request_.beta1, request_.beta2);
      float* past_z = past_z_ + (step - 1) * latent_;
      float* past_du = past_du_ + size_t(step - 1) * network_.linear.out;
      loss = forward(now, target);
      if (request_.in_turn) {
        backward(now, nullptr);
        move_z(now, step);
        network_.linear.forward(now.linear, z_, u_[0].data);
        forward(now, target);
      }
      backward(now, &adam);
      std::copy_n(z_, latent_, past_z);
      std::copy_n(d_[0].data, network_.linear.out, past_du);
      if (!request_.in_turn) move_z(now, step);
      network_.linear.update_and_forward(adam, step, past_z_, latent_, past_du_, for_mean_, for_square_, now.linear,
                                         own_.linear, z_, u_[0].data);
      keep_path(start, step);
    }
    float after = forward(request_.steps ? own_ : trained_.weights, target);
    request_.loss[start] = request_.at_last_step && request_.steps ? loss : after;
    std::copy_n(z_, request_.latent, request_.z + size_t(start) * request_.latent);
    std::copy_n(made_, network_.pixels(), request_.made + size_t(start) * network_.pixels());
  }

 private:
  static size_t spread_floats(const Network& network) {
    return size_t(network.last.side) * network.last.side * network.last.columns();
  }

  static size_t lanes_floats(const Network& network) {
    return network.convolutions.empty() ? 0 : size_t(network.side / 4) * (network.side / 4) * ROWS * LANES;
  }

  static size_t floats(const Request& request, const Network& network) {
    size_t latent = padded(request.latent), steps = request.steps;
    size_t sum = Weights::floats(network, true) + 2 * Weights::floats(network, false);
    for (int l = 0; l < network.maps(); l++) {
      size_t outer = (FIRST_SIDE << l) + 2, channels = network.padded_channels[l];
      sum += 3 * Memory::rounded(outer * outer * channels) + 2 * Memory::rounded(channels);
    }
    sum += Memory::rounded(spread_floats(network)) + Memory::rounded(network.last.size());
    sum += Memory::rounded(lanes_floats(network));
    sum += 2 * Memory::rounded(network.pixels()) + 4 * Memory::rounded(latent);
    sum += Memory::rounded(size_t(request.latent) * LANES) + Memory::rounded(steps * network.linear.out);
    return sum + 3 * Memory::rounded(steps * latent);
  }

  Grid grid(int side, int channels, int border) {
    int outer = side + 2 * border;
    return {memory_.take(size_t(outer) * outer * channels), side, channels, border};
  }

  // From u_[0] to the image in made_, and the gradient of the loss by the image in d_image_.
  float forward(const Weights& weights, const float* target) {
    for (int l = 0; l < network_.maps(); l++) {
      trained_.normalisations[l].forward(u_[l], weights.gains[l], weights.shifts[l], x_[l]);
      if (l + 1 == network_.maps()) break;
      auto& layer = network_.convolutions[l];
      with_panels_of(layer.out, [&](auto vectors) {
        layer.template forward<vectors()>(x_[l], weights.convolutions[l], u_[l + 1]);
      });
    }
    network_.last.forward(x_.back(), weights.last, spread_, made_);
    float factor = request_.mean ? 2.f / network_.pixels() : 2.f;
    double sum = 0;
    for (int i = 0; i < network_.pixels(); i++) {
      float made = std::tanh(made_[i]), error = made - target[i];
      sum += double(error) * error;
      made_[i] = made;
      d_image_[i] = factor * error * (1 - made * made);
    }
    return request_.mean ? sum / network_.pixels() : sum;
  }

  // From d_image_ to the gradient of u_[0] in d_[0]; with Adam, also updates all weights except the first layer's.
  void backward(const Weights& weights, const Adam* adam) {
    int top = network_.maps() - 1;
    network_.last.backward(x_[top], spread_, d_image_, d_[top], adam, weights.last, turned_, own_.last, mean_.last,
                           square_.last);
    for (int l = top; l >= 0; l--) {
      trained_.normalisations[l].backward(u_[l], x_[l], d_[l], weights.gains[l], d_gain_[l], d_shift_[l]);
      if (adam) {
        int count = network_.padded_channels[l];
        adam->steps(weights.gains[l], own_.gains[l], mean_.gains[l], square_.gains[l], d_gain_[l], count);
        adam->steps(weights.shifts[l], own_.shifts[l], mean_.shifts[l], square_.shifts[l], d_shift_[l], count);
      }
      if (l == 0) break;
      auto& layer = network_.convolutions[l - 1];
      with_panels_of(layer.out, [&](auto vectors) {
        layer.template backward<vectors()>(x_[l - 1], d_[l], d_[l - 1], lanes_, adam, weights.convolutions[l - 1],
                                           own_.convolutions[l - 1], mean_.convolutions[l - 1],
                                           square_.convolutions[l - 1]);
      });
    }
  }

  void move_z(const Weights& weights, int step) {
    network_.linear.backward_z(weights.linear, d_[0].data, sums_, dz_);
    for (int c = 0; c < request_.latent; c++) dz_[c] += float(request_.penalty) * z_[c];
    Adam adam(step, request_.steps, request_.z_lr, request_.beta1, request_.beta2);
    adam.steps(z_, z_, z_mean_, z_square_, dz_, latent_);
    restrict_z();
  }

  void restrict_z() {
    if (request_.restriction == 1) {
      double square = 0;
      for (int c = 0; c < request_.latent; c++) square += double(z_[c]) * z_[c];
      float scale = std::sqrt(request_.latent / square);
      for (int c = 0; c < request_.latent; c++) z_[c] *= scale;
    } else if (request_.restriction == 2) {
      float bound = request_.bound;
      for (int c = 0; c < request_.latent; c++) z_[c] = std::min(std::max(z_[c], -bound), bound);
    }
  }

  void keep_path(int start, int step) {
    if (!request_.path) return;
    size_t row = size_t(start) * (request_.steps + 1) + step;
    std::copy_n(z_, request_.latent, request_.path + row * request_.latent);
  }

  const Request& request_;
  const Network& network_;
  const Trained& trained_;
  int latent_;  // padded
  Memory memory_;
  Weights own_, mean_, square_;
  std::vector<Grid> u_, x_, d_;  // of each hidden map: before normalisation, after ReLU, gradient
  std::vector<float*> d_gain_, d_shift_;
  float *spread_, *turned_, *lanes_, *made_, *d_image_;
  float *z_, *dz_, *z_mean_, *z_square_, *sums_, *past_z_, *past_du_, *for_mean_, *for_square_;
};

}  // namespace

// Searches from every start. Returns 0, or 1 if the memory did not suffice for the threads.
extern "C" int heldout_joint_search(const Request* request) {
  try {
    Network network(*request);
    Trained trained(network, request->weights, request->statistics);
    int count = request->images * request->starts;
    std::vector<std::unique_ptr<Search>> searches;
    for (int i = 0; i < std::min(request->threads, count); i++)
      searches.push_back(std::make_unique<Search>(*request, network, trained));
    std::atomic<int> next{0};
    auto work = [&](Search& search) {
      for (int start = next++; start < count; start = next++) search.run(start);
    };
    std::vector<std::thread> threads;
    try {
      for (size_t i = 1; i < searches.size(); i++) threads.emplace_back(work, std::ref(*searches[i]));
    } catch (const std::system_error&) {  // no more threads available: fewer threads give the same results
    }
    work(*searches[0]);
    for (auto& thread : threads) thread.join();
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}
