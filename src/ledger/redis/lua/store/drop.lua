-- Removes a record if it still is what the caller knows. KEYS: the record. ARGV: the head, what it was. Replies 1 when it was removed, else 0.
if redis.call('GET', KEYS[1]) ~= ARGV[2] then
  return 0
end
return redis.call('DEL', KEYS[1])
