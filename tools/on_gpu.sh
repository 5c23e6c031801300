#!/usr/bin/env bash
# Everything that needs a GPU, in one call of at most nine minutes, on a bare machine:
#
#     tools/on_gpu.sh --pack            here first: what such a machine may lack, into .gpu/ (carry that folder along)
#     tools/on_gpu.sh FOLDER            there: FOLDER/on_gpu.tar.gz comes out
#     tools/on_gpu.sh --dry FOLDER      anywhere: every step on a CPU or a stand-in; its figures mean nothing. DRY_CLIP
#                                       names a video
#     python -m benchmarks.gpu_page FOLDER/on_gpu.tar.gz > docs/benchmarks/gpu.md
#
# Wanted: Python 3.12 with PyTorch for CUDA, CuPy, onnx, ONNX Runtime, SciPy, OpenCV, psutil, nvidia-ml-py and pytest;
# nvcc and compute-sanitizer of the CUDA toolkit. No registry is asked. A step has a time limit and takes nobody down
# with it. PYTHON chooses the interpreter.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
carried=$PWD/.gpu

pack() {
    mkdir -p "$carried/wheels"
    # Without their dependencies: what is missing there is small, and a machine with PyTorch has NumPy.
    for package in platformdirs filelock rich markdown-it-py mdurl pygments typer click shellingham typing-extensions \
        annotated-doc annotated-types pydantic pydantic-core typing-inspection hypothesis sortedcontainers; do
        "$python" -m pip download --quiet --no-deps --only-binary :all: --python-version 3.12 \
            --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
            --dest "$carried/wheels" "$package" || echo "not packed: $package"
    done
    "$python" - "$carried/clip.avi" <<'PROGRAM'
import sys
import cv2
from heatstream.demo.sample_clip import CLIP_FPS, CLIP_SIZE, astronaut_clip
writer = cv2.VideoWriter(sys.argv[1], cv2.VideoWriter_fourcc(*"MJPG"), CLIP_FPS, CLIP_SIZE[::-1])
for frame in astronaut_clip():
    writer.write(frame)
writer.release()
PROGRAM
    du -sh "$carried"
}

dry=0
case ${1:-} in
--pack) pack; exit ;;
--dry) dry=1; shift ;;
esac
if [[ $# -ne 1 || $1 == -* ]]; then
    sed -n '2,13s/^# \{0,1\}//p' "$0"
    exit 2
fi
mkdir -p "$1/run"
out=$(cd "$1/run" && pwd)
: >"$out/summary.txt"
export PYTHONUNBUFFERED=1 PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} XDG_CACHE_HOME=${XDG_CACHE_HOME:-$out/../cache}
failed=0

step() { # name, estimate in s on a GPU, limit in s, command...: a log each, and a line in the summary
    local name=$1 estimate=$2 limit=$3 start=$SECONDS code
    shift 3
    ((dry)) && limit=$((4 * limit)) # a CPU that does other things too
    timeout --kill-after=5 "$limit" "$@" >"$out/$name.log" 2>&1
    code=$?
    ((code == 0)) || failed=1
    printf '%-10s exit code %3d, %3d s (estimated %d, at most %d)\n' "$name" "$code" "$((SECONDS - start))" "$estimate" \
        "$limit" | tee -a "$out/summary.txt"
}

# What was carried comes last in the path: what the machine has itself is what is measured.
shopt -s nullglob
for wheel in "$carried"/wheels/*.whl; do
    "$python" -m zipfile -e "$wheel" "$out/../site-packages"
done
cat >"$out/../sitecustomize.py" <<'PROGRAM'
import os
import sys
sys.path.append(os.path.join(os.path.dirname(os.path.realpath(__file__)), "site-packages"))
PROGRAM
export PYTHONPATH=$PYTHONPATH:$(cd "$out/.." && pwd)

run=("$python" -m)
pytest=("$python" -m pytest -W default -p no:cacheprovider -q -m gpu)
short='network_maps and float16 or letterbox or landmarks'
source=$carried/clip.avi
sanitizer=("$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)" --error-exitcode 9)
bench=(--device cuda --engine torch --seconds 8)
drift=(--device cuda --engine torch --frames 60)
smoke=(--device cuda --engine torch)
decode=("$python" -m benchmarks.decode_gpu --people 0 5 30 --sides 256 --batches 1 --runs 300 --seconds 0.3)
if ((dry)); then
    pytest+=(--collect-only)
    sanitizer=(env)
    bench=(--device cpu --engine onnx --seconds 0.3)
    drift=(--device cpu --engine onnx --frames 2)
    smoke=(--device cpu --engine onnx)
    decode=("$python" -m tests.fakes.decode_gpu_dry)
    source=${DRY_CLIP:-}
fi
video=${source:+--source $source}

#    name      estimate limit
step machine    5  15 bash -c 'nvidia-smi; nvidia-smi -q -d CLOCK,POWER; git rev-parse HEAD; exec "$@"' _ \
    "$python" -c 'import importlib.metadata as m; [print(d.name, d.version) for d in m.distributions()]'
step smoke     40  75 "${run[@]}" benchmarks.gpu_smoke "${smoke[@]}" --json "$out/smoke.json" $video
step kernels   60 100 "${pytest[@]}" tests/gpu/test_kernels.py
step runtime   40  75 "${pytest[@]}" tests/gpu/test_runtime.py
step bench     45  70 "${run[@]}" heatstream bench swahr-tiny "${bench[@]}" --json "$out/bench.json" $video
step decode    20  45 "${decode[@]}" --out "$out"
step drift     20  40 "${run[@]}" benchmarks.video_drift "$source" "${drift[@]}" --json "$out/drift.json"
# Every array is an allocation of its own there; more than this would take hours.
export HEATSTREAM_TEST_ALLOCATIONS=1
step memcheck  30  55 "${sanitizer[@]}" ${sanitizer[1]:+--tool memcheck} "${pytest[@]}" tests/gpu/test_kernels.py -k "$short"
step racecheck 30  55 "${sanitizer[@]}" ${sanitizer[1]:+--tool racecheck} "${pytest[@]}" tests/gpu/test_kernels.py -k "$short"

tar -czf "$out/../on_gpu.tar.gz" -C "$out" .
rm -rf "$out/../site-packages" "$out/../cache" "$out/../sitecustomize.py" "$out"
exit "$failed"
