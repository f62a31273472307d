# Forwarding alone: no rule, no data.
package ztproxy.authz

decision := true
