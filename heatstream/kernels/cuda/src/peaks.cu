// Peaks: the strongest local maxima of every joint, with sub-pixel positions and tags. The Python references are peaks.py
// (find_peaks), subpixel.py and, for the maps, aggregate.py.
//
//   A pixel is a peak if its average exceeds the threshold and nothing in the square of side 2 NMS_RADIUS + 1 around it
//   is larger; outside the map counts as minus infinity. With FIRST_OF_EQUALS nothing equal in the square may come before
//   it in reading order; without, every pixel of a plateau is a peak, as with the max-pooling of associative embedding
//   (Newell et al. 2017). Per joint the CAPACITY strongest are kept; equal scores are ordered by
//   row, then by column. How many more there were is counted.
//
// Two launches, because the peaks of a joint come from many tiles and blocks do not wait for each other:
//   tile_peaks    grid (tiles, K, B), 256 threads: a tile of 32 x 32 px with its halo in shared memory; at most
//                 CAPACITY keys per tile, sorted. Reads every map once and writes 4 bytes per tile and 8 per peak.
//   select_peaks  grid (K, B), 256 threads: the CAPACITY best of a joint's tiles, their positions and tags.
//
// Keys are unique (common.cuh), and each finds its place by counting the larger ones: the result does not depend on the
// order in which threads append. -D configuration: that of maps.cuh, and CAPACITY (1..32), NMS_RADIUS, FIRST_OF_EQUALS, ADJUST
// (subpixel.cuh).
#include "subpixel.cuh"
#include "tiles.cuh"

constexpr int THREADS = 256;
constexpr int SIDE = TILE + 2 * NMS_RADIUS;  // a tile with its halo
constexpr int PER_THREAD = TILE * TILE / THREADS;
constexpr int POOL = 1024;  // keys that select_peaks ranks at once

static_assert(CAPACITY >= 1 && CAPACITY <= WARP, "a joint keeps 1 to 32 peaks");
static_assert(POOL >= 2 * CAPACITY, "a round must take in at least one tile");

// Whether this thread meets a tag that is not finite in the part of the joint's tags that falls to the tile. Tags are
// not tied to tiles here: each tile takes an equal run of them, so that each tag is looked at once.
__device__ inline bool meets_bad_tag(const Maps& maps, int image, int joint, int tile, int tiles) {
#if PLAIN
    const int size = maps.height * maps.width * TAG_PLANES;
    const size_t rows = 1;
#else
    const int size = maps.quarter_height * maps.quarter_width;
    const size_t rows = VIEWS;
#endif
    const int share = (size + tiles - 1) / tiles;
    const int end = min(share * (tile + 1), size);
    bool bad = false;
    for (size_t row = image * rows; row < (image + 1) * rows; ++row) {
        const Real* tags = maps.tags + (row * NUM_JOINTS + joint) * size;
        for (int i = share * tile + threadIdx.x; i < end; i += THREADS) bad |= !is_finite(to_float(tags[i]));
    }
    return bad;
}

// Largest of the 2 NMS_RADIUS + 1 values around `center`, `stride` apart.
__device__ inline float largest_around(const float* center, int stride) {
    float largest = *center;
#pragma unroll
    for (int step = 1; step <= NMS_RADIUS; ++step) {
        largest = fmaxf(largest, fmaxf(center[-step * stride], center[step * stride]));
    }
    return largest;
}

// Whether none of the pixels of the square around `center` that come before it in reading order has its value.
__device__ inline bool is_first_of_equals(const float* center) {
    for (int down = -NMS_RADIUS; down <= 0; ++down) {
        for (int along = -NMS_RADIUS; along < (down < 0 ? NMS_RADIUS + 1 : 0); ++along) {
            if (center[down * SIDE + along] == *center) return false;
        }
    }
    return true;
}

// How many of the n keys are larger than `key`, or CAPACITY if that many are.
__device__ inline int rank_of(Key key, const Key* keys, int n) {
    int rank = 0;
    for (int i = 0; i < n && rank < CAPACITY; ++i) rank += keys[i] > key;
    return rank;
}

