-- Makes an account, or changes its settings: O.create, O.pause, O.resume, O.plan, O.limits, each with a value.
-- Numbers: F.set_account, then the value. Answers: applied, replayed, or a refusal.
-- Settings: p the plan (empty: none), l the caps, r the reasons (each ended by a line feed); keys have fields of their own (put_key.lua).

local function noted(p, a, tail)
  changed[2] = 1
  entry(p, a, E.status, 0, 0, 0, tail)
  return done(N.applied, p, p[P.now], 0, available(a), M.max)
end

-- A new account's records; its list has it from now on.
local function create(p, plan, limits, name, tail)
  if call('EXISTS', KEYS[records], ended, days, settings, adjusted) > 0 then
    error('the account is not there, and other records of it are', 0)
  end
  local a = { unpack(F.account, F.no_account) }
  a[A.version], a[A.next_due] = 1, M.max
  accounts[2], changed[records] = a, 1
  values[records] = pack(F.cold, 0, 0, 0, 0, 0, 0, 0, 0, p[P.now])
  later(p, 'hash', 'HSET', settings, 'p', plan, 'l', limits, 'r', '')
  later(p, 'list', 'RPUSH', index, name)
  return noted(p, a, tail)
end

-- The settings' field that changes and its new value; nothing when it is as it shall be; or the refusal.
local function change(kind, value)
  local field = kind == O.plan and 'p' or kind == O.limits and 'l' or 'r'
  local old = call('HGET', settings, field)
  if not old then
    error(settings .. ' lacks the field ' .. field, 0)
  end
  local new = value
  if field == 'r' then
    local from, to = string.find('\n' .. old, '\n' .. value .. '\n', 1, true)
    local there = from ~= nil
    if there == (kind == O.pause) then
      return
    end
    new = there and sub(old, 1, from - 1) .. sub(old, to) or old .. value .. '\n'
    if #string.gsub(new, '[^\n]', '') > M.reasons_max then
      return nil, nil, R.reasons_out_of_range
    end
  end
  if new ~= old then
    return field, new
  end
end

local function operation(op, tail)
  local kind, pi, ai, _, _, seen, expected, at = unpack(F.set_account, op)
  local p, a, answer = enter(pi, ai, seen)
  local value = sub(op, at)
  if answer == R.unknown_account and kind == O.create then
    if expected > 1 then
      return R.outdated
    end
    local limits, plan = unpack('<Bc0', value)
    return create(p, sub(value, 2 + #limits), limits, sub(tail, 2, 1 + byte(tail)), tail)
  elseif answer then
    return answer
  end
  local field, new
  if kind ~= O.create then
    field, new, answer = change(kind, value)
  end
  if not field and not answer then
    return done(N.replayed, p, p[P.now], 0, available(a), M.max)
  elseif expected > 0 and expected ~= a[A.version] + 1 then
    return R.outdated
  elseif answer then
    return answer
  end
  a[A.version] = a[A.version] + 1
  later(p, 'hash', 'HSET', settings, field, new)
  return noted(p, a, tail)
end
