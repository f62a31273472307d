# The input document of OPA's Envoy plugin and its kind of decision.
package ztproxy.authz

method := input.attributes.request.http.method

segments := input.parsed_path

claims := input.attributes.metadataContext.filterMetadata["envoy.filters.http.jwt_authn"].claims

workload := input.attributes.source.principal

address := input.attributes.source.address.socketAddress.address

decision := {"allowed": count(deny) == 0, "body": concat("; ", sort(deny))}
