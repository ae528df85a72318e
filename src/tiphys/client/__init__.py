"""How everything else speaks to the API: the interface, HTTPS transport, informers, leader election, events."""
