#!/bin/sh
# Builds the examples whose tools are here: go >= 1.25, node >= 20 with npm, a JDK >= 17 with Maven.
set -eu
cd "$(dirname "$0")"
if command -v go >/dev/null; then (cd go && go build -trimpath -o service .); else echo "go is absent: no Go example"; fi
if command -v npm >/dev/null; then npm ci --prefix node --no-audit --no-fund; else echo "npm is absent: no Node example"; fi
if command -v mvn >/dev/null; then mvn -q -B -f java package || echo "Maven could not build the Java example"; else echo "mvn is absent: no Java example"; fi
