-- Opens a hold of at least `least` and at most `most` credits: all or nothing, or the first refusal in the order of precedence. With `most` zero
-- everything but money is checked, and no hold opened.
-- Numbers: F.admit, then F.limits where there are caps, then F.claim where there is one. Answers: the line of the journal; applied (free), replayed,
-- or a refusal.
-- Never overdraws, never opens an id twice.

-- The first answer again, if it is the same question.
local function again(p, hi, content)
  local h, answer = hold(hi)
  if not h then
    return answer
  elseif h[H.content] ~= content then
    return R.id_conflict
  end
  return done(N.replayed, p, h[H.opened_at], h[H.opened], h[H.available], h[H.expires_at])
end

-- Rates and open holds, of the account and then of the key: the key's gauge, then the new arrival times; the refusal last.
local function pass_all(a, gi, limits, counts, now)
  local a1, a2, answer = pass(a, 0, limits[1], limits[2], limits[3], counts, now)
  local g, k1, k2
  if a1 and gi > 0 then
    g, answer = gauge(gi)
    if g then
      k1, k2, answer = pass(g, 1, limits[6], limits[7], limits[8], counts, now)
    end
  end
  return g, a1, a2, k1, k2, answer
end

local function admit(op, tail)
  local _, pi, ai, hi, gi, seen, version, limited, claims, least, most, ttl, made, valid_until, line, content, key, at = unpack(F.admit, op)
  local p, a, answer = enter(pi, ai, seen)
  if answer then
    return answer
  end
  local now = p[P.now]
  local skew = floor(now / 1000) - made
  if values[hi] then
    return again(p, hi, content)
  elseif skew > M.skew or skew < -M.skew then
    return R.too_old
  elseif version ~= a[A.version] then
    return R.stale
  elseif now >= valid_until then
    return R.key_expired
  end
  answer = claims == 1 and taken(op, now)
  if answer then
    return answer
  end
  if now >= a[A.next_due] then
    if not due then
      return R.full
    end
    due(p, a, tail)
  end
  local limits, g, a1, a2, k1, k2 = nil, nil, nil, nil, nil, nil
  if limited == 1 then
    limits = { unpack(F.limits, op, at) }
    g, a1, a2, k1, k2, answer = pass_all(a, gi, limits, most > 0, now)
    if answer then
      return answer
    end
  end
  local amount = 0
  if most > 0 then
    amount, answer = affordable(a, g, limits, line, least, now)
    if answer then
      return answer
    end
    amount = amount < most and amount or most
  end
  if limits then
    a[A.requests_at], a[A.tokens_at], changed[ai] = a1, a2, pi
  end
  if g then
    g[A.requests_at], g[A.tokens_at], changed[gi] = k1, k2, pi
  end
  if most == 0 then
    return done(N.applied, p, now, 0, available(a), M.max)
  end
  a[A.open], a[A.held], changed[ai] = a[A.open] + 1, a[A.held] + amount, pi
  if g then
    g[A.open], g[A.held] = g[A.open] + 1, g[A.held] + amount
  end
  if line > a[A.line] then
    a[A.line] = line
  end
  local expires_at, written = ends(p, ttl), entry(p, a, E.hold, amount, 0, 0, tail)
  values[hi] = pack(F.hold, S.open, g and 1 or 0, amount, amount, 0, now, expires_at, a[A.entries], 0, available(a), p[P.seq], content, key)
  changed[hi] = pi
  if claims == 1 then
    claim(p, op, hi)
  end
  return written
end
