-- Sends the bodies of a file, one a line, in turn, and prints what became of them as one line for a program.
-- Argument: the file. A key for the Authorization field is in the environment, where no list of processes shows it.

local bodies = {}
local turn = 0

function init(arguments)
  for line in io.lines(arguments[1]) do
    bodies[#bodies + 1] = line
  end
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  local key = os.getenv("BENCH_KEY")
  if key and key ~= "" then
    wrk.headers["Authorization"] = "Bearer " .. key
  end
end

function request()
  turn = turn % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[turn])
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("BENCH %d %d %d %.1f %.1f %.1f\n", summary.requests, summary.duration, failed,
    latency:percentile(50), latency:percentile(90), latency:percentile(99)))
end
