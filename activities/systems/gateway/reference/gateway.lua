-- What the gateway asks and cuts out. Both fail closed: without a clear yes a request is refused, and an answer that
-- cannot be read whole is not passed on. Loaded by haproxy.cfg beside it; see docs/gateway.md.

local json = require("gateway_json")

local POLICY = os.getenv("GATEWAY_OPA") .. "/v1/data/stanch/gateway/decision"
local INNER = "unix@" .. os.getenv("GATEWAY_RUN") .. "/inner.sock"
local POLICY_MILLISECONDS = 500
local ANSWER_MILLISECONDS = 30000

core.register_action("begin", { "http-req" }, function(txn)
  local now = core.now()
  local whole = os.date("!%Y-%m-%dT%H:%M:%S", now.sec)
  txn:set_var("txn.at", string.format("%s.%03dZ", whole, math.floor(now.usec / 1000)))
end)

-- Sets txn.policy to allow or deny, and leaves it as it was if there is no answer.
core.register_action("ask_policy", { "http-req" }, function(txn)
  local input = {}
  for _, name in ipairs({ "certificate", "name", "key", "method", "path" }) do
    input[#input + 1] = json.quote(name) .. ":" .. json.quote(txn:get_var("txn." .. name) or "")
  end
  local answer = core.httpclient():post({
    url = POLICY,
    headers = { ["content-type"] = { "application/json" } },
    body = '{"input":{' .. table.concat(input, ",") .. "}}",
    timeout = POLICY_MILLISECONDS,
  })
  if not answer or answer.status ~= 200 then
    return
  end
  local read, tree = pcall(json.parse, answer.body)
  local result = read and json.member(tree, "result")
  local allow = result and json.member(result, "allow")
  if not allow then
    return
  end
  local caller = json.member(result, "caller")
  if caller and caller.kind == "string" then
    txn:set_var("txn.caller", caller.text)
  end
  txn:set_var("txn.policy", allow.raw == "true" and "allow" or "deny")
end)

local function plain(text)
  return (text:lower():gsub("[^a-z0-9]", ""))
end

-- Whether a name is one of those to cut: top_logprobs and LogProbs are logprobs too.
local function unwanted(name, cut)
  for _, stem in ipairs(cut) do
    if plain(name):find(stem, 1, true) then
      return true
    end
  end
  return false
end

local function strip(node, cut)
  local kept = {}
  for _, item in ipairs(node.items or {}) do
    local name = item.key
    local value = item.value
    local label = value.kind == "object" and json.member(value, "name")
    local named = node.kind == "array" and label and label.kind == "string" and unwanted(label.text, cut)
    if not named and not (name and unwanted(name, cut)) then
      strip(value, cut)
      kept[#kept + 1] = item
    end
  end
  if node.items then
    node.items = kept
  end
end

local function answer_with(applet, status, kind, body)
  applet:set_status(status)
  applet:add_header("content-type", kind)
  applet:add_header("content-length", tostring(#body))
  applet:start_response()
  applet:send(body)
end

local function refuse(applet)
  applet:set_var("txn.reason", "not_stripped")
  answer_with(applet, 502, "application/json", '{"error":"the answer cannot be given to this client"}')
end

local function first(headers, name)
  local values = headers and headers[name]
  return values and (values[0] or values[1])
end

-- Sends the request on by the inner way, and gives its answer without the outputs that txn.strip names.
core.register_service("strip", "http", function(applet)
  local cut = {}
  for name in applet:get_var("txn.strip"):gmatch("[^,]+") do
    -- Without a plural: logprob is the same thing.
    cut[#cut + 1] = (plain(name):gsub("s$", ""))
  end
  local body = applet:receive()
  local headers = {}
  for name, values in pairs(applet.headers) do
    -- Nothing that changes how the answer is packed.
    if not ({ ["accept-encoding"] = 1, ["connection"] = 1, ["content-length"] = 1, ["te"] = 1, ["range"] = 1,
              ["transfer-encoding"] = 1, ["upgrade"] = 1, ["expect"] = 1, ["host"] = 1 })[name] then
      local list = {}
      for at = 0, #values do
        list[#list + 1] = values[at]
      end
      headers[name] = list
    end
  end
  if #body > 0 then
    -- Else it would be sent in chunks, which not every server reads.
    headers["content-length"] = { tostring(#body) }
  end
  local target = applet.path .. (applet.qs and applet.qs ~= "" and "?" .. applet.qs or "")
  local client = core.httpclient()
  local send = client[applet.method:lower()]
  if not ({ GET = 1, POST = 1 })[applet.method] or not send then
    return refuse(applet)
  end
  local answer = send(client, {
    url = "http://inner.invalid" .. target,
    dst = INNER,
    headers = headers,
    body = #body > 0 and body or nil,
    timeout = ANSWER_MILLISECONDS,
  })
  if not answer or answer.status == 0 then
    return refuse(applet)
  end
  applet:set_var("txn.backend", "models")
  applet:set_var("txn.server", first(answer.headers, "x-gateway-server") or "")
  local kind = first(answer.headers, "content-type") or ""
  if answer.body == nil or answer.body == "" then
    return answer_with(applet, answer.status, "application/json", "")
  end
  if first(answer.headers, "content-encoding") or not kind:lower():find("^application/json") then
    return refuse(applet)
  end
  local read, tree = pcall(json.parse, answer.body)
  if not read then
    return refuse(applet)
  end
  strip(tree, cut)
  answer_with(applet, answer.status, "application/json", json.write(tree))
end)
