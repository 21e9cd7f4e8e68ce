-- An account: its hot record, its settings and, where ARGV[2] names a field, one of its keys; empty texts for what is not there of them.
-- Nothing for an account that is not there.
-- KEYS: partition, account, settings.
local settings = call('HMGET', KEYS[3], 'p', 'l', 'r', ARGV[2])
return { now, call('GET', KEYS[2]), settings[1] or '', settings[2] or '', settings[3] or '', settings[4] or '' }
