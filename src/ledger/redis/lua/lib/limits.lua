-- Caps of an account (scope 0) or a key (scope 1). A gauge is the record of what is used up; an account's record begins with one.
local dated, today, month

-- The UTC day and month of a time. Counts days in eras of 400 years that begin on 1 March, as `domain/time.rs` does.
local function date(now)
  if dated == now then
    return
  end
  local days = floor(now / M.day)
  local z = days + 719468
  local era = floor(z / 146097)
  local doe = z % 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
  local shifted = floor((5 * doy + 2) / 153)
  local m = shifted < 10 and shifted + 3 or shifted - 9
  local year = era * 400 + yoe + (m <= 2 and 1 or 0)
  dated, today, month = now, days, year * 12 + m - 1
end

-- GCRA: the new arrival time, or nothing and how long to wait. `step` is how long one demand takes; 0: no cap; M.max: a cap of nothing.
local function arrive(at, step, now)
  if step == 0 then
    return at
  elseif step == M.max then
    return nil, M.minute
  end
  local base = at > now and at or now
  local after = base + step < M.max and base + step or M.max
  local waits = step > M.minute and base - now or after - now - M.minute
  if waits > 0 then
    return nil, waits
  end
  return after
end

-- Both rates and the number of open holds: the new arrival times, or nothing and the refusal. Nothing is counted yet. `most` below zero: no cap.
local function pass(g, scope, requests, tokens, most, counts, now)
  local requests_at, tokens_at, wait
  requests_at, wait = arrive(g[A.requests_at], requests, now)
  if requests_at then
    tokens_at, wait = arrive(g[A.tokens_at], tokens, now)
  end
  if not tokens_at then
    return nil, nil, pack(F.rate_limited, N.rate_limited, scope, wait)
  end
  if most >= 0 and counts and g[A.open] >= most then
    return nil, nil, pack(F.too_many, N.too_many_concurrent, scope)
  end
  return requests_at, tokens_at
end

-- How much may still be held under the caps on spending, or nothing and the refusal. Above M.max: no cap.
local function room(g, scope, day_max, month_max, least, now)
  local most = M.max
  date(now)
  if day_max <= M.max then
    local spent = g[A.day] == today and g[A.day_spent] or 0
    most = day_max - spent - g[A.held]
    if most < least then
      return nil, pack(F.spend_limit, N.spend_limit_reached, scope, 0, spent, now)
    end
  end
  if month_max <= M.max then
    local spent = g[A.month] == month and g[A.month_spent] or 0
    local left = month_max - spent - g[A.held]
    if left < least then
      return nil, pack(F.spend_limit, N.spend_limit_reached, scope, 1, spent, now)
    end
    most = left < most and left or most
  end
  return most
end

-- `amount` was spent; below zero: given back, which does not raise a later window's cap.
local function spend(g, amount, now)
  date(now)
  local day_spent = (g[A.day] == today and g[A.day_spent] or 0) + amount
  local month_spent = (g[A.month] == month and g[A.month_spent] or 0) + amount
  g[A.day], g[A.day_spent] = today, day_spent < 0 and 0 or bounded(day_spent)
  g[A.month], g[A.month_spent] = month, month_spent < 0 and 0 or bounded(month_spent)
end
