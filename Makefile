# The verbs of this project; each calls a script of dev/. `make help` lists them.
# CLUSTER=local (a real single-node cluster on this machine, as root) | kind | context (then CONTEXT=NAME names one of yours).
# Without CONTEXT nothing ever touches the current context of your kubeconfig.

CLUSTER ?= local
CONTEXT ?=
PROVIDER ?= embedded
REGISTRY ?=
TAG ?=
export CLUSTER CONTEXT PROVIDER REGISTRY TAG

.DEFAULT_GOAL := help
.PHONY: help up down demo test test-fast lint images bench soak crds

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "CLUSTER=$(CLUSTER) (local|kind|context) CONTEXT=$(CONTEXT) PROVIDER=$(PROVIDER) REGISTRY=$(REGISTRY) TAG=$(TAG)"

up: ## Start the cluster, or find it running, and print how to reach it
	@dev/up.sh

down: ## End the cluster and remove what it ran, kept and changed
	@dev/down.sh

demo: ## From nothing to a running shop in which something was bought
	@dev/demo.sh

images: ## Build the images, then load them into the cluster, or push them to REGISTRY=host/path
	@dev/images.sh

crds: ## Write the files that are generated from the Rust types anew
	@dev/generate.sh

lint: ## Formatting, lints, shell scripts, licences and sources of dependencies
	@dev/lint.sh

test-fast: ## Lints, unit and conformance tests: no cluster, and no root where the packages are there
	@dev/test.sh fast

test: ## Everything that CI runs, with the end-to-end tests on a cluster of their own
	@dev/test.sh all

bench: ## Measure, print the tables and keep them in docs/
	@dev/bench.sh

soak: ## The long run of the tests that have one
	@dev/soak.sh
