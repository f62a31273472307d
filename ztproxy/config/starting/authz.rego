# What is not allowed here is denied. `ztproxy policy test` runs authz_test.rego, `ztproxy policy eval` tries one input;
# docs/policy-input.md describes `input`.
package ztproxy.authz

default decision := {"allow": false, "reasons": ["no rule allows this request"]}

decision := {"allow": true, "reasons": []} if {
	input.request.route == "orders"
	input.request.method in {"GET", "HEAD"}
	input.token.claims.email_verified == true
	endswith(input.token.claims.email, "@corp.example")
}
