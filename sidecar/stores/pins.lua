-- What is done to the pin of one session, each in one atomic step, and the use of many. The rules are those of `PinTable`
-- in sidecar/routing/pins.py; the layout of a record is that of sidecar/stores/values.py.
--
-- KEYS[1]  the session's only key
-- ARGV[1]  the operation
-- ARGV[2]  the time: 8 bytes, Unix time as a big-endian double; empty: this server's clock
-- ARGV[3]  the time to live in seconds, likewise
-- ARGV[4]  '1' when each use starts it anew
-- ARGV[5]  a pin's bytes that the caller could not read: a record with just those counts as none; empty: no such
-- ARGV[6…] the operation's own
--
-- Gives {time, record or nil, record replaced or nil, word}; the word is '', or 'unreadable' when what stood there was
-- no record of ours, or one of the operation's own.
--
-- An expired pin is kept for one time to live more, so that `expired` can tell it from one that never was. A lease
-- (kind L) stands where no live pin is, and carries that memory on.
--
-- One operation is of no session: `epoch` gives the word that stands under KEYS[1], ARGV[2] if none stands there yet.

if ARGV[1] == 'epoch' then
  local word = redis.call('GET', KEYS[1])
  if not word then
    redis.call('SET', KEYS[1], ARGV[2])
    word = ARGV[2]
  end
  return word
end

local HEAD, HEAD_BYTES, VERSION = '>BBddI4I4I4', 30, 1  -- version, kind, expires at, made at, turns, lengths
local PIN, LEASED = string.byte('P'), string.byte('L')
local LEASE = '>BBddc8'  -- version, kind, until when, until when a pin that was there counts as lately expired, whose
local LEASE_BYTES = 26
local COPY, COPY_BYTES = '>I4d', 12
local MOST_TURNS = 4294967295

-- Requests of sessions use their pins, one turn or more each, and their time begins anew: by far the most frequent of all.
-- In one piece and first, for the rest of this file makes its functions anew each time it runs: half of Redis's time.
--
-- KEYS     the sessions' keys
-- ARGV[5]  '1' for a connection that tracks keys: what it writes itself it has to read again, or it would not be told of
--          what others write after that
-- ARGV[6…] for each key: empty for a request that comes now and wants the pin; otherwise what was answered from a copy:
--          how many requests (u32), how long ago the last of them was (f64, seconds), the pin as the copy has it
--
-- Gives the time, then for each key the record, or nil when no pin is there, or 1 when what stands there is no record of
-- ours; for a copy instead 1 when the pin there is the copy's, 0 when it is not.

if ARGV[1] == 'use' then
  local now
  if ARGV[2] ~= '' then
    now = struct.unpack('>d', ARGV[2])
  else
    local time = redis.call('TIME')
    now = tonumber(time[1]) + tonumber(time[2]) / 1000000
  end
  local ttl, sliding, tracked = struct.unpack('>d', ARGV[3]), ARGV[4] == '1', ARGV[5] == '1'
  local answers = {struct.pack('>d', now)}

  for n, key in ipairs(KEYS) do
    local copy, uses, at = ARGV[5 + n], 1, now
    if copy ~= '' then
      local ago
      uses, ago = struct.unpack(COPY, copy)
      at = now - ago
    end
    local raw = redis.pcall('GET', key)
    if type(raw) == 'table' and not string.find(raw.err, 'WRONGTYPE', 1, true) then return raw end
    local found, is_copied = raw and 1 or false, 0
    if type(raw) == 'string' and string.byte(raw, 1) == VERSION then
      local kind, length = string.byte(raw, 2), #raw
      if kind == LEASED and length >= LEASE_BYTES then found = false end
      if kind == PIN and length >= HEAD_BYTES then
        local _, _, expires_at, made_at, turns, pin_bytes, failover_bytes = struct.unpack(HEAD, raw)
        if length >= HEAD_BYTES + pin_bytes + failover_bytes then found = false end
        if found == false and expires_at > at then
          found = raw
          turns = math.min(turns + uses, MOST_TURNS)
          -- A copy's requests may be told of when another sidecar's have come since.
          if sliding then expires_at = copy == '' and now + ttl or math.max(expires_at, at + ttl) end
          local head = struct.pack(HEAD, VERSION, PIN, expires_at, made_at, turns, pin_bytes, failover_bytes)
          local done = redis.pcall('SETRANGE', key, 0, head)
          if type(done) == 'table' then
            -- A full Redis cannot take that down, yet has the pin.
            if not string.find(done.err, 'OOM', 1, true) then return done end
          else
            if sliding then
              -- Expiry in Redis only tidies up, one time to live after the end: what is live, the record itself says.
              local keep_ms = math.max(1, math.ceil((expires_at + ttl - now) * 1000))
              redis.call('PEXPIRE', key, string.format('%.0f', math.min(keep_ms, 1e15)))
            end
            if tracked then redis.call('GET', key) end
            found = head .. string.sub(raw, HEAD_BYTES + 1)
            if copy ~= '' and string.sub(copy, COPY_BYTES + 1) == string.sub(raw, HEAD_BYTES + 1, HEAD_BYTES + pin_bytes) then
              is_copied = 1
            end
          end
        end
      end
    end
    if copy ~= '' then found = is_copied end
    answers[n + 1] = found
  end

  return answers
