-- The searches of `make bench`: words, prefixes, two words, SKUs and misses of the catalogue named in QUERIES, in turn.
local queries = {}
for line in io.lines(os.getenv("QUERIES")) do
  queries[#queries + 1] = wrk.format("GET", line)
end
local next_query = 0

function request()
  next_query = next_query % #queries + 1
  return queries[next_query]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
