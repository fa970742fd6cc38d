# Everything a developer or the CI runs; `make` alone lists it.
SHELL := /bin/bash
export CGO_ENABLED := 0
# tools/install-deps puts Go under bin/go on machines whose own is too old; sbin has nft and iptables for non-root users.
export PATH := $(CURDIR)/bin/go/bin:$(PATH):/usr/sbin:/sbin

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## Install what building, testing and the demo need, if it is missing (Debian, apt)
	@tools/install-deps

.PHONY: build
build: deps ## Build bin/switchyard and bin/switchyard-standalone (the first time takes some minutes)
	go build -o bin/ ./cmd/switchyard
	go build -C standalone -ldflags '-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2' -o ../bin/ ./cmd/switchyard-standalone

.PHONY: peers
peers: deps ## Build what tests and benchmarks compare with: kube-apiserver and etcd to serve both sides, CoreDNS
	go build -C standalone -ldflags '-s -w' -o ../bin/bench/ k8s.io/kubernetes/cmd/kube-apiserver
	go build -C standalone -ldflags '-s -w' -o ../bin/bench/etcd go.etcd.io/etcd/server/v3
	go build -C bench/coredns -o ../../bin/bench/ .

.PHONY: test
test: build peers ## Run all tests of both modules (as root: they make network namespaces)
	go test -timeout 12m ./... && go test -C standalone -count=1 -timeout 15m ./...

.PHONY: lint
lint: deps ## Check style and dependency directions in both modules
	go build -C tools -o ../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	bin/golangci-lint run ./... && cd standalone && ../bin/golangci-lint run --config ../.golangci.yml ./...

.PHONY: demo
demo: build ## Show examples/my-nginx on a standalone cluster of two nodes, expected beside seen (as root)
	go run ./internal/demo

.PHONY: bench-proxy
bench-proxy: build peers ## Compare the service proxy with kube-proxy, at 1,000 and 10,000 Services (as root; BENCH_FLAGS=-quick: 1,000 only)
	go build -C standalone -o ../bin/bench/ k8s.io/kubernetes/cmd/kube-proxy
	go run ./bench/proxy $(BENCH_FLAGS)

.PHONY: bench-userspace
bench-userspace: deps ## Compare the proxy of the userspace mode with HAProxy, one thread each (as root)
	@command -v haproxy >/dev/null || apt-get install -qq -y --no-install-recommends haproxy >/dev/null
	go run ./bench/userspace $(BENCH_FLAGS)

.PHONY: bench-dns
bench-dns: build peers ## Compare the cluster DNS with CoreDNS, one core each, at 10,000 Services (as root; BENCH_FLAGS=-quick: 1,000)
	@command -v dnsperf >/dev/null || apt-get install -qq -y --no-install-recommends dnsperf >/dev/null
	go run ./bench/dns $(BENCH_FLAGS)

.PHONY: bench-ingress
bench-ingress: deps ## Compare the ingress engine with nginx and HAProxy, one core each, at 1 and 10,000 Ingresses
	@command -v wrk h2load haproxy >/dev/null || apt-get install -qq -y --no-install-recommends wrk nghttp2-client haproxy >/dev/null
	go build -o bin/bench/ingress ./bench/ingress && bin/bench/ingress $(BENCH_FLAGS)

.PHONY: fuzz
fuzz: deps ## Run every fuzz target for FUZZTIME (10s) each
	@tools/fuzz

.PHONY: cover
cover: deps ## Write the main module's test coverage to bin/cover.html
	go test -coverprofile bin/cover.out ./... && go tool cover -html bin/cover.out -o bin/cover.html

.PHONY: clean
clean: ## Remove what the other targets built
	rm -rf bin bench/out
