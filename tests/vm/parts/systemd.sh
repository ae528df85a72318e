bash -eu tests/vm/pytest.sh tests/e2e/test_systemd.py
