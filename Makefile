# What a person types. Every target is also what CI runs.

.DEFAULT_GOAL := help
.PHONY: help setup setup-service demo run test faults fuzz lint prepare bench

# Where scripts/setup may have found cargo, and where it puts cargo's own tools.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## check this machine, and install what is missing (says what, and where)
	@scripts/setup

setup-service:
	@scripts/setup service

demo: setup-service ## try it: a service, a database and an invented Instagram, all on this machine (DEMO=--once ends it)
	@test -x target/debug/ig-tracking || echo 'The first build takes a few minutes; after that the demo starts at once.'
	@cargo run --locked --quiet -- demo $(DEMO)

run: setup-service ## the service itself (settings: --help, or README.md)
	cargo run --locked --release --quiet -- serve

test: setup ## all tests
	cargo test --locked

faults: setup ## every fault at length, then a table of what each cost (see docs/RELIABILITY.md)
	@scripts/faults

FUZZ_SECONDS ?= 60
# A folder of answers in JSON, mangled beside the samples that the parsers bring. Without one the samples do.
IGT_SHAPES ?= $(wildcard ../shared/instagram/shapes)
fuzz: setup ## mangled answers for every parser, for so long (FUZZ_SECONDS=600; FUZZ_SEED repeats a search)
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(if $(IGT_SHAPES),IGT_SHAPES=$(IGT_SHAPES)) cargo test --locked --lib -- --ignored --nocapture fuzz_every_parser

lint: ## everything CI checks beside the tests
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
	@scripts/cargo-tool cargo-machete
	cargo machete
	scripts/queries --check

prepare: setup-service ## renew the prepared queries (sqlx-data/) after a change to a query or a migration
	scripts/queries

bench: setup ## measure it beside its peers (BENCH='status start' for some; see bench/README.md)
	@bench/run $(BENCH)
