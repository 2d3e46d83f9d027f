# One image for a laptop and a cluster: the programs run in it where the repository is mounted.
#
#   docker build -t milozero .
#   docker run --rm -v $(pwd):/workspace milozero mpiexec -n 3 python main.py --config=tasks/train_mujoco_ppo.yaml
#
# Build arguments:
#   TORCH_INDEX   where torch comes from; empty takes PyPI's build, which brings CUDA and several gigabytes
#   APT_EXTRAS    further Debian packages, as in --build-arg APT_EXTRAS="vim libglfw3"
#   PIP_EXTRAS    further Python packages, as in --build-arg PIP_EXTRAS="flask"
#
# The target `opensim` is the same with OpenSim and its models: docker build --target opensim -t milozero-opensim .
#
# Without docker and without a registry: benchmarks/container.sh builds and tries it with podman.
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE} AS base

# git names runs after the commit they ran; gcc and g++ compile the gradient steps for the processor at hand; osmesa draws videos on the processor, the libraries of egl on a GPU.
ARG APT_EXTRAS=""
# hadolint ignore=DL3008,SC2086
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates g++ git libc6-dev libegl1 libgl1 libosmesa6 python3 python3-venv ${APT_EXTRAS} \
    && rm -rf /var/lib/apt/lists/* \
    # the mounted repository belongs to whoever cloned it, not to the user in here
    && git config --system --add safe.directory '*'

ENV VIRTUAL_ENV=/opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements.txt /tmp/requirements.txt
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG PIP_EXTRAS=""
# hadolint ignore=DL3042,SC2086
RUN python3 -m venv "$VIRTUAL_ENV" \
    && pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r /tmp/requirements.txt ${PIP_EXTRAS} \
    && rm /tmp/requirements.txt

# One thread a worker. A name and a home for any --user, also one that has no line in /etc/passwd.
ENV OMP_NUM_THREADS=1 \
    MKL_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    PYTHONUNBUFFERED=1 \
    USER=milozero \
    HOME=/tmp/home
RUN mkdir -m 1777 /tmp/home

# With OpenSim and the models of other authors (CC BY 3.0), which lie in the image, for nodes without a network.
FROM base AS opensim
COPY requirements-opensim.txt /tmp/requirements-opensim.txt
COPY environments/ /tmp/milozero/environments/
COPY helpers/ /tmp/milozero/helpers/
ENV MILOZERO_OPENSIM_MODELS=/opt/opensim_models
# hadolint ignore=DL3042
RUN pip install --no-cache-dir -r /tmp/requirements-opensim.txt \
    && cd /tmp/milozero && python -m environments.opensim.models \
    && python -c 'from environments.opensim.simulator import import_opensim; import_opensim()' \
    && rm -r /tmp/milozero /tmp/requirements-opensim.txt
COPY . /workspace
WORKDIR /workspace
RUN mkdir -p data/runs && chmod -R a+rwX data
CMD ["python", "main.py", "--help"]

FROM base
# The repository as it was at the build, for use without a mount; -v $(pwd):/workspace lays yours over it.
COPY . /workspace
WORKDIR /workspace
RUN mkdir -p data/runs && chmod -R a+rwX data
CMD ["python", "main.py", "--help"]
