# The demo's policy: clerks read orders, payroll and the portal, guests read orders below 100; and the certificate must belong to
# the person whose token it is.
package ztproxy.authz

import data.roles

default decision := {"allow": false, "reasons": ["no rule allows this request"]}

decision := {"allow": false, "reasons": sort(deny)} if count(deny) > 0

else := {"allow": true, "headers": {"X-Role": role}} if {
	some permission in roles[role]
	permission.route == input.request.route
	input.request.method in permission.methods
}

role := input.token.claims.role

deny contains "the certificate belongs to somebody else than the token" if {
	input.certificate.common_name != input.token.subject
}

deny contains "guests see only orders below 100" if {
	role == "guest"
	input.request.route == "orders"
	to_number(input.request.segments[1]) >= 100
}

deny contains sprintf("the %s is for clerks", [input.request.route]) if {
	role != "clerk"
	input.request.route in {"payroll", "portal"}
}
