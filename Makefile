# Each target says what it does; `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run build test setup deny fuzz wall soak pgo compare figures bench setup-build setup-fuzz setup-wall setup-compare

# What `make run`, `make fuzz`, `make wall`, `make soak` and `make compare` hand on, for example `make run ARGS='--http-port 18080'`.
ARGS ?=
step = @printf '\n==> %s\n'

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

run: build ## build the release binary and start the demo
	$(step) "starting the demo (Ctrl-C ends it)"
	@cargo run --quiet --release --locked -- demo $(ARGS)

build: setup-build ## build the release binary, target/release/portcullis
	$(step) "building the release binary (the first time takes some minutes)"
	@cargo build --release --locked

test: setup ## formatting, lints, every test, the documentation
	$(step) "formatting"
	@cargo fmt --check
	$(step) "lints"
	@cargo clippy --all-targets --locked -- -D warnings
	$(step) "tests"
	@if cargo nextest --version >/dev/null 2>&1; then cargo nextest run --locked; else cargo test --locked; fi
	$(step) "documentation"
	@RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --locked
	$(step) "all good"

setup: ## install what the build and the tests need and this machine lacks
	@packaging/setup.sh test

deny: ## licences, duplicates and sources of the dependencies (needs cargo-deny)
	@cargo deny --version >/dev/null 2>&1 || { echo 'cargo-deny is missing: cargo install --locked cargo-deny' >&2; exit 1; }
	@cargo deny --locked check bans licenses sources

fuzz: setup-fuzz ## every fuzz target for a minute (the first build takes some minutes); longer with ARGS=-max_total_time=600
	@for target in $$(cargo fuzz list); do \
		printf '\n==> fuzzing %s\n' "$$target"; \
		mkdir -p "fuzz/target/corpus/$$target"; \
		cargo fuzz run --sanitizer none "$$target" "fuzz/target/corpus/$$target" "fuzz/corpus/$$target" -- \
			-max_total_time=60 -max_len=4096 -timeout=60 -print_final_stats=1 $(ARGS) || exit 1; \
	done

wall: build setup-wall ## attacks, with HAProxy and nginx beside it; 15 minutes, or ARGS='--seconds 2'
	$(step) "attacking"
	@tests/wall/wall.py $(ARGS)

soak: build setup ## valid and hostile traffic for 10 minutes, each request accounted for; ARGS='--minutes 60'
	$(step) "soaking"
	@tests/wall/soak.py $(ARGS)

pgo: setup-compare ## build target/pgo/portcullis, with what the compiler learns from a minute of load
	$(step) "building the load generator"
	@cargo build --release --locked --example load
	@packaging/pgo.sh

compare: setup-compare ## speed beside HAProxy, nginx, Envoy and Caddy; about an hour, or ARGS=--quick
	$(step) "building the release binary and the load generator (the first time takes some minutes)"
	@cargo build --release --locked
	@cargo build --release --locked --example load
	$(step) "comparing"
	@benches/compare.sh $(ARGS)

figures: ## the figures of the last full comparison into README.md and benches/
	@benches/publish.py

bench: ## the steps of an exchange, each alone
	@cargo bench --locked

setup-build:
	@packaging/setup.sh

# The fuzzers are built with the product's own versions of everything.
setup-fuzz:
	@packaging/setup.sh fuzz
	@cp Cargo.lock fuzz/Cargo.lock

setup-wall:
	@packaging/setup.sh wall

setup-compare:
	@packaging/setup.sh compare
