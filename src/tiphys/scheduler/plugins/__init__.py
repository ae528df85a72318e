"""One file per scheduling plugin: filters return bool[N], scores int64[N]."""
