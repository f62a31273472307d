# Run with: ztproxy policy test --policy policies/
#
# Each test starts from a request that is allowed and changes one thing, so that what it shows follows from that thing.
package ztproxy.authz_test

import data.ztproxy.authz

# A clerk on her own laptop, on a Tuesday at noon in Berlin.
clerk := {
	"request": {"method": "GET", "segments": ["api", "orders", "17"]},
	"source": {"address": "198.51.100.7"},
	"certificate": {"common_name": "alice-laptop", "spiffe_id": null},
	"token": {
		"issuer": "https://login.corp.example",
		"claims": {"groups": ["clerks"], "device": "alice-laptop"},
	},
}

service := {
	"request": {"method": "GET", "segments": ["api", "orders"]},
	"source": {"address": "198.51.100.9"},
	"certificate": {"common_name": "billing", "spiffe_id": "spiffe://corp.example/service/billing"},
	"token": null,
}

operator := changed(clerk, [
	{"op": "replace", "path": "/token/claims/groups", "value": ["operators"]},
	{"op": "replace", "path": "/request/segments", "value": ["admin", "users"]},
	{"op": "replace", "path": "/source/address", "value": "192.0.2.10"},
])

tuesday_noon := 1788256800000000000 # 2026-09-01T12:00:00+02:00

tuesday_night := 1788296400000000000 # 2026-09-01T23:00:00+02:00

sunday_noon := 1788084000000000000 # 2026-08-30T12:00:00+02:00

changed(document, patches) := json.patch(document, patches)

posting(document) := changed(document, [{"op": "replace", "path": "/request/method", "value": "POST"}])

decided(document) := decided_at(document, tuesday_noon)

decided_at(document, now) := decision if {
	decision := authz.decision with input as document with time.now_ns as now
}

refused(document, reason) if decided(document) == {"allow": false, "reasons": {reason}}

unpermitted(document) if decided(document) == {"allow": false, "reasons": ["no role permits this"]}

# People and their roles

test_a_clerk_reads_orders if decided(clerk) == {"allow": true, "reasons": {"the role clerk permits this"}}

test_a_clerk_makes_orders if decided(posting(clerk)).allow

test_a_clerk_deletes_none if {
	unpermitted(changed(clerk, [{"op": "replace", "path": "/request/method", "value": "DELETE"}]))
}

test_paths_are_whole_segments if {
	every segments in [["api", "ordersx"], ["api"], [], ["orders", "api"], ["api", "Orders"]] {
		unpermitted(changed(clerk, [{"op": "replace", "path": "/request/segments", "value": segments}]))
	}
}

test_an_auditor_reads_everything_and_changes_nothing if {
	auditor := changed(clerk, [
		{"op": "replace", "path": "/token/claims/groups", "value": ["auditors"]},
		{"op": "replace", "path": "/request/segments", "value": ["reports"]},
	])
	decided(auditor).allow
	unpermitted(posting(auditor))
}

test_a_group_of_another_issuer_counts_nothing if {
	unpermitted(changed(clerk, [{"op": "replace", "path": "/token/issuer", "value": "https://login.other.example"}]))
}

test_an_unknown_group_counts_nothing if {
	unpermitted(changed(clerk, [{"op": "replace", "path": "/token/claims/groups", "value": ["clerk", "strangers"]}]))
}

test_groups_that_are_no_list_count_nothing if {
	every groups in ["clerks", null, 1, true] {
		unpermitted(changed(clerk, [{"op": "replace", "path": "/token/claims/groups", "value": groups}]))
	}
}

test_nobody_gets_nothing if {
	unpermitted(changed(clerk, [
		{"op": "replace", "path": "/token", "value": null},
		{"op": "replace", "path": "/certificate", "value": null},
	]))
}

# What is public

test_everyone_reads_what_is_public if {
	public := changed(clerk, [
		{"op": "replace", "path": "/token", "value": null},
		{"op": "replace", "path": "/certificate", "value": null},
		{"op": "replace", "path": "/request/segments", "value": ["public", "logo.svg"]},
	])
	decided(public) == {"allow": true, "reasons": {"everyone may read what is public"}}
	unpermitted(posting(public))
}

# Services

test_a_service_reads_orders if decided(service) == {"allow": true, "reasons": {"the role billing permits this"}}

test_a_service_writes_invoices if {
	decided(changed(posting(service), [{"op": "replace", "path": "/request/segments", "value": ["api", "invoices"]}])).allow
}

test_a_service_makes_no_orders if unpermitted(posting(service))

test_another_service_gets_nothing if {
	unpermitted(changed(service, [{
		"op": "replace",
		"path": "/certificate/spiffe_id",
		"value": "spiffe://corp.example/service/billing/x",
	}]))
}

