// Refine: for every person and every joint the person lacks, the pixel that fits best. The Python reference is refine.py.
//
// A pixel with heatmap value h and tag t is worth, to a person of mean tag m,
//
//     h - round(|t - m|)          (the official parser of HigherHRNet, Cheng et al. 2020; halves round to even)
//
// and the largest worth wins, the first in row-major order among equals. The official parser sweeps the maps once for
// every person and joint. Here every tile of a joint's maps is brought to shared memory once and compared with all the
// people that lack the joint: one warp takes one person at a time, its lanes hold a column of the tile each, and the
// warp's best goes to the person's slot by one atomicMax. Keys (make_key) order by worth and then by place and are
// unique, so that the order of warps and tiles changes nothing. pack reads the keys and turns them into keypoints.
//
// Input    maps (maps.cuh), finite; people (B) int, members (B, P, K) unsigned char and mean_tags (B, P, T) float of
//          group, P = K * CAPACITY (people.cuh)
// Output   best (B, P, K) Key, 0 before; raised where a person lacks the joint
// Launch   grid (ceil(width / 32) * ceil(height / 32), K, B), block 256. Tiles of joints that nobody lacks end at once.
//
// Each working pixel of such joints is made once, whatever the number of people; a person and a pixel then cost 1 + T
// reads of shared memory and five operations on floats, each rounded as the reference rounds it.
#include "people.cuh"
#include "tiles.cuh"

constexpr int THREADS = 256;
constexpr int NUM_WARPS = THREADS / WARP;

static_assert(TILE == WARP, "one lane per column of a tile");

// One tile of a joint's maps.
struct Tile {
    float values[TILE * TILE];
    float tags[TAG_PLANES][TILE * TILE];
};

// Which of the people `first` to `first + 31` lack the joint: one bit each.
__device__ inline unsigned who_lacks(const unsigned char* members, int joint, int first, int people) {
    const int person = first + threadIdx.x % WARP;
    return __ballot_sync(ALL_LANES, person < people && members[person * NUM_JOINTS + joint] == NOBODY);
}

__device__ inline bool anybody_lacks(const unsigned char* members, int joint, int people) {
    for (int first = 0; first < people; first += WARP)
        if (who_lacks(members, joint, first, people)) return true;
    return false;
}

// Reference: the distance in _best.
__device__ inline float rounded_distance(const Tile& tile, int i, const float* wanted) {
    const float first = tile.tags[0][i] - wanted[0];
    if (TAG_PLANES == 1) return rintf(fabsf(first));
    float sum = first * first;
    for (int t = 1; t < TAG_PLANES; ++t) {
        const float difference = tile.tags[t][i] - wanted[t];
        sum += difference * difference;
    }
    return rintf(sqrtf(sum));
}

// Reference: _best, for one person within the tile at (top, left). All lanes of a warp call, and all get the key.
__device__ inline Key best_in(const Maps& maps, const Tile& tile, int top, int left, const float* wanted) {
    const int column = threadIdx.x % WARP;
    const int height = min(TILE, maps.height - top);
    Key best = 0;
    if (left + column < maps.width) {
        float worth = tile.values[column] - rounded_distance(tile, column, wanted);
        int row = 0;
#pragma unroll 4
        for (int y = 1; y < height; ++y) {
            const int i = y * TILE + column;
            const float other = tile.values[i] - rounded_distance(tile, i, wanted);
            if (other > worth) {
                worth = other;
                row = y;
            }
        }
        best = make_key(worth, (top + row) * maps.width + left + column);
    }
    return warp_max(best);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    refine(const __grid_constant__ Maps maps, const int* people, const unsigned char* members, const float* mean_tags,
           Key* best) {
    __shared__ Tile tile;
    __shared__ float scratch[SCRATCH<TILE>];
    const int joint = blockIdx.y, image = blockIdx.z;
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int count = people[image];
    const size_t row = static_cast<size_t>(image) * MOST_PEOPLE;
    members += row * NUM_JOINTS;
    mean_tags += row * TAG_PLANES;
    best += row * NUM_JOINTS;
    if (!anybody_lacks(members, joint, count)) return;  // the same in every warp

    const int across = tiles_along(maps.width);
    const int top = blockIdx.x / across * TILE, left = blockIdx.x % across * TILE;
    average_square<TILE>(maps, image, joint, top, left, 0.0f, tile.values, scratch);
    for (int t = 0; t < TAG_PLANES; ++t)
        tag_square<TILE>(maps, image, joint, t, top, left, 0.0f, tile.tags[t], scratch);

    int turn = 0;  // people go round the warps
    for (int first = 0; first < count; first += WARP) {
        float mean_tag[TAG_PLANES];
        for (int t = 0; t < TAG_PLANES; ++t)
            mean_tag[t] = first + lane < count ? mean_tags[(first + lane) * TAG_PLANES + t] : 0.0f;
        for (unsigned lacking = who_lacks(members, joint, first, count); lacking; lacking &= lacking - 1) {
            if (turn++ % NUM_WARPS != warp) continue;
            const int person = __ffs(lacking) - 1;
            float wanted[TAG_PLANES];
            for (int t = 0; t < TAG_PLANES; ++t) wanted[t] = __shfl_sync(ALL_LANES, mean_tag[t], person);
            const Key key = best_in(maps, tile, top, left, wanted);
            if (lane == 0) atomicMax(&best[(first + person) * NUM_JOINTS + joint], key);
        }
    }
}
