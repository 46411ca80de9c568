# tickcast in a container.
#
#   docker build -t tickcast .                       from source
#   docker build -t tickcast --target prebuilt .     from a binary at ./tickcast (built on Debian 12 or older)
#
# `prebuilt` stands before the source stage, so that a builder which walks the stages in order never needs Rust for it.
ARG RUST_VERSION=1.95.0

FROM debian:bookworm-slim AS base
RUN test -e /etc/ssl/certs/ca-certificates.crt \
 || (apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*)
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /var/lib/tickcast tickcast \
 && mkdir -p /var/lib/tickcast /etc/tickcast \
 && chown tickcast:tickcast /var/lib/tickcast
USER tickcast
WORKDIR /var/lib/tickcast
EXPOSE 8088
# Alive, not ready: a tickcast that waits for its broker is healthy. bash is all the client it needs.
HEALTHCHECK --interval=5s --timeout=4s --start-period=30s --retries=6 CMD ["bash", "-c", \
  "exec 3<>/dev/tcp/127.0.0.1/8088 && printf 'GET /health HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && read -r _ code _ <&3 && [ \"$code\" = 200 ]"]
ENTRYPOINT ["tickcast"]
CMD ["--help"]

FROM base AS prebuilt
COPY tickcast /usr/local/bin/tickcast

FROM rust:${RUST_VERSION}-bookworm AS source
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin tickcast

FROM base
COPY --from=source /src/target/release/tickcast /usr/local/bin/tickcast
