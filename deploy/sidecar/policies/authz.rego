# Who may call what, beside what the routes say. One policy for all sidecars.
package ztproxy.authz

default decision := {"allow": false, "reasons": ["no rule allows this call"]}

# A service's own calls. Which process they are from, its socket says.
decision := {"allow": true} if startswith(input.request.route, "out-")

# Reading is for whomever the route lets in.
decision := {"allow": true} if {
	input.request.route == "in"
	input.certificate.spiffe_id
	input.request.method in {"GET", "HEAD"}
}

# Orders are made by the web application alone.
decision := {"allow": true} if {
	input.request.route == "in"
	input.request.method == "POST"
	input.certificate.spiffe_id == "spiffe://shop.example/web"
}
