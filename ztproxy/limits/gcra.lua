-- Charge token buckets, all of them or none: the arithmetic of ztproxy/limits/bucket.py, by this server's clock.
-- KEYS: buckets; the same one twice counts once. ARGV[1]: microseconds, or '' for the server's clock.
-- Then for each key: pace, interval, capacity, cost, enforced (1 or 0).
-- Answers, for each key: whether the charge fitted (1 or 0) and the level after it.
-- A bucket is kept as 'MICROSECONDS LEVEL'. Every number is whole and below 2^53, where doubles are exact; a product
-- that is not exceeds any level, and so empties the bucket just the same.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function keep(key, level, pace)
  local lifetime = math.ceil(level / pace / 1000) + 1
  redis.call('SET', key, string.format('%.0f %.0f', now, level), 'PX', string.format('%.0f', lifetime))
end

local allowed = true
local answer = {}
for i, key in ipairs(KEYS) do
  local first = 2 + (i - 1) * 5
  local pace, interval = tonumber(ARGV[first]), tonumber(ARGV[first + 1])
  local capacity, cost = tonumber(ARGV[first + 2]), tonumber(ARGV[first + 3])
  local level = 0
  local stored = redis.call('GET', key)
  if stored then
    local at, before = string.match(stored, '^(%d+) (%d+)$')
    if not at then
      return redis.error_reply('ERR a token bucket holds something else')
    end
    level = tonumber(before)
    if tonumber(at) > now then
      -- The clock was set back: that fills no bucket, and none waits until the clock has caught up.
      keep(key, level, pace)
    else
      level = math.max(0, level - (now - tonumber(at)) * pace)
    end
  end
  local after = level + cost * interval
  if after <= capacity then
    answer[2 * i - 1], answer[2 * i] = 1, after
  else
    answer[2 * i - 1], answer[2 * i] = 0, level
    if ARGV[first + 4] == '1' then
      allowed = false
    end
  end
end

if allowed then
  for i, key in ipairs(KEYS) do
    if answer[2 * i - 1] == 1 then
      keep(key, answer[2 * i], tonumber(ARGV[2 + (i - 1) * 5]))
    end
  end
end
return answer
