# syntax=docker/dockerfile:1

# The desk's page. Without DESKBELL_UI_DIST the build below would find no npm, and build a daemon without its desk.
FROM node:22-bookworm-slim AS desk
WORKDIR /build/ui
COPY ui/package.json ui/package-lock.json ./
RUN npm ci --no-audit --no-fund --ignore-scripts
COPY ui ./
RUN npm run build

FROM rust:1.95-bookworm AS builder
WORKDIR /build
COPY . .
COPY --from=desk /build/ui/dist /build/desk
ENV DESKBELL_UI_DIST=/build/desk
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --profile dist --bin deskbell \
    && install -D -m 0755 target/dist/deskbell /out/deskbell

FROM debian:bookworm-slim
# Certificates, because the daemon asks platforms over HTTPS; nothing else is needed.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 65532 -g 65532 -m 0700 /data \
    && install -d -m 0755 /etc/deskbell
COPY --from=builder /out/deskbell /usr/local/bin/deskbell

# A configuration that is mounted as /etc/deskbell/deskbell.toml is read, since that is where the daemon starts. These
# two stand over it, so that the published port and the volume are always the right ones.
WORKDIR /etc/deskbell
ENV DESKBELL__LISTEN=0.0.0.0:8080 \
    DESKBELL__DATA_DIR=/data
USER 65532:65532
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["deskbell", "health", "--data-dir", "/data"]
ENTRYPOINT ["deskbell"]
CMD ["serve"]
