-- Notes a proof as used. Without its first record the store began to remember only now.
-- KEYS: since when it remembers; the proof. ARGV: milliseconds that the proof could be used again.
-- Answers: whether the proof was not there; since when the store remembers, in seconds since 1970.
local since = redis.call('GET', KEYS[1])
if not since then
  since = redis.call('TIME')[1] + 1
  redis.call('SET', KEYS[1], since)
end
local first = redis.call('SET', KEYS[2], '', 'NX', 'PX', ARGV[1])
return {first and 1 or 0, tonumber(since)}
