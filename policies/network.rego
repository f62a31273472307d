# Where a request comes from. An address alone never permits anything: it can only be one condition more.
package ztproxy.network

office if {
	address := input.source.address
	is_string(address)
	some network in data.networks.office
	net.cidr_contains(network, address)
}
