# Business hours, by the clock of the zone that data.yaml names.
package ztproxy.calendar

open if {
	now := [time.now_ns(), data.hours.zone]
	time.weekday(now) in data.hours.days
	[hour, _, _] := time.clock(now)
	hour >= data.hours.from
	hour < data.hours.to
}
