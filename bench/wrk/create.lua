-- POST objects with names of their own. Arguments: token, path, tag, file that holds a body with NAME where the name goes.
local made, worker = 0, 0
local refused = 0

function setup(thread)
  thread:set("number", worker)
  worker = worker + 1
end

function init(args)
  wrk.headers["Authorization"] = "Bearer " .. args[1]
  wrk.headers["Content-Type"] = "application/json"
  path, tag = args[2], args[3]
  body = io.open(args[4]):read("*a")
end

function request()
  made = made + 1
  local name = tag .. "-" .. number .. "-" .. made
  return wrk.format("POST", path, nil, (body:gsub("NAME", name)))
end

function response(status)
  if status >= 300 then
    refused = refused + 1
    if refused == 1 then print("refused " .. status) end
  end
end
