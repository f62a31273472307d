# The rules of the benchmark, the same text for both peers. What they read of the input has other names in each input
# document: inputs/ztproxy.rego and inputs/envoy.rego give it one name. Roles and revocations are in data.json, which
# bench/policydata.py writes.
package ztproxy.authz

permitted if {
	some role in claims.roles
	some grant in data.roles[role]
	method in grant.methods
	array.slice(segments, 0, count(grant.path)) == grant.path
}

deny contains "no role of the token permits this" if not permitted

deny contains "the token was revoked" if data.revoked[claims.jti]

deny contains "certificate and token name different workloads" if not claims.workload == workload

deny contains "only workloads of the shop may ask" if not startswith(workload, "spiffe://bench.example/ns/shop/")

deny contains "changes need the role of an editor" if {
	not method in {"GET", "HEAD"}
	not "editor" in claims.roles
}

deny contains "administration is open to the office network only" if {
	segments[0] == "admin"
	not net.cidr_contains("10.0.0.0/8", address)
}

deny contains "internal paths are not for clients" if {
	some segment in segments
	startswith(segment, "_")
}
