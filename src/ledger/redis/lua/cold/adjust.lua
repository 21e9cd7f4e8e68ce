-- Gives (above zero) or takes (below) credits by hand. The caller's id is remembered for ever with its answer.
-- Numbers: F.adjust, with the ids of the grant that carries a gift and of that which is taken from first. Answers: applied, replayed, or a refusal.

-- Why `amount`, which is not above zero, cannot be taken.
local function cannot_take(a, amount)
  local low = -M.max
  if amount == 0 or available(a) + amount < low or a[A.granted] + amount < low or amount - a[A.taken] < low then
    return R.adjustment_out_of_range
  end
end

local function give(a, amount, id, now)
  local g = { amount, M.priority_max, S.promotional, S.active, now, M.max, now, now, 0, 0, 0, 0, 0, 0, id, '' }
  insert(g)
end

-- Deals what was just taken to one grant, as far as it is active and has what is neither spent nor held.
local function take_from(a, from, amount)
  for i, g in ipairs(grants) do
    if g[G.id] == from and g[G.state] == S.active then
      local free = remaining(g) - held_on(a, i)
      local most = amount < free and amount or free
      a[A.dealt] = bounded(a[A.dealt] + draw(g, most))
    end
  end
end

local function operation(op, tail)
  local _, pi, ai, _, _, seen, amount, id, grant_id, from = unpack(F.adjust, op)
  local p, a, answer = enter(pi, ai, seen)
  if answer then
    return answer
  end
  local first = call('HGET', adjusted, id)
  if first then
    if #first ~= L.adjusted then
      return R.damaged .. 'the record of the adjustment has another length'
    end
    local asked, time, left = unpack(F.adjusted, first)
    if time > M.max or asked > M.max or asked < -M.max then
      return R.damaged .. 'a number of the adjustment is out of range'
    end
    return asked == amount and done(N.replayed, p, time, 0, left, M.max) or R.id_conflict
  end
  book(a)
  if grant_id == '' then
    return R.id_length_out_of_range
  elseif amount > 0 and from ~= '' then
    return R.from_out_of_range
  elseif amount > 0 and find(grant_id) then
    return R.id_conflict
  end
  apply(p, a, tail)
  if amount > 0 then
    answer = no_room(a, amount)
  else
    answer = cannot_take(a, amount)
  end
  if answer then
    return answer
  end
  local before = available(a)
  a[A.granted], a[A.bound] = a[A.granted] + amount, a[A.bound] + amount
  if amount > 0 then
    give(a, amount, grant_id, p[P.now])
  else
    a[A.taken] = a[A.taken] - amount
    clawed_back(a, before)
    take_from(a, from, -amount)
  end
  entry(p, a, E.adjust, amount, 0, 0, tail)
  apply(p, a, tail)
  later(p, 'hash', 'HSET', adjusted, id, pack(F.adjusted, amount, p[P.now], available(a)))
  return applied(p, a)
end
