# Who asks, in the words of data.yaml: the roles of people by the groups in their tokens, of services by their SPIFFE ID.
package ztproxy.identity

has_certificate if input.certificate != null

has_token if input.token != null

# Groups count only where data.yaml names them under the very issuer that signed the token: another issuer's "admins"
# are somebody else's.
roles contains role if {
	some group in input.token.claims.groups
	some role in data.groups[input.token.issuer][group]
}

roles contains role if some role in data.services[input.certificate.spiffe_id]

# Certificate and token belong together when the issuer bound the token to that very certificate (RFC 8705; the proxy has
# compared them), or wrote into it the device or the workload that it was made for. A token with neither belongs to none,
# and names that are null on both sides are no agreement.
together if {
	input.token.bound_to != null
	input.token.bound_to == input.certificate.fingerprint
}

together if {
	input.certificate.common_name != null
	input.token.claims.device == input.certificate.common_name
}

together if {
	input.certificate.spiffe_id != null
	input.token.claims.workload == input.certificate.spiffe_id
}
