# Each target is one command, the same at home and in CI. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-clients torture lint deny fuzz set-up

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: ## three embedded shards and a router in one process: an INSERT, and where each row went
	@ci/need demo
	@cargo run --quiet --package router --bin weir -- demo

test: ## formatting, clippy and every test, on real ClickHouse servers; installs what they need
	@ci/need test
	@ci/set-up
	@ci/test

test-clients: ## the official clients of five languages, unmodified, through Weir; a part of `make test`
	@ci/need test
	@ci/set-up
	@ci/test-clients

ROUNDS ?= 500
torture: ## the router killed ROUNDS times (500) under load and faults, and every row counted; WEIR_TORTURE_SEED repeats a run
	@ci/need test
	@ci/set-up
	WEIR_TORTURE_ROUNDS=$(ROUNDS) cargo test --package tests --test torture -- --nocapture

lint: ## formatting and clippy alone
	@ci/need demo
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings

fuzz: ## every format for a minute each; `ci/fuzz --runs N [format ...]` for more
	@ci/need demo
	@ci/fuzz --seconds 60

deny: ## licences, sources and bans of the dependencies (cargo-deny; installed if missing)
	@ci/need demo
	@ci/deny

set-up: ## what `make test` installs, without testing
	@ci/need test
	@ci/set-up
