# These tests in the machine, which is theirs: bash tests/vm/pytest.sh FILE... [pytest's options]
make -s .venv/installed
.venv/bin/pip install -q --disable-pip-version-check pytest pytest-asyncio pytest-timeout hypothesis dnspython
.venv/bin/tiphys install
.venv/bin/tiphys reset
modprobe -a br_netfilter dummy ip_vs
export TIPHYS_TEST_MACHINE=1
exec .venv/bin/pytest -v -o "timeout=${TEST_TIMEOUT_S:-1800}" "$@"
