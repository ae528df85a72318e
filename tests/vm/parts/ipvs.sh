bash -eu tests/vm/pytest.sh tests/e2e/test_proxy.py -k ipvs
