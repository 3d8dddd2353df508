# Every task of a developer and of CI. `make` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# rustup puts Rust here; a shell that was open before has not heard of it.
export PATH := $(PATH):$(HOME)/.cargo/bin

# The language model that runs beside us.
LLM ?= large
MODELS_large := llama-server llm
MODELS_small := llama-server llm-small
MODELS_none :=
ifeq ($(filter $(LLM),large small none),)
  $(error LLM=$(LLM): it is large, small or none)
endif

# How many seeds `make sweep` runs; what `make fuzz` feeds, and how long.
N ?= 200
TARGET ?= sip_message
SECS ?= 60

BENCHES := signalling media conversation

# Tools of ours that Debian does not have, built once.
CARGO_DENY := target/tools/cargo-deny-0.20.2/bin/cargo-deny
CARGO_FUZZ := target/tools/cargo-fuzz-0.13.2/bin/cargo-fuzz

.PHONY: help
help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-19s %s\n", $$1, $$2 }' Makefile

# ── serve ──

.PHONY: run demo program
run: program ## install what is missing, build, serve (LLM=small or LLM=none for a smaller machine)
	exec target/release/tandem run --config $(CONFIG)

demo: program ## a caller, the agent and a human on this machine: the whole story in a minute
	exec target/release/tandem demo --config $(CONFIG)

CONFIG_large := tandem.toml
CONFIG_small := tandem.small.toml
CONFIG_none := tandem.none.toml
CONFIG := $(CONFIG_$(LLM))

program: rust $(CONFIG)
	@tools/setup run
	@tools/models whisper-tiny silero-vad $(MODELS_$(LLM))
	cargo build --release --locked

tandem.small.toml: tandem.toml
	sed 's/qwen2.5-coder-1.5b/qwen2.5-coder-0.5b/' $< >$@
	@grep --quiet 'qwen2.5-coder-0.5b' $@

tandem.none.toml: tandem.toml
	sed -e 's/^engine\( *\)= "openai"/engine\1= "none"/' -e 's/^spawn\( *\)= .*/spawn\1= []/' $< >$@
	@grep --quiet '^engine *= "none"' $@

# ── test ──

.PHONY: test test-setup test-models fast check sweep fuzz
test: test-setup check ## everything that CI runs, with its set-up
	cargo test --locked

test-setup: rust
	@tools/setup run test
	@tools/models whisper-tiny silero-vad llama-server llm-small
	@tools/recordings

test-models: test-setup ## tests with real recognition, a real voice and a real language model
	cargo test --locked --lib speech::
	cargo test --locked --test models

fast: rust ## tests that need no C compiler and no models
	cargo test --locked --no-default-features

check: rust $(CARGO_DENY) ## format, lints, architecture, licences
	cargo fmt --check
	cargo clippy --locked --all-targets -- --deny warnings
	cargo clippy --locked --all-targets --no-default-features -- --deny warnings
	cargo test --locked --test architecture
	$(CARGO_DENY) check --hide-inclusion-graph bans licenses sources

sweep: rust ## stories under N=200 seeds of loss, delay and reordering
	TANDEM_SWEEP_SEEDS=$(N) cargo test --locked --test sim sweep -- --nocapture

fuzz: rust $(CARGO_FUZZ) ## feed TARGET=sip_message for SECS=60
	cargo +nightly fuzz run $(TARGET) -- -max_total_time=$(SECS)

# ── measure ──

.PHONY: bench $(BENCHES:%=bench-%)
bench: $(BENCHES:%=bench-%) ## all benchmarks; results in target/bench/NAME.json
bench-signalling: ## time, memory and pace of calls on the built program, under SIPp
bench-conversation: ## how long callers wait for the agent, and how well it listens
bench-media: ## G.711 streams of one core, and how evenly they are paced

$(BENCHES:%=bench-%): bench-%: test-setup
	cargo bench --locked --bench $*

# ── tools ──

.PHONY: rust
rust:
	@command -v cargo >/dev/null || { echo "error: Rust is missing: install it from https://rustup.rs" >&2; exit 1; }

# Built without optimisation: that is a quarter of the work, and they are quick enough.
target/tools/%: | rust
	@echo "building $(notdir $@), once" >&2
	CARGO_PROFILE_DEV_DEBUG=false cargo install --quiet --debug --locked --no-track \
	  --root target/tools/$(firstword $(subst /, ,$*)) --target-dir target/tools/build \
	  $(notdir $@)@$(lastword $(subst -, ,$(firstword $(subst /, ,$*))))
	rm -r target/tools/build
