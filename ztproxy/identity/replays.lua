-- Notes a proof as used. Machines may differ in how long a proof counts: all note it for the longest that any needs, so
-- that who begins to need more knows from then on all that it has to know.
-- KEYS: since when the store remembers for as long as this machine needs; for how long it remembers; the proof.
-- ARGV: milliseconds that this machine needs.
-- Answers: whether the proof was not there; since when the store remembers, in seconds since 1970.
local needed, lasting = tonumber(ARGV[1]), tonumber(redis.call('GET', KEYS[2]) or 0)
if lasting < needed then
  lasting = needed
  redis.call('SET', KEYS[2], lasting)
end
local since = redis.call('GET', KEYS[1])
if not since then
  since = redis.call('TIME')[1] + 1
  redis.call('SET', KEYS[1], since)
end
local first = redis.call('SET', KEYS[3], '', 'NX', 'PX', lasting)
return {first and 1 or 0, tonumber(since)}
