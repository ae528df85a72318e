-- GET one path. Arguments: token, path.
local refused = 0

function init(args)
  wrk.headers["Authorization"] = "Bearer " .. args[1]
  wrk.headers["Accept"] = "application/json"
  path = args[2]
end

function request()
  return wrk.format("GET", path)
end

function response(status)
  if status >= 300 then
    refused = refused + 1
    if refused == 1 then print("refused " .. status) end
  end
end
