#!/bin/sh
# Lays Wycheproof's JOSE vectors, of the release pinned in go.mod, into vectors/; asks for Go and nothing else.
set -eu
cd "$(dirname "$0")"
module=github.com/c2sp/wycheproof
go mod download "$module"
rm -rf vectors
mkdir vectors
cp "$(go list -m -f '{{.Dir}}' "$module")"/testvectors_v1/json_web_*_test.json vectors/