end

local key, ttl, sliding, unread = KEYS[1], struct.unpack('>d', ARGV[3]), ARGV[4] == '1', ARGV[5]

local function clock()
  if ARGV[2] ~= '' then return (struct.unpack('>d', ARGV[2])) end
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local now = clock()
local word = ''

local function answer(record, was)
  return {struct.pack('>d', now), record or false, was or false, word}
end

-- What stands under the key: a pin's fields, live or not, or a lease's, or nil.
local function read(raw)
  if not raw then return nil end
  if type(raw) == 'table' then
    word = 'unreadable'
    return nil
  end
  local version, kind = string.byte(raw, 1, 2)
  if version == VERSION and kind == LEASED and #raw >= LEASE_BYTES then
    local _, _, ends, lately, owner = struct.unpack(LEASE, raw)
    return {lease = true, ends = ends, lately = lately, owner = owner}
  end
  if version == VERSION and kind == PIN and #raw >= HEAD_BYTES then
    local _, _, expires_at, made_at, turns, pin_bytes, failover_bytes = struct.unpack(HEAD, raw)
    local pin_end = HEAD_BYTES + pin_bytes
    local pin = string.sub(raw, HEAD_BYTES + 1, pin_end)
    if #raw >= pin_end + failover_bytes and (unread == '' or pin ~= unread) then
      return {
        raw = raw, expires_at = expires_at, made_at = made_at, turns = turns, lately = expires_at + ttl,
        pin = pin, failover = string.sub(raw, pin_end + 1, pin_end + failover_bytes),
        rest = string.sub(raw, HEAD_BYTES + 1),
      }
    end
  end
  word = 'unreadable'
  return nil
end

local raw = redis.pcall('GET', key)
if type(raw) == 'table' and not string.find(raw.err, 'WRONGTYPE', 1, true) then return raw end
local found = read(raw)
local live = found and not found.lease and found.expires_at > now and found or nil

