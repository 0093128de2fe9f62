#!/bin/sh
# Runs the public toml-test suite, valid and invalid cases of TOML 1.0, against the decoder.
# usage: toml_suite.sh DECODER BUILD_DIR
# The suite comes through Go's module system at the version pinned in toml-suite/go.mod. Exit 77 (skipped) without Go.
set -eu

decoder=$1
build=$2
suite=$(dirname "$0")/toml-suite

if ! command -v go >/dev/null; then
	echo "go is not installed: skipped"
	exit 77
fi
runner=$build/toml-test-runner
(cd "$suite" && GOFLAGS=-mod=readonly go build -o "$runner" github.com/toml-lang/toml-test/cmd/toml-test)

# The runner must have found the whole suite: 185 valid and 371 invalid cases in the pinned version.
listed=$("$runner" -toml 1.0.0 -list-files | grep -c '\.toml$')
if [ "$listed" -ne 556 ]; then
	echo "the suite lists $listed cases, 556 expected"
	exit 1
fi
exec "$runner" -toml 1.0.0 -timeout 20s "$decoder"
