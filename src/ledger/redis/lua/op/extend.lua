-- Adds at least `least` and at most `most` credits to an open hold, and lets it live `ttl` from now.
-- Numbers: F.extend, then F.limits where there are caps. Answers: applied, replayed, or a refusal.
-- Extensions count up, so that a repeat is known by its number.
local function extend(op, tail)
  local _, pi, ai, hi, gi, seen, version, limited, number, least, most, ttl, valid_until, line, at = unpack(F.extend, op)
  local p, a, answer = enter(pi, ai, seen)
  if answer then
    return answer
  end
  local h, now = nil, p[P.now]
  h, answer = hold(hi)
  if not h then
    return answer
  elseif h[H.state] ~= S.open then
    return R.hold_ended
  elseif number == h[H.extensions] and number > 0 then
    return done(N.replayed, p, now, h[H.amount], available(a), h[H.expires_at])
  elseif number ~= h[H.extensions] + 1 then
    return R.id_conflict
  elseif version ~= a[A.version] then
    return R.stale
  elseif now >= valid_until then
    return R.key_expired
  end
  if now >= a[A.next_due] or a[A.ending] == 1 then
    if not due then
      return R.full
    end
    due(p, a, tail)
  end
  local limits, g, amount = limited == 1 and { unpack(F.limits, op, at) } or nil, nil, nil
  if gi > 0 then
    g, answer = gauge(gi)
    if answer then
      return answer
    end
  end
  amount, answer = affordable(a, g, limits, line, least, now)
  if answer then
    return answer
  end
  amount = amount < most and amount or most
  a[A.held], changed[ai] = a[A.held] + amount, pi
  if g then
    g[A.held], changed[gi] = g[A.held] + amount, pi
  end
  if line > a[A.line] then
    a[A.line] = line
  end
  entry(p, a, E.extend, amount, 0, h[H.last], tail)
  h[H.amount], h[H.extensions], h[H.expires_at], h[H.last] = h[H.amount] + amount, number, ends(p, ttl), p[P.seq]
  if a[A.ending] == 1 then
    hold_extended(a, h, amount)
  end
  keep(hi, h, pi)
  return done(N.applied, p, now, h[H.amount], available(a), h[H.expires_at])
end
