# The worker's image: docker build --tag connects-worker .
# Any Debian with Python 3.11 or newer does as its base: --build-arg PYTHON_IMAGE=...
# With the extra `tracing` in it: --build-arg CONSTRAINTS=constraints-tracing.txt
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
ARG CONSTRAINTS=constraints-runtime.txt
WORKDIR /build
# Both environments are without pip: what is installed into them comes from outside, by hash, and nothing is compiled.
COPY constraints-runtime.txt constraints-tracing.txt constraints-build.txt ./
RUN python -m venv --without-pip /opt/connects \
 && python -m pip --python /opt/connects/bin/python install \
      --no-deps --require-hashes --only-binary :all: --requirement "$CONSTRAINTS"
RUN python -m venv --without-pip /opt/backend \
 && python -m pip --python /opt/backend/bin/python install \
      --no-deps --require-hashes --only-binary :all: --requirement constraints-build.txt
COPY pyproject.toml README.md ./
COPY policies policies
COPY schemas schemas
COPY worker worker
RUN /opt/backend/bin/python -m hatchling build --target wheel --directory dist \
 && python -m pip --python /opt/connects/bin/python install --no-deps --no-index dist/*.whl

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="connects-worker" \
      org.opencontainers.image.description="An event-driven credit ledger: marketplace events in, wallet-updated out"
RUN useradd --uid 10001 --no-log-init --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin connects
COPY --from=build /opt/connects /opt/connects
# Nothing is written at run time, so the root file system may be read-only. In a container only what is published can
# be reached, so HTTP listens on all of its addresses.
ENV PATH=/opt/connects/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CONNECTS_HTTP_HOST=0.0.0.0 \
    CONNECTS_HTTP_PORT=8000
WORKDIR /app
# By number, so that an orchestrator can tell that it is not root.
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import os; from http.client import HTTPConnection as C; c = C('127.0.0.1', int(os.environ['CONNECTS_HTTP_PORT']), timeout=4); c.request('GET', '/health/live'); exit(c.getresponse().status != 200)"]
ENTRYPOINT ["connects"]
CMD ["run"]
