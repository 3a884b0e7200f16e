# One image for web, worker and the one-shot commands. Build: docker compose build
# For a reproducible build, give PYTHON_IMAGE with its digest (python:...@sha256:...).
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -m venv /opt/venv
COPY requirements.txt constraints.txt /tmp/
RUN /opt/venv/bin/python -m pip install -r /tmp/requirements.txt -c /tmp/constraints.txt

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="bbjrag" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.description="A searchable vector index of everything written about BBj"
# Sources in Git. What is fetched of them goes to a volume, which takes over this folder's owner.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git openssh-client \
    && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 bbjrag \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin bbjrag \
    && install --directory --owner=10001 --group=10001 --mode=0700 /state /state/repositories
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY manage.py gunicorn.conf.py ./
COPY templates ./templates
COPY bbjrag ./bbjrag
COPY sources ./sources
COPY ingestion ./ingestion
# Compiled here, because the file system of its containers is read-only.
RUN /opt/venv/bin/python -m compileall -q bbjrag sources ingestion
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DATA_DIR=/data \
    STATE_DIR=/state
USER 10001:10001
EXPOSE 8000
CMD ["gunicorn", "bbjrag.wsgi", "--bind", "0.0.0.0:8000"]
