-- JSON as a tree that keeps every number and string as it was written, and every member, also one that is there twice.
-- A node: {kind = object|array|string|other, raw = text, text = unescaped string, items = {{key, raw_key, value}}}

local json = {}
local DEEPEST = 100

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

function json.quote(text)
  return '"' .. text:gsub('[%c"\\\127]', function(char)
    return string.format("\\u%04x", char:byte())
  end) .. '"'
end

-- In one pass: what follows an escaped backslash is no escape.
local function unescaped(raw)
  return (raw:sub(2, -2):gsub("\\(.)(%x?%x?%x?%x?)", function(mark, hex)
    if mark == "u" and #hex == 4 then
      return utf8.char(tonumber(hex, 16))
    end
    return (ESCAPES[mark] or mark) .. hex
  end))
end

local value

local function blank(text, at)
  return text:find("[^ \t\r\n]", at) or #text + 1
end

local function string_at(text, at)
  local from = at
  at = at + 1
  while true do
    local stop = text:find('["\\]', at)
    if not stop then
      error("a string does not end")
    end
    if text:byte(stop) == 34 then
      local raw = text:sub(from, stop)
      return { kind = "string", raw = raw, text = unescaped(raw) }, stop + 1
    end
    at = stop + 2
  end
end

local function many(text, at, kind, close, deep)
  local node = { kind = kind, items = {} }
  at = blank(text, at + 1)
  if text:sub(at, at) == close then
    return node, at + 1
  end
  while true do
    local item = {}
    if kind == "object" then
      if text:sub(at, at) ~= '"' then
        error("a member has no name")
      end
      local key
      key, at = string_at(text, at)
      item.key, item.raw_key = key.text, key.raw
      at = blank(text, at)
      if text:sub(at, at) ~= ":" then
        error("a member has no value")
      end
      at = blank(text, at + 1)
    end
    item.value, at = value(text, at, deep + 1)
    node.items[#node.items + 1] = item
    at = blank(text, at)
    local mark = text:sub(at, at)
    if mark == close then
      return node, at + 1
    end
    if mark ~= "," then
      error("something else than a comma")
    end
    at = blank(text, at + 1)
  end
end

value = function(text, at, deep)
  if deep > DEEPEST then
    error("too deep")
  end
  local mark = text:sub(at, at)
  if mark == "{" then
    return many(text, at, "object", "}", deep)
  elseif mark == "[" then
    return many(text, at, "array", "]", deep)
  elseif mark == '"' then
    return string_at(text, at)
  end
  local raw = text:match("^%-?%d+%.?%d*[eE]?[+-]?%d*", at) or text:match("^%a+", at)
  if not raw then
    error("not JSON")
  end
  if not tonumber(raw) and raw ~= "true" and raw ~= "false" and raw ~= "null" then
    error("not JSON")
  end
  return { kind = "other", raw = raw }, at + #raw
end

-- The tree of a whole text; an error if it is not JSON from its first to its last byte.
function json.parse(text)
  local tree, at = value(text, blank(text, 1), 0)
  if blank(text, at) <= #text then
    error("something follows the JSON")
  end
  return tree
end

-- A member of an object by its name, the last one if it is there twice; nil if it is not.
function json.member(node, name)
  local found
  for _, item in ipairs(node.kind == "object" and node.items or {}) do
    if item.key == name then
      found = item.value
    end
  end
  return found
end

function json.write(node)
  if not node.items then
    return node.raw
  end
  local parts = {}
  for _, item in ipairs(node.items) do
    parts[#parts + 1] = (item.raw_key and item.raw_key .. ":" or "") .. json.write(item.value)
  end
  local inside = table.concat(parts, ",")
  return node.kind == "object" and "{" .. inside .. "}" or "[" .. inside .. "]"
end

return json
