# One image for every process of ROOMS; the command says which: feeds, worker, custody, bot, gateway.
FROM python:3.11.15-slim-trixie

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1

WORKDIR /srv/rooms

# First what changes seldom, so that a change of ours installs nothing again.
COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock

COPY pyproject.toml README.md ./
COPY rooms rooms
COPY storage storage
COPY chain chain
COPY streams streams
COPY bot bot
COPY sandbox sandbox
COPY cli cli
# In place, because SQL files and pages lie beside the modules that read them.
RUN pip install --no-deps --no-build-isolation -e . \
    && python -m compileall -q rooms storage chain streams bot sandbox cli \
    && useradd --system --user-group --uid 10001 --no-create-home --shell /usr/sbin/nologin rooms \
    && install --directory --owner rooms --group rooms --mode 0700 /var/lib/rooms

USER rooms
# The folder of custody's keystore; a volume that is mounted here takes its owner and its mode.
WORKDIR /var/lib/rooms

ENTRYPOINT ["rooms"]
CMD ["--help"]
