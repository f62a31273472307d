package ztproxy.authz_test

import data.ztproxy.authz

reader := {
	"request": {"route": "orders", "method": "GET"},
	"token": {"claims": {"email": "ada@corp.example", "email_verified": true}},
}

test_reading_is_allowed if {
	authz.decision.allow with input as reader
}

test_writing_is_denied if {
	not authz.decision.allow with input as object.union(reader, {"request": {"method": "DELETE"}})
}

test_an_unverified_address_is_denied if {
	not authz.decision.allow with input as object.union(reader, {"token": {"claims": {"email_verified": false}}})
}
