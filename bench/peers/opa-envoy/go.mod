module ztproxy.example/bench/opa-envoy

go 1.26.0

require github.com/open-policy-agent/opa-envoy-plugin v1.12.0-envoy

require github.com/open-policy-agent/opa v1.22.2
