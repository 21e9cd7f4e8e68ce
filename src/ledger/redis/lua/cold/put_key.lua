-- Makes or imports a key. Numbers: F.key, then the key's id, what never changes of it, and under which id this account has the digest already.
-- Answers: applied, replayed, or a refusal. A key's field in the settings: when it was made and revoked (0: not), then what never changes,
-- of which the digest comes first. A key with caps has a gauge.
local function operation(op, tail)
  local _, pi, ai, _, gi, seen, id, fixed, other = unpack(F.key, op)
  local p, a, answer = enter(pi, ai, seen)
  if answer then
    return answer
  end
  local known = call('HGET', settings, 'k' .. id)
  if known then
    return sub(known, L.key_dates + 1) == fixed and done(N.replayed, p, p[P.now], 0, available(a), M.max) or R.id_conflict
  end
  local twin = other ~= '' and call('HGET', settings, 'k' .. other)
  if twin and sub(twin, L.key_dates + 1, L.key_dates + 32) == sub(fixed, 1, 32) then
    return R.id_conflict
  elseif call('HLEN', settings) - 3 >= M.keys_max then
    return R.keys_out_of_range
  end
  later(p, 'hash', 'HSET', settings, 'k' .. id, pack(F.key_dates, p[P.now], 0) .. fixed)
  if gi > 0 then
    values[gi], changed[gi] = F.no_gauge, 1
  end
  a[A.version], changed[2] = a[A.version] + 1, 1
  entry(p, a, E.status, 0, 0, 0, tail)
  return done(N.applied, p, p[P.now], 0, available(a), M.max)
end
