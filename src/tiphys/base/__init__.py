"""What knows no object and no network: clock, tasks, queues, back-off, selectors, quantities, failpoints.

What belongs here could be a library of its own."""
