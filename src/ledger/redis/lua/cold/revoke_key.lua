-- Revokes a key, for good. Numbers: F.place, then the key's id. Answers: applied, replayed, or a refusal.
local function operation(op, tail)
  local _, pi, ai, _, _, seen, at = unpack(F.place, op)
  local p, a, answer = enter(pi, ai, seen)
  if answer then
    return answer
  end
  local field = 'k' .. sub(op, at)
  local known = call('HGET', settings, field)
  if not known then
    return R.unknown_key
  end
  local made_at, revoked_at = unpack(F.key_dates, known)
  if revoked_at > 0 then
    return done(N.replayed, p, p[P.now], 0, available(a), M.max)
  end
  later(p, 'hash', 'HSET', settings, field, pack(F.key_dates, made_at, p[P.now] + 1) .. sub(known, L.key_dates + 1))
  a[A.version], changed[2] = a[A.version] + 1, 1
  entry(p, a, E.status, 0, 0, 0, tail)
  return done(N.applied, p, p[P.now], 0, available(a), M.max)
end
