# What a stranger needs: make demo. What a developer needs: make check before a commit, make test before a push.
.DELETE_ON_ERROR:
.PHONY: demo check lint test bench doc clean

CARGO ?= cargo
# Arguments for the program: make demo ARGS="--seed 7 --lang en", make bench ARGS=--json
ARGS ?=

# What `make test` adds to a plain build: everything that needs libraries or programs of the system.
PEERS := --workspace --features madoguchi-tests/pcsc,madoguchi-sim/hid

demo: ## build and run the main job on simulators; nothing to install, no root
	$(CARGO) build --quiet --release --locked -p madoguchi-sim
	target/release/madoguchi-sim demo $(ARGS)

check: ## the fast part of the tests: no root, nothing to install
	$(CARGO) fmt --all --check
	$(CARGO) clippy --quiet --locked --all-targets -- -D warnings
	$(CARGO) test --quiet --locked --lib --bins

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --quiet --locked $(PEERS) --all-targets -- -D warnings

test: ## everything; installs what it needs (Debian packages, may ask for sudo)
	tests/install-peers
	$(MAKE) lint
	$(CARGO) build --quiet --locked $(PEERS) --all-targets
	tests/arrows
	$(CARGO) test --locked $(PEERS)
	tests/example
	tests/fuzz

bench: ## figures: ratios against a peer measured in the same run, and counts; installs as `make test` does
	tests/install-peers
	$(CARGO) build --quiet --release --locked -p madoguchi-sim --features pcsc
	$(CARGO) run --quiet --release --locked -p madoguchi-tests --features pcsc --bin figures -- $(ARGS)
	tests/referee/run

doc: ## the crates' documentation
	$(CARGO) doc --locked --workspace --no-deps

clean:
	$(CARGO) clean
