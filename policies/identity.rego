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

# The issuer writes into each token the device that it was made for; a token without one belongs to no device.
same_device if input.token.claims.device == input.certificate.common_name
