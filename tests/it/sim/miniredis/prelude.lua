-- What a script finds: the libraries that Redis gives, none of them to be changed, and no globals of its own.
local raw, sha1hex, struct, log, whereabouts = ...
local format, type, error, tostring, pcall, xpcall = string.format, type, error, tostring, pcall, xpcall
local setmetatable, pairs, select, setfenv = setmetatable, pairs, select, setfenv

local function frozen(library)
  return setmetatable({}, {
    __index = library,
    __newindex = function()
      error('Attempt to modify a readonly table', 2)
    end,
    __metatable = false,
  })
end

-- An error as Redis keeps it: a table, with the place in the script that made it.
local function place(err)
  if err.line == nil then
    err.source, err.line = whereabouts()
  end
  return err
end

local function ask(args, n)
  if n == 0 then
    return { err = 'ERR Please specify at least one argument for this redis lib call' }, true
  end
  for i = 1, n do
    local kind = type(args[i])
    if kind == 'number' then
      args[i] = format('%.17g', args[i])
    elseif kind ~= 'string' then
      return { err = 'ERR Lua redis lib command arguments must be strings or integers' }, true
    end
  end
  return raw(args)
end

local redis = {
  call = function(...)
    local reply, bad = ask({ ... }, select('#', ...))
    if bad then
      error(place(reply), 0)
    end
    return reply
  end,
  pcall = function(...)
    local reply, bad = ask({ ... }, select('#', ...))
    return bad and place(reply) or reply
  end,
  error_reply = function(text)
    if type(text) ~= 'string' then
      return { err = 'ERR wrong number or type of arguments' }
    end
    return { err = (text:gsub('^%-', '')) }
  end,
  status_reply = function(text)
    if type(text) ~= 'string' then
      return { err = 'ERR wrong number or type of arguments' }
    end
    return { ok = text }
  end,
  sha1hex = sha1hex,
  log = log,
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
  REDIS_VERSION = '7.0.15', REDIS_VERSION_NUM = 0x0007000f,
}

local globals = {}
for _, name in pairs({ 'assert', 'collectgarbage', 'error', 'getmetatable', 'ipairs', 'loadstring', 'next', 'pairs', 'pcall', 'rawequal',
  'rawget', 'rawset', 'select', 'setmetatable', 'tonumber', 'tostring', 'type', 'unpack', 'xpcall', '_VERSION' }) do
  globals[name] = _G[name]
end
-- As in Redis 7: who catches an error sees its text.
globals.pcall = function(...)
  local function text(went_well, err, ...)
    if not went_well and type(err) == 'table' and err.err then
      err = err.err
    end
    return went_well, err, ...
  end
  return text(pcall(...))
end
for _, name in pairs({ 'string', 'math', 'table' }) do
  globals[name] = frozen(_G[name])
end
globals.redis, globals.struct, globals.os = frozen(redis), frozen(struct), frozen({ clock = os.clock })

local given = {}
local environment = setmetatable({}, {
  __index = function(_, name)
    local value = given[name]
    if value == nil then
      value = globals[name]
    end
    if value == nil then
      error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
    end
    return value
  end,
  __newindex = function()
    error('Attempt to modify a readonly table', 2)
  end,
  __metatable = false,
})

local function handler(err)
  if type(err) ~= 'table' then
    err = { err = 'ERR ' .. tostring(err) }
  end
  return place(err)
end

-- Runs a script; whether it went well, and its answer or its error.
return function(script, keys, argv)
  given = { KEYS = keys, ARGV = argv }
  setfenv(script, environment)
  return xpcall(script, handler)
end
