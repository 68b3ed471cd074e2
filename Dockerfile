# One image for the gateway and for workers: `docker run IMAGE server`, `docker run IMAGE worker
# app:app`. A worker's own image starts FROM this one and adds the modules of its handlers.

FROM python:3.13.7-slim-bookworm AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/penstock
# The dependencies first: their layer changes with a pin, not with every commit.
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN pip install --require-hashes -r requirements/build.txt \
    && /opt/penstock/bin/pip install --require-hashes -r requirements/runtime.txt
COPY . .
RUN pip wheel --no-deps --no-build-isolation --no-index --wheel-dir dist . \
    && /opt/penstock/bin/pip install --no-deps --no-index dist/*.whl \
    && /opt/penstock/bin/python -m compileall -q /opt/penstock/lib

FROM python:3.13.7-slim-bookworm
# A number, so that an orchestrator can see that it is not root.
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin penstock
COPY --from=build /opt/penstock /opt/penstock
ENV PATH=/opt/penstock/bin:$PATH \
    PENSTOCK_LISTEN=0.0.0.0:50051 \
    PENSTOCK_LOG_FORMAT=json \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
EXPOSE 50051
# Asks the gateway in this container, where PENSTOCK_LISTEN says; a worker's deployment turns it off,
# as compose.yaml does. Liveness: a gateway whose Redis is away recovers without a restart.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["penstock", "health", "--service", "liveness"]
ENTRYPOINT ["penstock"]
CMD ["server"]
