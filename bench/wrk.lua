-- wrk -s wrk.lua URL -- CONTENT_TYPE ACCEPT AUTHORIZATION BODY_FILE...; sends the bodies in turn and prints one JSON line.
local requests, place = {}, 0

function init(args)
  local headers = { ["Content-Type"] = args[1], ["Accept"] = args[2] }
  if args[3] ~= "" then headers["Authorization"] = args[3] end
  for i = 4, #args do
    local file = io.open(args[i], "rb")
    requests[i - 3] = wrk.format("POST", nil, headers, file:read("*a"))
    file:close()
  end
end

function request()
  place = place % #requests + 1
  return requests[place]
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"us":%d,"p50_us":%d,"p99_us":%d,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