# Certificate and token

apart := "certificate and token do not belong together"

# A token that says nothing of a device, bound to a certificate, beside another one.
bound(to, shown) := changed(clerk, [
	{"op": "remove", "path": "/token/claims/device"},
	{"op": "add", "path": "/token/bound_to", "value": to},
	{"op": "add", "path": "/certificate/fingerprint", "value": shown},
])

# A token for a workload, beside a certificate of one.
working(named, shown) := changed(clerk, [
	{"op": "remove", "path": "/token/claims/device"},
	{"op": "add", "path": "/token/claims/workload", "value": named},
	{"op": "replace", "path": "/certificate/spiffe_id", "value": shown},
])

test_a_token_on_another_device_is_refused if {
	refused(
		changed(clerk, [{"op": "replace", "path": "/certificate/common_name", "value": "mallory-laptop"}]),
		apart,
	)
}

test_a_token_of_no_device_is_refused_beside_a_certificate if {
	refused(
		changed(clerk, [{"op": "remove", "path": "/token/claims/device"}]),
		apart,
	)
}

test_a_certificate_without_a_name_is_nobodys_device if {
	refused(
		changed(clerk, [{"op": "replace", "path": "/certificate/common_name", "value": null}]),
		apart,
	)
}

test_two_that_name_nothing_do_not_agree if {
	refused(
		changed(clerk, [
			{"op": "replace", "path": "/certificate/common_name", "value": null},
			{"op": "replace", "path": "/token/claims/device", "value": null},
			{"op": "add", "path": "/token/claims/workload", "value": null},
			{"op": "add", "path": "/token/bound_to", "value": null},
		]),
		apart,
	)
}

test_a_token_that_is_bound_to_the_certificate_belongs_to_it if {
	decided(bound("b5c7", "b5c7")).allow
	refused(bound("b5c7", "c6d8"), apart)
}

test_a_token_for_the_workload_in_the_certificate_belongs_to_it if {
	billing := "spiffe://corp.example/service/billing"
	decided(working(billing, billing)).allow
	refused(working(billing, "spiffe://corp.example/service/mail"), apart)
	refused(working(billing, "spiffe://corp.example/service"), apart)
	refused(working([billing], billing), apart)
}

test_a_token_alone_will_do_where_the_route_lets_it if {
	decided(changed(clerk, [{"op": "replace", "path": "/certificate", "value": null}])).allow
}

# Administration

test_an_operator_administers_from_the_office if decided(operator).allow

test_an_operator_administers_from_the_office_over_ipv6 if {
	decided(changed(operator, [{"op": "replace", "path": "/source/address", "value": "2001:db8:17::1"}])).allow
}

test_administration_from_elsewhere_is_refused if {
	every address in ["198.51.100.7", "192.0.3.1", "2001:db8:18::1", null] {
		refused(
			changed(operator, [{"op": "replace", "path": "/source/address", "value": address}]),
			"administration is open to the office network only",
		)
	}
}

test_administration_without_a_certificate_is_refused if {
	refused(
		changed(operator, [{"op": "replace", "path": "/certificate", "value": null}]),
		"administration needs a client certificate",
	)
}

test_the_office_alone_permits_nothing if {
	unpermitted(changed(operator, [{"op": "replace", "path": "/token/claims/groups", "value": []}]))
}

test_every_reason_against_is_told if {
	decided(changed(operator, [
		{"op": "replace", "path": "/certificate", "value": null},
		{"op": "replace", "path": "/source/address", "value": "198.51.100.7"},
	])) == {"allow": false, "reasons": {
		"administration is open to the office network only",
		"administration needs a client certificate",
	}}
}

# Business hours

waiting := {"allow": false, "reasons": {"changes wait for business hours, except for those on call"}}

test_changes_wait_for_business_hours if {
	decided_at(posting(clerk), tuesday_night) == waiting
	decided_at(posting(clerk), sunday_noon) == waiting
}

test_reading_does_not_wait if {
	decided_at(clerk, tuesday_night).allow
	decided_at(clerk, sunday_noon).allow
}

test_business_hours_begin_and_end_on_the_hour if {
	seven := 1788238800000000000 # 2026-09-01T07:00:00+02:00
	nineteen := 1788282000000000000 # 2026-09-01T19:00:00+02:00
	decided_at(posting(clerk), seven).allow
	decided_at(posting(clerk), seven - 1) == waiting
	decided_at(posting(clerk), nineteen - 1).allow
	decided_at(posting(clerk), nineteen) == waiting
}

test_those_on_call_do_not_wait if decided_at(posting(operator), sunday_noon).allow
