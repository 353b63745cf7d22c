# Everything a developer or CI does. `make` alone says what there is.
.DEFAULT_GOAL := help
.PHONY: help build check test soak demo demo-files demo-live bench test-nodes kubernetes-schema kubernetes-golden clean

NPM := npm --no-fund --no-audit --loglevel=error

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

node_modules/.installed: package.json package-lock.json
	$(NPM) ci
	@touch $@

dist/.built: node_modules/.installed tsconfig.json .bundle.mjs $(shell find src -type f)
	rm -rf dist
	npm run --silent build
	@touch $@

build: dist/.built ## compile src/ to dist/

format: node_modules/.installed ## write the sources as the formatter wants them
	npx biome check --write .

check: dist/.built ## formatter, linter (with the rooms' order), types, unused code, package shape
	npm run --silent lint
	npm run --silent types
	npm run --silent unused
	npm run --silent package

.cache/etcd/.fetched: test/support/fetch-etcd.sh
	test/support/fetch-etcd.sh
	@touch $@

.cache/tools/.fetched: test/support/fetch-tools.sh
	test/support/fetch-tools.sh
	@touch $@

test: dist/.built .cache/etcd/.fetched .cache/tools/.fetched ## all tests, against every etcd found (about 10 minutes on 2 cores)
	npm run --silent test

soak: dist/.built .cache/etcd/.fetched .cache/tools/.fetched ## the long rounds of the same tests, hours in all; PART (faults, fuzz, kills, properties, combinations) chooses, "make soak PART=list" tells what they are
	test/support/soak.sh $(PART)

bench: dist/.built .cache/etcd/.fetched ## measure beside etcdctl and curl, in pairs; BENCH (live-v3, live-v2, files, kubernetes), BENCH_RUNS, BENCH_KEYS, BENCH_NODES choose
	npm run --silent bench

test-nodes: dist/.built .cache/etcd/.fetched .cache/tools/.fetched ## all tests on Node 20.19, 22 and 24; NODES chooses
	test/support/test-nodes.sh

demo: demo-files ## both of the next two, one after the other
	@$(MAKE) --no-print-directory demo-live

demo-files: dist/.built ## with no server at all: a v2 data dir becomes a snapshot file and an archive, both are proven
	@test/support/demo-files.sh

demo-live: dist/.built .cache/etcd/.fetched ## the main jobs on real etcds: a v3 cluster into another, a v2 tree into v3, compared
	@test/support/demo.sh

kubernetes-schema: node_modules/.installed ## make src/kubernetes/schema/table.ts again (see test/support/fetch-kubernetes.sh)
	test/support/fetch-kubernetes.sh
	node --import tsx src/kubernetes/generate/main.ts .cache/kubernetes src/kubernetes/schema/table.ts

kubernetes-golden: node_modules/.installed ## make testdata/kubernetes/golden.* again
	test/support/fetch-kubernetes.sh
	node --import tsx src/kubernetes/generate/golden.ts .cache/kubernetes testdata/kubernetes

clean: ## remove what was built and fetched
	rm -rf dist .cache coverage node_modules
