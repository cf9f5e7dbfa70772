-- wrk -s wrk.lua URL -- CONTENT_TYPE AUTHORIZATION BODY_FILE...; sends the bodies in turn and prints one JSON line.
local requests, place = {}, 0

function init(args)
  local headers = { ["Content-Type"] = args[1] }
  if args[2] ~= "" then headers["Authorization"] = args[2] end
  for i = 3, #args do
    local file = io.open(args[i], "rb")
    requests[i - 2] = wrk.format("POST", nil, headers, file:read("*a"))
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
