// Tiles: a square of averages or tags in shared memory, made by all threads of a block together.
//
// A value at the working size is a bilinear mix of four averages at 1/2, each of which is a mix of five loads.
// Neighbours share most of these, so with PROJECT the square at 1/2 is made first (SIDE / 2 + 2 wide), and the working
// square from it. Without a second resampling the working square is read directly: its loads overlap too, but the L1
// cache sees to that. Every value equals average_at and tag_at to the last bit.
#ifndef HEATSTREAM_TILES_CUH
#define HEATSTREAM_TILES_CUH

#include "maps.cuh"

constexpr int TILE = 32;  // side of the squares into which the kernels cut a map, working px

// Tiles are counted row by row; those at the right and lower border may reach beyond the map.
__device__ inline int tiles_along(int size) { return (size + TILE - 1) / TILE; }

// square[SIDE * SIDE] = at(y, x) of the working px from (top, left), `outside` beyond the map; ends with a barrier.
template <int SIDE, class At>
__device__ inline void fill_square(const Maps& maps, int top, int left, float outside, float* square, At at) {
    for (int i = threadIdx.x; i < SIDE * SIDE; i += blockDim.x) {
        const int y = top + i / SIDE, x = left + i % SIDE;
        const bool inside = y >= 0 && y < maps.height && x >= 0 && x < maps.width;
        square[i] = inside ? at(y, x) : outside;
    }
    __syncthreads();
}

#if PLAIN || !PROJECT

template <int SIDE>
constexpr int SCRATCH = 1;  // floats of shared memory that the functions below need beside the square; none here

template <int SIDE>
__device__ inline void average_square(const Maps& maps, int image, int joint, int top, int left, float outside,
                                      float* square, float*) {
    fill_square<SIDE>(maps, top, left, outside, square,
                      [&](int y, int x) { return average_at(maps, image, joint, y, x); });
}

template <int SIDE>
__device__ inline void tag_square(const Maps& maps, int image, int joint, int plane, int top, int left, float outside,
                                  float* square, float*) {
    fill_square<SIDE>(maps, top, left, outside, square,
                      [&](int y, int x) { return tag_at(maps, image, joint, plane, y, x); });
}

#else

template <int SIDE>
constexpr int STAGE = SIDE / 2 + 2;  // side of the square at 1/2

template <int SIDE>
constexpr int SCRATCH = VIEWS * STAGE<SIDE> * STAGE<SIDE>;

// A view's square at 1/2 that holds all taps of the working square at (top, left).
template <int SIDE>
struct Staged {
    const Maps& maps;
    float* values;
    int top, left, mirrored_width;  // of the square at 1/2; the working width where the view is mirrored, else 0

    __device__ Staged(const Maps& source, int view, int working_top, int working_left, float* scratch)
        : maps(source), values(scratch + view * STAGE<SIDE> * STAGE<SIDE>), mirrored_width(view ? source.width : 0) {
        const int first_column = view ? maps.width - working_left - SIDE : working_left;
        top = taps_of(max(working_top, 0), STEP, 2 * maps.quarter_height).first;
        left = taps_of(max(first_column, 0), STEP, 2 * maps.quarter_width).first;
    }

    template <class AtHalf>
    __device__ void fill(AtHalf at_half) const {
        for (int i = threadIdx.x; i < STAGE<SIDE> * STAGE<SIDE>; i += blockDim.x) {
            const int y = top + i / STAGE<SIDE>, x = left + i % STAGE<SIDE>;
            if (y < 2 * maps.quarter_height && x < 2 * maps.quarter_width) values[i] = at_half(y, x);
        }
    }

    __device__ float operator()(int y, int x) const {
        const int column = mirrored_width ? mirrored_width - 1 - x : x;
        return at_working(maps, y, column,
                          [&](int row, int c) { return values[(row - top) * STAGE<SIDE> + c - left]; });
    }
};

// square[SIDE * SIDE] = average_at of the working px from (top, left), `outside` beyond the map. All threads of the
// block call; scratch holds SCRATCH<SIDE> floats; ends with a barrier.
template <int SIDE>
__device__ inline void average_square(const Maps& maps, int image, int joint, int top, int left, float outside,
                                      float* square, float* scratch) {
    for (int view = 0; view < VIEWS; ++view) {
        const size_t plane = plane_of(maps, view, image, joint);
        Staged<SIDE>(maps, view, top, left, scratch)
            .fill([&](int y, int x) { return average_at_half(maps, plane, y, x); });
    }
    __syncthreads();
    const Staged<SIDE> plain(maps, 0, top, left, scratch), mirrored(maps, VIEWS - 1, top, left, scratch);
    fill_square<SIDE>(maps, top, left, outside, square,
                      [&](int y, int x) { return FLIP ? (plain(y, x) + mirrored(y, x)) * 0.5f : plain(y, x); });
}

// The same of tag_at, for one plane of the tags.
template <int SIDE>
__device__ inline void tag_square(const Maps& maps, int image, int joint, int plane, int top, int left, float outside,
                                  float* square, float* scratch) {
    const size_t source = plane_of(maps, plane, image, joint);
    const Staged<SIDE> tags(maps, plane, top, left, scratch);
    tags.fill([&](int y, int x) { return tag_at_half(maps, source, y, x); });
    __syncthreads();
    fill_square<SIDE>(maps, top, left, outside, square, tags);
}

#endif
#endif