local function head(pin)
  return struct.pack(HEAD, VERSION, PIN, pin.expires_at, pin.made_at, pin.turns, #pin.pin, #pin.failover)
end

-- Expiry in Redis only tidies up: what is live, the record itself says.
local function keep_ms(ends)
  return string.format('%.0f', math.min(math.max(1, math.ceil((ends - now) * 1000)), 1e15))
end

local function write(pin)
  local record = head(pin) .. pin.pin .. pin.failover
  redis.call('SET', key, record, 'PX', keep_ms(pin.expires_at + ttl))
  return record
end

local function put(pin, turns, age, life, failover)
  return write({
    pin = pin, turns = turns, made_at = now - age, expires_at = now + life, failover = failover,
  })
end

-- A request of the session: one turn more, and its time anew. A full Redis cannot take that down, yet has the pin.
local function use(pin)
  pin.turns = math.min(pin.turns + 1, MOST_TURNS)
  if sliding then pin.expires_at = now + ttl end
  local changed = head(pin)
  local done = redis.pcall('SETRANGE', key, 0, changed)
  if type(done) == 'table' then
    if string.find(done.err, 'OOM', 1, true) then return pin.raw end
    redis.call('SETRANGE', key, 0, changed)  -- fails again, and thereby the script
  end
  if sliding then redis.call('PEXPIRE', key, keep_ms(pin.expires_at + ttl)) end
  return changed .. pin.rest
end

local function model(pin)
  local read_well, fields = pcall(cmsgpack.unpack, pin)
  return read_well and type(fields) == 'table' and type(fields[1]) == 'table' and fields[1][1] or nil
end

local operations = {}

function operations.peek()
  return answer(live and live.raw)
end

-- The word: 'expired', if there was a pin less than one time to live ago.
function operations.expired()
  if not live and found and found.lately > now then word = 'expired' end
  return answer()
end

-- ARGV[6]: whose lease it would be. ARGV[7]: for how long, in seconds. The word: 'leased', if it is another's.
function operations.lead()
  if live then return answer(use(live)) end
  local owner, life = ARGV[6], (struct.unpack('>d', ARGV[7]))
  if found and found.lease and found.ends > now and found.owner ~= owner then
    word = 'leased'
    return answer()
  end
  local lately = found and found.lately or 0
  local lease = struct.pack(LEASE, VERSION, LEASED, now + life, lately, owner)
  redis.call('SET', key, lease, 'PX', keep_ms(math.max(now + life, lately)))
  return answer()
end

-- ARGV[6]: whose lease ends, if it is theirs.
function operations.resign()
  if not found or not found.lease or found.owner ~= ARGV[6] then return answer() end
  if found.lately > now then
    local lease = struct.pack(LEASE, VERSION, LEASED, now, found.lately, found.owner)
    redis.call('SET', key, lease, 'PX', keep_ms(found.lately))
  else
    redis.call('DEL', key)
  end
  return answer()
end

-- ARGV[6]: the pin. A lease ends by being written over.
function operations.claim()
  return answer(live and use(live) or put(ARGV[6], 1, 0, ttl, ''))
end

-- ARGV[6]: the pin. ARGV[7]: the pin it may replace; empty: any. ARGV[8]: '1' when a request of the session does it.
function operations.move()
  local pin, instead_of, used = ARGV[6], ARGV[7], ARGV[8] == '1'
  if not live then return answer(put(pin, used and 1 or 0, 0, ttl, '')) end
  local was = live.raw
  if instead_of ~= '' and instead_of ~= live.pin then
    word = 'kept'
    return answer(was)
  end
  if model(pin) ~= model(live.pin) then live.made_at = now end
  if instead_of == '' or (used and sliding) then live.expires_at = now + ttl end
  live.pin = pin
  return answer(write(live), was)
end

-- ARGV[6]: the pin. ARGV[7…9]: seconds to live, turns, age, doubles. ARGV[10]: its failover. ARGV[11]: '1' to overwrite.
-- The word: 'kept', if there is a live pin and it stays.
function operations.restore()
  if live and ARGV[11] ~= '1' then
    word = 'kept'
    return answer(live.raw)
  end
  local life, turns, age = (struct.unpack('>d', ARGV[7])), (struct.unpack('>d', ARGV[8])), (struct.unpack('>d', ARGV[9]))
  return answer(put(ARGV[6], math.min(turns, MOST_TURNS), age, math.min(life, ttl), ARGV[10]), live and live.raw)
end

-- ARGV[6]: the failover.
function operations.note()
  if not live then return answer() end
  live.failover = ARGV[6]
  return answer(write(live))
end

function operations.delete()
  if live then redis.call('DEL', key) end
  return answer(live and live.raw)
end

return operations[ARGV[1]]()
