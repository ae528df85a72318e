# Runs in the machine as root, on its console. Arguments: the parts; none: a shell.
cp /mnt/host/ca-certificates.crt /etc/ssl/certs/ 2>/dev/null
install -D -m 600 /mnt/host/authorized_keys /root/.ssh/authorized_keys 2>/dev/null
mkdir -p /root/tiphys && tar -C /mnt/source --exclude=./.venv --exclude=./build --exclude='.*_cache' --exclude=./.git -cf - . | tar -C /root/tiphys -xf -
cd /root/tiphys
if [ $# = 0 ]; then exec setsid -c bash -l; fi
status=0
for part in "$@"; do
  echo "== $part"
  if bash -eu "tests/vm/parts/$part.sh"; then echo "== $part: passed"; else status=1; echo "== $part: FAILED"; fi
done
echo $status > /mnt/host/status
