-- One operation on records; all that it reads and writes is one step for everybody else.
-- KEYS: the record, or the owner; then for `add` the owners. ARGV: the operation, `now` in ms, then what it needs.
-- A record is a hash {v: value, n: version, u: until in ms, o: owners}; Redis itself lets it go when it is over. `until`
-- and `now` are the asker's clock, so the time to live is their difference.
local op, now = ARGV[1], tonumber(ARGV[2])
local key = KEYS[1]

local function found()
  local r = redis.call('HMGET', key, 'v', 'n', 'u')
  if r[1] and now < tonumber(r[3]) then return r end
  return nil
end

local function gone()
  local owners = redis.call('HGET', key, 'o')
  if owners then
    for _, owner in ipairs(cjson.decode(owners)) do redis.call('ZREM', owner, key) end
  end
  return redis.call('DEL', key)
end

if op == 'get' then
  return found() or {}
elseif op == 'add' then
  local value, version, until_ms, index = ARGV[3], ARGV[4], tonumber(ARGV[5]), KEYS[2]
  if found() then return 0 end
  gone()
  local owners = {index}
  for i = 3, #KEYS do owners[#owners + 1] = KEYS[i] end
  redis.call('HSET', key, 'v', value, 'n', version, 'u', ARGV[5], 'o', cjson.encode(owners))
  redis.call('PEXPIRE', key, math.max(1, until_ms - now))
  for _, owner in ipairs(owners) do
    redis.call('ZREMRANGEBYSCORE', owner, '-inf', now)
    redis.call('ZADD', owner, until_ms, key)
    local last = tonumber(redis.call('ZRANGE', owner, -1, -1, 'WITHSCORES')[2])
    redis.call('PEXPIRE', owner, math.max(1, last - now))
  end
  return 1
elseif op == 'replace' then
  local r = found()
  if not r or r[2] ~= ARGV[3] then return 0 end
  local until_ms = tonumber(ARGV[6])
  redis.call('HSET', key, 'v', ARGV[5], 'n', ARGV[4], 'u', ARGV[6])
  redis.call('PEXPIRE', key, math.max(1, until_ms - now))
  for _, owner in ipairs(cjson.decode(redis.call('HGET', key, 'o'))) do
    redis.call('ZADD', owner, until_ms, key)
    local last = tonumber(redis.call('ZRANGE', owner, -1, -1, 'WITHSCORES')[2])
    redis.call('PEXPIRE', owner, math.max(1, last - now))
  end
  return 1
elseif op == 'take' then
  local r = found()
  gone()
  return r or {}
elseif op == 'remove' then
  return gone()
elseif op == 'owned' then
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  return redis.call('ZRANGE', key, 0, -1)
elseif op == 'count' then
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  return redis.call('ZCARD', key)
elseif op == 'listed' then
  local page = redis.call('ZSCAN', key, ARGV[3], 'COUNT', ARGV[4])
  return page
end
return redis.error_reply('no such operation')
