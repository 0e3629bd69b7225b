# What to type. `make help` prints the targets; each installs what it needs by itself.

SWIFT      ?= swift
BUILD      ?= .build
STORE      ?= data
# Configuration that integration tests and the demo run against.
CONFIGURATION ?= release
APUS        = $(BUILD)/$(CONFIGURATION)/apus
PYTHON      = .venv/bin/python
SOURCES     = Package.swift Sources Tests

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help deps run demo test check lint integration bench accounts faults fuzz seeded-fuzz tsan asan sim sim-smoke docs docc check-docs format release clean

help: ## Print this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

deps: ## Install the Debian packages that the build needs, when they are missing
	@Scripts/install-packages.sh

release: deps ## Build in release mode
	$(SWIFT) build --scratch-path $(BUILD) -c release --product apus

run: release ## Build, then start name server and broker on this machine; store in ./data (STORE=…, ARGS=…)
	$(BUILD)/release/apus start --store $(STORE) $(ARGS)

demo: deps ## Send the lines of a text file, receive them with two groups, compare byte for byte
	$(SWIFT) build --scratch-path $(BUILD) -c $(CONFIGURATION) --product apus
	Scripts/demo.sh $(APUS)

test: check release integration accounts demo sim-smoke ## Everything that CI runs

check: deps lint ## Format lint, build with warnings as errors, unit and tidy tests, reference pages up to date
	$(SWIFT) build --scratch-path $(BUILD) --build-tests
	SWIFT="$(SWIFT)" Scripts/unit-tests.sh --scratch-path $(BUILD) --skip-build
	@$(MAKE) --no-print-directory check-docs

lint:
	$(SWIFT) format lint --strict --parallel -r $(SOURCES)

integration: deps .venv/ready ## Real clients of other people against a real process (ARGS='-k push' chooses tests)
	@Scripts/install-packages.sh zsh fish openssl
	$(SWIFT) build --scratch-path $(BUILD) -c $(CONFIGURATION) --product apus
	APUS=$(abspath $(APUS)) $(PYTHON) -m pytest Tests/Integration $(ARGS)

accounts: .venv/ready ## The accountant of make faults, and twenty kills of a real process in each flush mode
	APUS=$(abspath $(APUS)) CYCLES=20 $(PYTHON) -m pytest -q Tests/Faults/test_accountant.py Tests/Faults/test_kill.py

faults: release .venv/ready ## Real faults: kills, power cuts, damage, full and failing disks (LONG=1, CYCLES=…, SEED=…, ARGS='-k power')
	@Scripts/install-packages.sh xfsprogs e2fsprogs strace gcc libc6-dev openssl
	APUS=$(abspath $(BUILD)/release/apus) CYCLES=$(CYCLES) LONG=$(LONG) SEED=$(or $(SEED),1) $(PYTHON) -m pytest Tests/Faults $(ARGS)

bench: release ## Measure this build, row by row of docs/performance (ARGS='sends pulls' or 'produce -c 64 --in-flight 1')
	@Scripts/install-packages.sh openssl
	Scripts/bench.sh $(BUILD)/release/apus $(ARGS)

fuzz: deps ## libFuzzer and AddressSanitizer over every decoder and over recovery (T=… seconds each, TARGETS='frame json')
	SWIFT="$(SWIFT)" SECONDS_EACH=$(or $(T),15) Scripts/fuzz.sh $(TARGETS)

seeded-fuzz: deps ## Throw random and broken bytes at every decoder, without a fuzzer (N=… rounds each, SEED=…)
	APUS_FUZZ_ROUNDS=$(or $(N),1000000) APUS_FUZZ_SEED=$(SEED) $(SWIFT) test --scratch-path $(BUILD) --filter Fuzz

tsan: deps .venv/ready ## Integration tests and kills against a server under ThreadSanitizer (ARGS='-k push')
	$(SWIFT) build --scratch-path $(BUILD)-tsan --sanitize=thread --product apus
	APUS=$(abspath $(BUILD)-tsan/debug/apus) PYTHON=$(PYTHON) Scripts/tsan.sh $(ARGS)

asan: deps ## Unit tests under AddressSanitizer
	ASAN_OPTIONS=detect_leaks=0 SWIFT_BACKTRACE=enable=no $(SWIFT) test --scratch-path $(BUILD)-asan --sanitize=address

sim: deps ## Run clusters, stores, timers and transactions in simulated worlds (N=… seeds, SEED=… for one, ARGS=…)
	APUS_SIM_SEEDS=$(or $(N),1000) APUS_SIM_SEED=$(SEED) $(SWIFT) test --scratch-path $(BUILD) --filter "StoreWorkloadTests|TransactionModelTests|TimerTests"
	$(SWIFT) build --scratch-path $(BUILD) -c release --product apus-sim
	Scripts/simulate.sh $(BUILD)/release/apus-sim "$(or $(N),1000)" "$(SEED)" $(ARGS)

sim-smoke: deps ## 2,000 simulated clusters, and every call of a disk failing once: two minutes of processor time
	$(SWIFT) build --scratch-path $(BUILD) -c release --product apus-sim
	Scripts/simulate.sh $(BUILD)/release/apus-sim 2000
	$(BUILD)/release/apus-sim --sweep

docs: deps ## Write the generated pages under docs/reference
	$(SWIFT) build --scratch-path $(BUILD) --product apus
	@mkdir -p docs/reference
	$(BUILD)/debug/apus reference > docs/reference/cli.md
	$(BUILD)/debug/apus config reference > docs/reference/configuration.md

docc: deps ## Render the documentation of every room into .build/docc (ARGS=ApusClient for one); fails on broken links
	SWIFT="$(SWIFT)" Scripts/docc.sh $(BUILD) $(ARGS)

check-docs:
	@$(BUILD)/debug/apus reference | diff -u docs/reference/cli.md - \
	  && $(BUILD)/debug/apus config reference | diff -u docs/reference/configuration.md - \
	  || { echo "docs/reference is behind the source: run 'make docs'" >&2; exit 1; }

format: ## Format all Swift
	$(SWIFT) format -i --parallel -r $(SOURCES)

clean: ## Remove what was built; stores are kept
	rm -rf $(BUILD) .venv

.venv/ready: Tests/Integration/requirements.txt Tests/Integration/second-client.txt Tests/Integration/build-constraints.txt Scripts/install-python.sh
	@Scripts/install-python.sh
	@touch $@
