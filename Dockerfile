# syntax=docker/dockerfile:1

FROM rust:1-bookworm AS build
WORKDIR /build
# The dependencies first, with an empty crate: this layer is built again only when they change.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked \
    && rm -r src
COPY . .
# Copied files keep their times, which may lie before the empty crate's build.
RUN touch src/lib.rs src/main.rs && cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home ig-tracking
COPY --from=build /build/target/release/ig-tracking /usr/local/bin/ig-tracking
USER ig-tracking
# The image has no Postgres of its own: give it one with DATABASE_URL.
ENV IGT_BIND=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["ig-tracking", "healthcheck"]
ENTRYPOINT ["ig-tracking"]
CMD ["serve"]
