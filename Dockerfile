# What a team or a server runs: the program without tools to build it, for a user without rights. docs/docker.md says how.

ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
# what of the package's extras is in it: [cluster] for compose.cluster.yaml
ARG EXTRAS=
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# constraints.txt pins every package with its hashes; pip refuses a file that has another one. The pip in it comes first:
# older ones do not take hashes from constraints.
COPY constraints.txt ./
RUN awk '/^[^ ]/ {wanted = /^pip==/} wanted' constraints.txt > pip.txt \
 && pip install --require-hashes --requirement pip.txt
RUN pip install --constraint constraints.txt hatchling
COPY pyproject.toml README.md LICENSE ./
COPY omni_mcp ./omni_mcp
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && for wheel in /wheels/*.whl; do echo "omni-mcp${EXTRAS} @ file://$wheel --hash=sha256:$(sha256sum < "$wheel" | cut -c1-64)"; done > ours.txt
# pip compiles what it installs, which halves the time of a start; what has no hash in constraints.txt it refuses
RUN python -m venv --without-pip /opt/omni \
 && pip --python /opt/omni/bin/python install --compile --constraint constraints.txt --requirement ours.txt

FROM python:${PYTHON}-slim
# a first process that passes signals on and buries what is left: agents leave children behind
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 omni \
 && install --directory --owner=omni --group=omni --mode=700 /data
COPY --from=build /opt/omni /opt/omni
ENV PATH=/opt/omni/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OMNI_HOME=/data \
    OMNI_LAUNCH="docker run -i --rm -v omni:/data omni-mcp"
USER omni
WORKDIR /data
VOLUME /data
HEALTHCHECK --interval=60s --timeout=20s --start-period=20s CMD ["omni-mcp", "mode"]
ENTRYPOINT ["tini", "--", "omni-mcp"]
