"""Admission webhooks: `hooks` (compiled configurations, found by resource), `review` (what is sent and answered),
`call` (asking one webhook), and the two plugins `mutating` and `validating`."""
