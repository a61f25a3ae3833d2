# linectl: the commands of a developer, and of a newcomer. `make` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

include scripts/versions.sh

# Every Go command runs in the environment that set-up has prepared.
go := . scripts/env.sh && go

version := $(or $(shell git describe --tags --match 'v*' --dirty 2>/dev/null),devel)
commit  := $(or $(shell git describe --always --exclude '*' --abbrev=12 --dirty 2>/dev/null),unknown)

.PHONY: help
help: ## this list
	@echo "linectl: a line controller. It looks at every part and tells the PLC pass or reject in time."
	@echo
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r name text; do \
		printf '  make %-10s %s\n' "$$name" "$$text"; done

.PHONY: demo
demo: build ## the whole line on this machine, simulated PLC included; PICTURES=DIR takes real pictures
	@bin/linectl demo $(if $(PICTURES),--pictures "$(PICTURES)")

.PHONY: setup
setup: ## fetch what building takes, where it is missing
	@scripts/setup.sh

.PHONY: runtime
runtime: ## the ONNX Runtime that knows DEVICE=openvino or cuda (TensorRT too), into bin/lib/DEVICE
	@scripts/setup.sh runtime "$(or $(DEVICE),cpu)"
	@if [ "$(or $(DEVICE),cpu)" != cpu ]; then rm -rf "bin/lib/$(DEVICE)"; mkdir -p bin/lib; \
		cp -al ".tools/onnxruntime-$(DEVICE)" "bin/lib/$(DEVICE)"; fi

.PHONY: build
build: setup ## bin/linectl, with its library and backbone beside it; the folder can be moved
	@echo "build: compiling$(if $(wildcard bin/linectl),, (the first time takes minutes: OpenCV and SQLite are C code))"
	@$(go) build -trimpath -ldflags "-X main.version=$(version) -X main.commit=$(commit)" -o bin/linectl ./cmd/linectl
	@mkdir -p bin/lib bin/backbones
	@cmp -s .tools/onnxruntime/$(ONNXRUNTIME_LIBRARY) bin/lib/$(ONNXRUNTIME_LIBRARY) || \
		install -m 644 .tools/onnxruntime/$(ONNXRUNTIME_LIBRARY) bin/lib/
	@install -m 644 .tools/onnxruntime/LICENSE bin/lib/LICENSE.onnxruntime
	@install -m 644 .tools/onnxruntime/ThirdPartyNotices.txt bin/lib/ThirdPartyNotices.onnxruntime.txt
	@for file in backbones/*; do \
		[ ! -f "$$file" ] || cmp -s "$$file" "bin/$$file" || install -m 644 "$$file" bin/backbones/; done
	@echo "build: bin/linectl $(version) ($(commit))"

# Vet with -race too, so that it shares its compiled packages with the tests: SQLite's and OpenCV's C
# code takes minutes each time.
.PHONY: test
test: ## format, vet and all tests under the race detector
	@scripts/setup.sh test
	@echo "test: gofmt"
	@. scripts/env.sh; unformatted=$$(gofmt -l $$(go list -f '{{.Dir}}' ./...)); [ -z "$$unformatted" ] || \
		{ echo "test: not formatted; run gofmt -w on:"; echo "$$unformatted"; exit 1; } >&2
	@echo "test: go vet, then go test -race (the first time takes minutes: OpenCV and SQLite are C code)"
	@$(go) vet -race ./...
	@$(go) test -race -timeout 60m ./... </dev/null

.PHONY: bench
bench: setup ## the benchmarks; on a quiet machine
	@$(go) test -run '^$$' -bench . -benchmem ./... </dev/null

.PHONY: crash
crash: setup ## the record through CRASHES (1000) kills and as many power losses under load: is anything lost?
	@LINECTL_TEST_CRASHES=$(or $(CRASHES),1000) $(go) test -count 1 -timeout 60m -run "Killed|PowerLoss" -v ./internal/store </dev/null

.PHONY: soak
soak: setup ## the PLC link for hours: every fault for longer, a million handshakes
	@scripts/setup.sh test
	@. scripts/env.sh && LINECTL_SOAK=1 go test -count=1 -timeout 24h -v -run 'TestFaultSuite|TestManyHandshakes' ./internal/opcua </dev/null

.PHONY: fuzz
fuzz: setup ## every fuzz test for FUZZTIME (10s)
	@scripts/fuzz.sh $(or $(FUZZTIME),10s)

.PHONY: install uninstall
install: ## as root, after `make build`: into PREFIX (/usr/local), with a systemd unit
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" scripts/install.sh install
uninstall: ## take away what install brought; config, record and recipes stay
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" scripts/install.sh uninstall

.PHONY: clean
clean: ## remove bin/; what set-up fetched stays in .tools/
	@rm -rf bin
