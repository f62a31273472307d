# ztproxy's input document and its kind of decision.
package ztproxy.authz

method := input.request.method

segments := input.request.segments

claims := input.token.claims

workload := input.certificate.spiffe_id

address := input.source.address

decision := {"allow": count(deny) == 0, "reasons": sort(deny)}
