# Whether a request may pass: the decision that the proxy asks for.
#
# A request is allowed when at least one rule of `permit` speaks for it and none of `deny` against it. Each rule carries
# the sentence that tells why; they are the decision's reasons, for the decision log and, where the configuration says
# `show_reasons: true`, for whoever was refused.
package ztproxy.authz

import data.ztproxy.calendar
import data.ztproxy.identity
import data.ztproxy.network

decision := {"allow": true, "reasons": permit} if allowed

decision := {"allow": false, "reasons": deny} if count(deny) > 0

decision := {"allow": false, "reasons": ["no role permits this"]} if {
	count(permit) == 0
	count(deny) == 0
}

allowed if {
	count(permit) > 0
	count(deny) == 0
}

permit contains "everyone may read what is public" if {
	reading
	some path in data.public
	below(path)
}

permit contains sprintf("the role %s permits this", [role]) if {
	some role in identity.roles
	some grant in data.roles[role]
	input.request.method in grant.methods
	below(grant.path)
}

# A stolen token is of no use on another device, and a borrowed device of no use with another's token.
deny contains "certificate and token do not belong together" if {
	identity.has_certificate
	identity.has_token
	not identity.together
}

deny contains "administration needs a client certificate" if {
	administration
	not identity.has_certificate
}

deny contains "administration is open to the office network only" if {
	administration
	not network.office
}

deny contains "changes wait for business hours, except for those on call" if {
	not reading
	not calendar.open
	not "oncall" in identity.roles
}

reading if input.request.method in {"GET", "HEAD"}

administration if below(["admin"])

# below is true of a path's first segments: ["api", "orders"] covers /api/orders and /api/orders/17, not /api/ordersx.
below(path) if array.slice(input.request.segments, 0, count(path)) == path
