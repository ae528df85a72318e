"""The links that every request passes before a handler sees it, one file each: who asks, may they, is there room."""
