-- What an account was charged: its hot record (which has the day of its last charge), then for each day asked for what is kept of it, or an
-- empty text. KEYS: partition, account, days. ARGV from the second: the days.
local found = { now, call('GET', KEYS[2]) or '' }
for i, day in ipairs(call('HMGET', KEYS[3], list(ARGV, 2))) do
  found[i + 2] = day or ''
end
return found
