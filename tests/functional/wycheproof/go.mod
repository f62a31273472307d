// Wycheproof's test vectors, which are a Go module; fetch.sh lays those about JOSE beside this file.
module ztproxy.dev/tests/wycheproof

go 1.26.4

require github.com/c2sp/wycheproof v0.0.0-20260902155932-3fa63dd0344a
