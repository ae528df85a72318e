-- GET one path. Arguments: token, path.
-- No `response` function: with one, wrk gathers every body in memory, which costs it more than reading a list.
-- It counts answers that are not 2xx by itself.

function init(args)
  wrk.headers["Authorization"] = "Bearer " .. args[1]
  wrk.headers["Accept"] = "application/json"
  path = args[2]
end

function request()
  return wrk.format("GET", path)
end