// keys (B, K, tiles, CAPACITY): the first min(found, CAPACITY) of a tile are written, best first.
// found (B, K, tiles): all peaks of the tile. state (B): NOT_FINITE is set where an average or a tag is not finite; the
// caller zeroes it before.
extern "C" __global__ void __launch_bounds__(THREADS)
    tile_peaks(const __grid_constant__ Maps maps, float threshold, Key* keys, int* found, int* state) {
    __shared__ union {
        struct {
            float values[SIDE * SIDE];
            float row_maxima[SIDE * TILE];
        } map;
        Key peaks[TILE * TILE];  // the map is no longer needed by then
    } shared;
    __shared__ float scratch[SCRATCH<SIDE>];
    __shared__ int count;

    const int tile = blockIdx.x, joint = blockIdx.y, image = blockIdx.z;
    const int across = tiles_along(maps.width);
    const int top = tile / across * TILE, left = tile % across * TILE;
    if (threadIdx.x == 0) count = 0;
    average_square<SIDE>(maps, image, joint, top - NMS_RADIUS, left - NMS_RADIUS, -infinity(), shared.map.values,
                         scratch);

    for (int i = threadIdx.x; i < SIDE * TILE; i += THREADS) {
        shared.map.row_maxima[i] = largest_around(&shared.map.values[i / TILE * SIDE + i % TILE + NMS_RADIUS], 1);
    }
    __syncthreads();

    Key own[PER_THREAD];
    bool bad = meets_bad_tag(maps, image, joint, tile, gridDim.x);
#pragma unroll
    for (int i = 0; i < PER_THREAD; ++i) {
        const int row = threadIdx.x / TILE + i * (THREADS / TILE), column = threadIdx.x % TILE;
        const int y = top + row, x = left + column;
        const float* center = &shared.map.values[(row + NMS_RADIUS) * SIDE + column + NMS_RADIUS];
        const float value = *center;
        const float largest = largest_around(&shared.map.row_maxima[(row + NMS_RADIUS) * TILE + column], TILE);
        const bool inside = y < maps.height && x < maps.width;
        bad |= inside && !is_finite(value);
        const bool is_peak = inside && value == largest && value > threshold;
        own[i] = is_peak && (!FIRST_OF_EQUALS || is_first_of_equals(center)) ? make_key(value, y * maps.width + x) : 0;
    }
    if (bad) atomicOr(&state[image], NOT_FINITE);
    __syncthreads();  // the keys take the map's place

#pragma unroll
    for (int i = 0; i < PER_THREAD; ++i) {
        if (own[i]) shared.peaks[atomicAdd(&count, 1)] = own[i];
    }
    __syncthreads();

    const size_t slot = (static_cast<size_t>(image) * NUM_JOINTS + joint) * gridDim.x + tile;
    for (int i = threadIdx.x; i < count; i += THREADS) {
        const int rank = rank_of(shared.peaks[i], shared.peaks, count);
        if (rank < CAPACITY) keys[slot * CAPACITY + rank] = shared.peaks[i];
    }
    if (threadIdx.x == 0) found[slot] = count;
}

// The joint's best keys, sorted, in best[0 .. result - 1]; the tiles are taken in as many rounds as their keys need,
// usually one. `filled` is one shared integer. All threads of the block call; ends with a barrier.
__device__ inline int merge_tiles(const Key* keys, const int* found, int tiles, int stored, Key* pool, Key* best,
                                  int* filled) {
    const int per_round = stored <= POOL ? tiles : (POOL - CAPACITY) / CAPACITY;
    int kept = 0;
    for (int first = 0; first < tiles; first += per_round) {
        if (threadIdx.x == 0) *filled = kept;
        if (threadIdx.x < kept) pool[threadIdx.x] = best[threadIdx.x];
        __syncthreads();
        for (int tile = first + threadIdx.x; tile < min(first + per_round, tiles); tile += THREADS) {
            const int n = min(found[tile], CAPACITY);
            if (n == 0) continue;
            const int place = atomicAdd(filled, n);
            for (int i = 0; i < n; ++i) pool[place + i] = keys[static_cast<size_t>(tile) * CAPACITY + i];
        }
        __syncthreads();
        const int n = *filled;
        for (int i = threadIdx.x; i < n; i += THREADS) {
            const int rank = rank_of(pool[i], pool, n);
            if (rank < CAPACITY) best[rank] = pool[i];
        }
        kept = min(n, CAPACITY);
        __syncthreads();
    }
    return kept;
}

// counts (B, K), scores (B, K, CAPACITY), pixels (B, K, CAPACITY) flat indices into the working map, positions (B, K,
// CAPACITY, 2) as (x, y) in map px, tags (B, K, CAPACITY, TAG_PLANES); unused entries become 0. overflow (B): how many
// peaks were left out, added up over the joints; the caller zeroes it before. Two blocks to a multiprocessor are
// plenty, and leave registers for the many reads in flight around a peak.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    select_peaks(const __grid_constant__ Maps maps, const Key* keys, const int* found, int tiles, const int* state,
                 int* counts, float* scores, int* pixels, float* positions, float* tags, int* overflow) {
    __shared__ Key pool[POOL];
    __shared__ Key best[CAPACITY];
    __shared__ int total, stored, filled;

    const int joint = blockIdx.x, image = blockIdx.y;
    const size_t row = static_cast<size_t>(image) * NUM_JOINTS + joint;
    found += row * tiles;
    keys += row * tiles * CAPACITY;
    if (threadIdx.x == 0) total = stored = 0;
    __syncthreads();
    if (state[image] == 0) {
        for (int tile = threadIdx.x; tile < tiles; tile += THREADS) {
            const int n = found[tile];
            if (n == 0) continue;
            atomicAdd(&total, n);
            atomicAdd(&stored, min(n, CAPACITY));
        }
    }
    __syncthreads();
    const int kept = stored ? merge_tiles(keys, found, tiles, stored, pool, best, &filled) : 0;

    // One warp per peak: its lanes share the reads around it.
    const int lane = threadIdx.x % WARP;
    for (int rank = threadIdx.x / WARP; rank < CAPACITY; rank += THREADS / WARP) {
        const size_t slot = row * CAPACITY + rank;
        float score = 0.0f, tag = 0.0f;
        float2 position = make_float2(0.0f, 0.0f);
        int pixel = 0;
        if (rank < kept) {
            score = key_value(best[rank]);
            pixel = key_index(best[rank]);
            const int y = pixel / maps.width, x = pixel % maps.width;
            position = position_of(maps, image, joint, y, x, ADJUST);
            if (lane < TAG_PLANES) tag = tag_at(maps, image, joint, lane, y, x);
        }
        if (lane < TAG_PLANES) tags[slot * TAG_PLANES + lane] = tag;
        if (lane == 0) {
            scores[slot] = score;
            pixels[slot] = pixel;
            positions[2 * slot] = position.x;
            positions[2 * slot + 1] = position.y;
        }
    }
    if (threadIdx.x == 0) {
        counts[row] = kept;
        if (total > kept) atomicAdd(&overflow[image], total - kept);
    }
}
