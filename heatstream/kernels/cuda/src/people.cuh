// People: how group, refine and pack keep the people of an image, P = MOST_PEOPLE rows each, in the order of starting:
//
//   members (P, K) unsigned char   index of the person's detection of each joint, NOBODY where it has none
//   best (P, K) Key                where refine found a joint that the person lacks
#ifndef HEATSTREAM_PEOPLE_CUH
#define HEATSTREAM_PEOPLE_CUH

#include "common.cuh"

static_assert(CAPACITY >= 1 && CAPACITY <= WARP, "one lane per detection and per person");

constexpr int NOBODY = 255;

// Every detection belongs to one person, so that there is always room.
constexpr int MOST_PEOPLE = NUM_JOINTS * CAPACITY;

#endif
