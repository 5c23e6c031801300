# heatstream on an NVIDIA GPU:  docker build -f docker/gpu.Dockerfile -t heatstream:gpu .
#                               docker run --rm --gpus all -v "$PWD:/data" -v heatstream:/home/heatstream/.cache \
#                                   heatstream:gpu run clip.mp4 --jsonl out.jsonl
# Engines are built at the first run and kept in that volume. TensorRT, CUDA's compiler and CuPy come with pip; the image has
# the driver's interface alone. Its PyAV contains FFmpeg with x264, which is GPL: see docs/outputs.md before you ship it.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.13-slim-bookworm
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
COPY --from=build /wheels /wheels
COPY constraints.txt /wheels/
# OpenCV's usual build needs the X libraries; its headless build does all but windows, from the same folder.
RUN pip install --no-cache-dir --constraint /wheels/constraints.txt "$(echo /wheels/*.whl)[gpu]" \
    && pip uninstall --yes opencv-python \
    && pip install --no-cache-dir --no-deps --constraint /wheels/constraints.txt opencv-python-headless \
    && rm -r /wheels \
    && useradd --create-home --uid 1000 --groups video heatstream \
    && install --directory --owner 1000 /home/heatstream/.cache
USER 1000
WORKDIR /data
ENTRYPOINT ["heatstream"]
CMD ["doctor"]
