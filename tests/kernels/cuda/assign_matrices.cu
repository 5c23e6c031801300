// The assignment of assign.cuh for many matrices at once: one warp each.
#include "assign.cuh"

// costs (N, 32, 32) double; sizes (N, 2) int, rows and columns; columns (N, 32) int, the column of each row, or -1.
extern "C" __global__ void __launch_bounds__(WARP)
    assign_matrices(const double* costs, const int* sizes, int* columns) {
    __shared__ double cost[COST_SIZE];
    __shared__ int scratch[WARP];
    const int lane = threadIdx.x, matrix = blockIdx.x;
    const int rows = sizes[2 * matrix], width = sizes[2 * matrix + 1];
    for (int row = 0; row < rows; ++row) {
        if (lane < width) cost[row * COST_STRIDE + lane] = costs[(matrix * WARP + row) * WARP + lane];
    }
    __syncwarp();
    columns[matrix * WARP + lane] = assign(cost, rows, width, scratch).column_of_row;
}
